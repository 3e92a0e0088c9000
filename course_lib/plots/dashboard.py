"""Decisions at a glance: every plan's throughput against both latencies, the promises, and what was chosen."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from course_lib.plots.picture import Picture
from course_lib.plots.style import (
    BLACK,
    BLUE,
    ORANGE,
    SMALLEST_TEXT,
    VERMILION,
    WAIT_GREY,
    drawing_style,
    new_figure,
    number,
    number_axis,
)
from course_lib.short import show
from course_lib.validate import check_type, checked_rows

AXES = (("p99_tbt", 1000, "P99 time between tokens (ms)"), ("median_ttft", 1, "median time to first token (s)"))


class PlanOutcome(Protocol):
    """What a plan gives: output tokens per second, and seconds. `plan` has a short text form."""

    plan: Any
    throughput: float
    p99_tbt: float
    median_ttft: float


class Promise(Protocol):
    """The longest P99 TBT and median TTFT allowed, in seconds; infinity: no promise."""

    p99_tbt: float
    median_ttft: float


def decision_dashboard(
    outcomes: Mapping[str, Sequence[PlanOutcome]],
    slos: Mapping[str, Promise],
    *,
    chosen: Mapping[str, Any],
    today: Mapping[str, Any],
    title: str = "What each plan gives, and what was chosen",
) -> Picture:
    """Draws one row of two panels a case: throughput over P99 TBT, and over median TTFT, one point a plan.

    `outcomes`: case to its plans' outcomes; `slos`, `chosen` (None: no plan) and `today` have the same cases, and name
    plans among the outcomes. ValueError for no case, a missing case or an unknown plan.
    """
    _check(outcomes, slos, chosen, today)
    with drawing_style():
        figure = new_figure(0.9 + 2.25 * len(outcomes), title)
        grid = figure.subplots(len(outcomes), 2, squeeze=False, sharey="row")
        for panels, (case, rows) in zip(grid, outcomes.items(), strict=True):
            panels[0].set_title(case)
            panels[0].set_ylabel("tokens/s")
            for axes, (field, factor, label) in zip(panels, AXES, strict=True):
                _draw(axes, rows, slos[case], field, factor, chosen[case], today[case])
                number_axis(axes, label, log=True)
                axes.margins(x=0.1, y=0.18)
                axes.tick_params(axis="x", labelsize=SMALLEST_TEXT)
            panels[0].xaxis.set_major_locator(LogLocator(subs=(1, 3)))  # the figures in ms are long
        handles = [
            _key("o", BLUE, BLUE, 7, "meets both promises"),
            _key("o", "white", WAIT_GREY, 7, "breaks a promise"),
            _key("D", "none", BLACK, 11, "today"),
            _key("*", ORANGE, BLACK, 15, "chosen"),
        ]
        grid[0][0].plot([], [], color=VERMILION, linestyle="--", label="promise")
        figure.legend(
            handles=[*handles, grid[0][0].get_lines()[-1]], loc="outside lower center", ncols=3, columnspacing=1.2
        )
    sentences, table = [], []
    for case, rows in outcomes.items():
        by_plan = {row.plan: row for row in rows}
        met = sum(_meets(row, slos[case]) for row in rows)
        picked = "none chosen" if chosen[case] is None else f"chosen {_facts(by_plan[chosen[case]])}"
        sentences.append(
            f"{case}: {met} of {len(rows)} plans keep both promises; today {_facts(by_plan[today[case]])}; {picked}."
        )
        for role, plan in (("today", today[case]), ("chosen", chosen[case])):
            table.append((case, role, *_cells(by_plan.get(plan), slos[case])))
    header = ("case", "which", "plan", "tokens/s", "P99 TBT (ms)", "median TTFT (s)", "keeps both promises")
    return Picture(figure, title, " ".join(sentences), header, tuple(table))


def _meets(row: PlanOutcome, slo: Promise) -> bool:
    """Whether an outcome keeps both promises."""
    return row.p99_tbt <= slo.p99_tbt and row.median_ttft <= slo.median_ttft


def _key(marker: str, face: str, edge: str, size: float, label: str) -> Line2D:
    """A legend entry of one marker."""
    return Line2D([], [], linestyle="none", marker=marker, markerfacecolor=face, markeredgecolor=edge,
                  markersize=size, label=label)


def _draw(axes: Axes, rows: Sequence[PlanOutcome], slo: Promise, field: str, factor: float, chosen: Any,
          today: Any) -> None:
    for row in rows:
        x, y = factor * getattr(row, field), row.throughput
        good = _meets(row, slo)
        axes.plot(x, y, "o", markersize=7, markerfacecolor=BLUE if good else "white",
                  markeredgecolor=BLUE if good else WAIT_GREY, zorder=3 if good else 2)
        if row.plan == today:
            axes.plot(x, y, "D", markersize=12, markerfacecolor="none", markeredgecolor=BLACK, markeredgewidth=1.6)
        if row.plan == chosen:
            axes.plot(x, y, "*", markersize=17, color=ORANGE, markeredgecolor=BLACK, zorder=4)
    limit = getattr(slo, field)
    if math.isfinite(limit):
        axes.axvline(factor * limit, color=VERMILION, linestyle="--", lw=2)


def _facts(row: PlanOutcome) -> str:
    return (f"{row.plan} ({number(row.throughput)} tokens/s, P99 TBT {number(1000 * row.p99_tbt)} ms, "
            f"median TTFT {number(row.median_ttft)} s)")


def _cells(row: PlanOutcome | None, slo: Promise) -> tuple[str, ...]:
    if row is None:
        return ("no plan keeps both promises", "", "", "", "")
    return (str(row.plan), number(row.throughput), number(1000 * row.p99_tbt), number(row.median_ttft),
            "yes" if _meets(row, slo) else "no")


def _check(outcomes: Mapping[str, Sequence[PlanOutcome]], *others: Mapping[str, Any]) -> None:
    for name, mapping in zip(("outcomes", "slos", "chosen", "today"), (outcomes, *others), strict=True):
        check_type(name, mapping, Mapping, "a dict with an entry for each case")
    if not outcomes or not all(outcomes.values()):
        raise ValueError(f"every case needs outcomes, got {show(outcomes)}")
    for case, rows in outcomes.items():
        checked_rows(f"outcomes[{case!r}]", rows, ("throughput", "p99_tbt", "median_ttft"))
    for name, mapping in zip(("slos", "chosen", "today"), others, strict=True):
        if set(mapping) != set(outcomes):
            raise ValueError(f"{name} must have the cases {list(outcomes)}, got {list(mapping)}")
        if name == "slos":
            for case, promise in mapping.items():
                for field, _, _ in AXES:
                    check_type(f"slos[{case!r}].{field}", getattr(promise, field, None), (int, float), "seconds")
            continue
        for case, plan in mapping.items():
            known = [row.plan for row in outcomes[case]]
            if plan not in known and (plan is not None or name == "today"):
                raise ValueError(f"{name}[{case!r}] is {plan}, which is not among the outcomes of this case: "
                                 f"{', '.join(map(str, known))}")
