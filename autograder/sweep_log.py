"""Rows of a sweep by brute force over an event log, and what typical misconceptions make of the same run.

Nothing here runs the learner's code, the reference solution or the measures of notebook 05.
"""

import math
import random
import statistics
from itertools import pairwise

from autograder.random_traces import token_iterations
from course_lib.cost_model import CostModel
from course_lib.engine import SimulatedExecutor, run
from course_lib.request import Request
from course_lib.scheduler import PrefillFirstScheduler, SchedulerConfig
from course_lib.trace import Trace

NOT_MADE = -1  # the number of a scheduler that make_scheduler has not made

TokenTimes = dict[str, tuple[float, list[float]]]  # request id -> arrival, times of its output tokens


def right_row(budget: int, times: TokenTimes, end: float) -> dict[str, float]:
    """The right row, from when each token came out."""
    gaps = sorted(later - earlier for _, tokens in times.values() for earlier, later in pairwise(tokens))
    makespan = end - min(arrival for arrival, _ in times.values())
    # Nearest rank: the first value that at least 99 of 100 do not exceed.
    p99 = next((gap for rank, gap in enumerate(gaps, start=1) if 100 * rank >= 99 * len(gaps)), 0.0)
    return {
        "budget": budget, "throughput": sum(len(tokens) for _, tokens in times.values()) / makespan, "p99_tbt": p99,
        "max_tbt": max(gaps, default=0.0),
        "median_ttft": statistics.median(tokens[0] - arrival for arrival, tokens in times.values()),
        "makespan": makespan,
    }


def flawed_rows(right: dict[str, float], times: TokenTimes) -> list[tuple[dict[str, float], str]]:
    """What typical misconceptions make of the same run, each with its key in MISCONCEPTIONS of notebook 06."""
    by_request = [[later - earlier for earlier, later in pairwise(tokens)] for _, tokens in times.values()]
    with_gaps = [gaps for gaps in by_request if gaps]
    first_tokens = [tokens[0] - arrival for arrival, tokens in times.values()]
    all_waits = first_tokens + sum(by_request, [])

    def p99(values: list[float]) -> float:
        return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else 0.0

    flawed = [({"p99_tbt": p99(gaps), "max_tbt": max(gaps, default=0.0)}, "one_request")
              for gaps in (by_request[0], by_request[-1])]
    flawed += [
        ({"p99_tbt": statistics.mean(map(p99, with_gaps))}, "mean_of_p99s"),
        ({"p99_tbt": p99([statistics.mean(gaps) for gaps in with_gaps])}, "p99_of_tpots"),
        ({"p99_tbt": right["max_tbt"]}, "p99_is_max"),
        ({"max_tbt": right["p99_tbt"]}, "max_is_p99"),
        ({"p99_tbt": p99(all_waits), "max_tbt": max(all_waits)}, "with_ttft"),
        ({"p99_tbt": right["max_tbt"], "max_tbt": right["p99_tbt"]}, "fields_swapped"),
        *(({"p99_tbt": statistics.quantiles(sum(by_request, []), n=100, method=method)[98]}, "interpolated")
          for method in ("exclusive", "inclusive") if len(sum(by_request, [])) > 1),
        ({"median_ttft": statistics.median_low(first_tokens)}, "rank_median"),
        ({"median_ttft": statistics.mean(first_tokens)}, "mean_ttft"),
        ({name: 1000 * right[name] for name in ("p99_tbt", "max_tbt", "median_ttft")}, "milliseconds"),
    ]
    return [(right | changed, name) for changed, name in flawed]


def simulated_run(requests: list[Request]) -> tuple[Trace, TokenTimes]:
    """A simulated run, and when its tokens came out, by the positions that its event log computes."""
    clock = CostModel(random.uniform(0.5, 1.5), random.uniform(0.01, 0.05), 0.0, 1e-3)
    trace = run(PrefillFirstScheduler(SchedulerConfig()), requests, SimulatedExecutor(clock))
    return trace, {info.request_id: (info.arrival_time, [step.end for step in token_iterations(trace, info)])
                   for info in trace.requests}


def stalling_run() -> tuple[Trace, TokenTimes]:
    """Some 250 gaps, a few of them stalls by a long prompt, in which every misconception makes a row of its own."""
    while True:
        chats = [Request(f"chat {number}", [1] * random.randint(2, 30), random.randint(40, 60),
                         arrival_time=random.uniform(2, 8) + 15 * number) for number in range(5)]
        document = Request("document", [1] * random.randint(150, 400), 2, arrival_time=random.uniform(60, 90))
        trace, times = simulated_run([*chats, document])
        right = right_row(0, times, trace.iterations[-1].end)
        rows = [tuple(row.values()) for row in (right, *(row for row, _ in flawed_rows(right, times)))]
        if len(set(rows)) == len(rows):
            return trace, times


class EventLog:
    """The grader's side of a sweep: draws each iteration's seconds, and keeps what was made and executed."""

    def __init__(self, cost: CostModel) -> None:
        self.cost = cost
        self.num_requests_made = 0
        self.budgets: list[int] = []  # of the schedulers made, by number
        self.plans: dict[int, list[tuple[dict[str, int], float]]] = {}  # of each scheduler, with the seconds

    def __call__(self, question: dict) -> dict:
        """Takes note of one event and answers it."""
        if question.get("made") == "requests":
            self.num_requests_made += 1
            return {}
        if question.get("made") == "scheduler":
            self.budgets.append(question["budget"])
            return {"number": len(self.budgets) - 1}
        plan = dict(question["plan"])
        seconds = self.cost([(1, num_tokens) for num_tokens in plan.values()]) * random.uniform(0.8, 1.2)
        self.plans.setdefault(question["scheduler"], []).append((plan, seconds))
        return {"seconds": seconds}

    def row(self, number: int, requests: list[dict]) -> dict[str, float] | None:
        """The right row of what one scheduler's plans did with the requests; None if they did not finish them."""
        computed = {one["request_id"]: 0 for one in requests}
        tokens: dict[str, list[float]] = {name: [] for name in computed}
        clock = 0.0
        for plan, seconds in self.plans.get(number, []):
            unfinished = [one for one in requests if len(tokens[one["request_id"]]) < one["max_tokens"]]
            clock = max(clock, min((one["arrival_time"] for one in unfinished), default=clock)) + seconds
            for one in unfinished:
                name = one["request_id"]
                computed[name] += plan.get(name, 0)
                if plan.get(name) and computed[name] == one["num_prompt_tokens"] + len(tokens[name]):
                    tokens[name].append(clock)
        if any(len(tokens[one["request_id"]]) < one["max_tokens"] for one in requests):
            return None
        return right_row(self.budgets[number],
                    {one["request_id"]: (one["arrival_time"], tokens[one["request_id"]]) for one in requests}, clock)
