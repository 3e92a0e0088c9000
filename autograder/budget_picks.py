"""Rows of a sweep drawn at random, the right budget by brute force, and what typical misconceptions pick instead."""

import random
from collections.abc import Callable

Rows = list[dict]
ERROR = "an error"


def right_pick(rows: Rows, slo: float) -> int | None:
    """The budget of the one row that is allowed and that no other allowed row beats."""
    allowed = [row for row in rows if row["p99_tbt"] <= slo]
    for row in allowed:
        if all((row["throughput"], -row["budget"]) >= (other["throughput"], -other["budget"]) for other in allowed):
            return row["budget"]
    return None


def answer(flaw: Callable[[Rows, float], object], rows: Rows, slo: float) -> object:
    try:
        return flaw(rows, slo)
    except ValueError:  # max of nothing
        return ERROR


def _best(rows: Rows) -> dict:
    return max(rows, key=lambda row: (row["throughput"], -row["budget"]))


def _or_none(pick: Callable[[Rows], object], allowed: Rows) -> object:
    return pick(allowed) if allowed else None


def _meeting(rows: Rows, slo: float, column: str = "p99_tbt") -> Rows:
    return [row for row in rows if row[column] <= slo]


# What each misconception answers; one is named if it explains all answers of the learner, the right ones too.
FLAWED_PICKS: list[tuple[str, Callable[[Rows, float], object]]] = [
    ("slo_ignored", lambda rows, slo: _or_none(lambda them: _best(them)["budget"], rows)),
    ("slo_ignored", lambda rows, slo: _best(rows)["budget"]),
    ("best_or_nothing", lambda rows, slo: _or_none(lambda them: right_pick([_best(them)], slo), rows)),
    ("best_or_nothing", lambda rows, slo: right_pick([_best(rows)], slo)),
    ("strict", lambda rows, slo: right_pick([row for row in rows if row["p99_tbt"] < slo], slo)),
    ("largest_budget", lambda rows, slo: max((row["budget"] for row in _meeting(rows, slo)), default=None)),
    ("smallest_budget", lambda rows, slo: min((row["budget"] for row in _meeting(rows, slo)), default=None)),
    ("lowest_tbt", lambda rows, slo: _or_none(lambda them: min(them, key=lambda row: row["p99_tbt"])["budget"],
                                              _meeting(rows, slo))),
    ("tie_larger", lambda rows, slo: _or_none(
        lambda them: max(them, key=lambda row: (row["throughput"], row["budget"]))["budget"], _meeting(rows, slo))),
    ("tie_first", lambda rows, slo: _or_none(lambda them: max(them, key=lambda row: row["throughput"])["budget"],
                                             _meeting(rows, slo))),
    ("least_bad", lambda rows, slo: right_pick(rows, slo) or _or_none(
        lambda them: min(them, key=lambda row: row["p99_tbt"])["budget"], rows)),
    ("least_bad", lambda rows, slo: right_pick(rows, slo) or _or_none(lambda them: _best(them)["budget"], rows)),
    ("least_bad", lambda rows, slo: right_pick(rows, slo) or min(rows, key=lambda row: row["p99_tbt"])["budget"]),
    ("zero_for_none", lambda rows, slo: right_pick(rows, slo) or 0),
    ("none_is_error", lambda rows, slo: _best(_meeting(rows, slo))["budget"]),
    ("returns_row", lambda rows, slo: _or_none(_best, _meeting(rows, slo))),
    ("max_instead", lambda rows, slo: _or_none(lambda them: _best(them)["budget"], _meeting(rows, slo, "max_tbt"))),
    ("slo_in_ms", lambda rows, slo: right_pick(rows, slo / 1000)),
]


def random_rows() -> Rows:
    """Six rows in any order. Neither throughput nor P99 TBT grows with the budget throughout."""
    budgets = sorted(random.sample(range(64, 9000), k=6))
    p99s = sorted(random.uniform(0.05, 2.0) for _ in budgets)
    throughputs = sorted(random.uniform(40.0, 90.0) for _ in budgets)
    rows = [{"budget": budget, "throughput": throughputs[place], "p99_tbt": p99s[rank], "max_tbt": 2.0 + p99s[rank],
             "median_ttft": random.uniform(1.0, 9.0), "makespan": random.uniform(50.0, 150.0)}
            for budget, place, rank in zip(budgets, [0, 2, 3, 1, 5, 4], [1, 0, 2, 3, 4, 5], strict=True)]
    random.shuffle(rows)
    return rows


def _slo_for(rows: Rows, num_allowed: int) -> float:
    """An SLO that just these many rows meet, and none with its longest gap."""
    p99s = sorted(row["p99_tbt"] for row in rows)
    return p99s[num_allowed - 1] * 1.0001


def some_allowed(rows: Rows) -> tuple[Rows, float]:
    return rows, _slo_for(rows, 4)  # best is the third


def all_allowed(rows: Rows) -> tuple[Rows, float]:
    return rows, 3.0


def equal_is_best(rows: Rows) -> tuple[Rows, float]:
    return rows, sorted(row["p99_tbt"] for row in rows)[2]


def tied(rows: Rows, reverse: bool = False) -> tuple[Rows, float]:
    """The two highest throughputs are equal; the larger budget stands first in the list, or with `reverse` last."""
    one, other = sorted(rows, key=lambda row: row["throughput"])[-2:]
    one["throughput"] = other["throughput"]
    small = min(one, other, key=lambda row: row["budget"])
    ordered = [*(row for row in rows if row is not small), small]
    return ordered[::-1] if reverse else ordered, 3.0


def tied_small_first(rows: Rows) -> tuple[Rows, float]:
    return tied(rows, reverse=True)


def infeasible(rows: Rows) -> tuple[Rows, float]:
    return rows, 0.9 * min(row["p99_tbt"] for row in rows)


def no_rows(rows: Rows) -> tuple[Rows, float]:
    return [], 0.2
