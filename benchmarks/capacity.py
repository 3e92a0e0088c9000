"""Capacity of standard and chunked prefill on the published clock of Yi-34B, beside Sarathi-Serve's published gain.

Capacity: the highest request rate at which the P99 TBT meets the SLO and the median scheduling delay (arrival to first
scheduled) is at most 2 s. Sarathi-Serve, OSDI 2024, section 5.1, searches in the same way on real GPUs and finds that
chunked prefill carries up to 3.7 times the load of vLLM (Yi-34B, openchat_sharegpt4, strict SLO).
SLOs, budgets, seats and the width at which the search ends are those of its artifact (`osdi-experiments/figure-5-6`,
`sarathi/benchmark/capacity_search`). Request lengths: log-normal, with median and P90 of the datasets.

    python -m benchmarks.capacity --num-requests 512 --output build/benchmarks/capacity.json
"""

import argparse
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from autograder import solutions
from course_lib.engine import SimulatedExecutor, run
from course_lib.presets import ARXIV_SUMMARIZATION, OPENCHAT_SHAREGPT4, YI_34B, published_workload
from course_lib.scheduler import PrefillFirstScheduler, Scheduler, SchedulerConfig
from course_lib.trace import Trace

DATASETS = {"openchat_sharegpt4": OPENCHAT_SHAREGPT4, "arxiv_summarization": ARXIV_SUMMARIZATION}
SLOS = {"strict": (0.2, 512), "relaxed": (1.0, 2048)}  # P99 TBT in seconds, token budget of chunked prefill
MAX_MEDIAN_DELAY = 2.0  # seconds
MAX_NUM_SEQS = 128
PRECISION = 0.025  # the search ends when its bracket is this narrow, relative to the rate
# Sections 5.1 and 5.2 of the paper.
PUBLISHED_GAIN = {("openchat_sharegpt4", "strict"): 3.7, ("openchat_sharegpt4", "relaxed"): 1.65}


@dataclass(frozen=True)
class Trial:
    """One run at one rate. Seconds, and requests per second."""

    rate: float
    p99_tbt: float
    median_delay: float
    num_iterations: int
    meets: bool


@dataclass(frozen=True)
class Search:
    """All trials of one policy; `capacity` is the highest rate that met the SLO, 0.0 when none did."""

    dataset: str
    slo: str
    policy: str
    capacity: float
    trials: tuple[Trial, ...]


def make_scheduler(policy: str, budget: int) -> Scheduler:
    """A new scheduler; standard ignores the budget."""
    config = SchedulerConfig(max_num_batched_tokens=budget, max_num_seqs=MAX_NUM_SEQS)
    if policy == "standard":
        return PrefillFirstScheduler(config)
    return solutions.load("04_scheduler", "StallFreeScheduler")(config)


def figures(trace: Trace) -> tuple[float, float]:
    """P99 of all gaps between tokens (nearest rank) and median scheduling delay, both in seconds."""
    arrivals = {request.request_id: request.arrival_time for request in trace.requests}
    delays: dict[str, float] = {}
    latest: dict[str, float] = {}
    gaps = []
    for iteration in trace.iterations:
        for work in iteration.work:
            delays.setdefault(work.request_id, iteration.start - arrivals[work.request_id])
            if work.samples_token:
                if work.request_id in latest:
                    gaps.append(iteration.end - latest[work.request_id])
                latest[work.request_id] = iteration.end
    gaps.sort()
    return gaps[math.ceil(0.99 * len(gaps)) - 1], statistics.median(delays.values())


def highest_rate(meets: Callable[[float], bool], start: float) -> float:
    """The highest rate found at which `meets` holds, by doubling or halving from `start`, then bisection.

    0.0 when it does not hold down to 1/64 of `start`. RuntimeError when it holds up to 64 times `start`.
    """
    low, high = 0.0, start
    while meets(high):
        low, high = high, 2 * high
        if high > 64 * start:
            raise RuntimeError(f"the SLO is met at {low:g} requests/s and still not the limit; check the workload")
    while low == 0.0 and high > start / 64:
        if meets(high / 2):
            low = high / 2
        else:
            high /= 2
    while low > 0 and high - low > PRECISION * low:
        middle = (low + high) / 2
        low, high = (middle, high) if meets(middle) else (low, middle)
    return low


def search(task: tuple[str, str, str, int, int]) -> Search:
    """The capacity of one policy for one dataset and SLO: (dataset, slo, policy, number of requests, seed)."""
    dataset, slo, policy, num_requests, seed = task
    most_tbt, budget = SLOS[slo]
    trials: list[Trial] = []

    def meets(rate: float) -> bool:
        requests = published_workload(DATASETS[dataset], num_requests, rate, seed)
        trace = run(make_scheduler(policy, budget), requests, SimulatedExecutor(YI_34B))
        if not all(request.is_finished for request in requests):
            raise RuntimeError(f"{dataset}, {policy}, {rate:g} requests/s: not every request was served")
        p99_tbt, delay = figures(trace)
        kept = p99_tbt <= most_tbt and delay <= MAX_MEDIAN_DELAY
        trials.append(Trial(rate, p99_tbt, delay, len(trace.iterations), kept))
        return kept

    capacity = highest_rate(meets, start=0.5)
    return Search(dataset, slo, policy, capacity, tuple(sorted(trials, key=lambda trial: trial.rate)))


def table(found: list[Search]) -> str:
    """Capacities, their ratio, and which of the two conditions ended each search."""
    by_case = {(one.dataset, one.slo, one.policy): one for one in found}
    lines = [f"{'dataset':20} {'SLO':8} {'P99 TBT':>8} {'budget':>7} {'standard':>9} {'chunked':>8} {'gain':>6} "
             f"{'published':>10}   ended by (standard; chunked)"]
    for dataset in DATASETS:
        for slo, (most_tbt, budget) in SLOS.items():
            standard, chunked = (by_case[dataset, slo, policy] for policy in ("standard", "chunked"))
            gain = f"{chunked.capacity / standard.capacity:.1f}x" if standard.capacity else "-"
            published = PUBLISHED_GAIN.get((dataset, slo))
            lines.append(f"{dataset:20} {slo:8} {most_tbt:>6.1f} s {budget:>7} {standard.capacity:>9.3f} "
                         f"{chunked.capacity:>8.3f} {gain:>6} {f'{published}x' if published else '-':>10}   "
                         f"{limit(standard)}; {limit(chunked)}")
    return "\n".join(lines)


def limit(one: Search) -> str:
    """What the lowest rate above the capacity broke."""
    first = next(trial for trial in one.trials if trial.rate > one.capacity and not trial.meets)
    broken = [f"P99 TBT {first.p99_tbt:.2f} s"] if first.p99_tbt > SLOS[one.slo][0] else []
    broken += [f"delay {first.median_delay:.1f} s"] if first.median_delay > MAX_MEDIAN_DELAY else []
    return ", ".join(broken)


def main() -> None:
    """Searches, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-requests", type=int, default=512, help="requests in a trial; the paper has 2048")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks/capacity.json"))
    options = parser.parse_args()
    tasks = [(dataset, slo, policy, options.num_requests, options.seed)
             for dataset in DATASETS for slo in SLOS for policy in ("standard", "chunked")]
    before = time.perf_counter()
    with ProcessPoolExecutor(options.workers) as pool:
        found = list(tqdm(pool.map(search, tasks), total=len(tasks), desc="searches", file=sys.stderr))
    seconds = time.perf_counter() - before
    print(f"Yi-34B on two A100, simulated; {options.num_requests} requests a trial, at most {MAX_NUM_SEQS} running; "
          "capacity in requests per second\n")
    print(table(found))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({
        "cost_model": asdict(YI_34B), "num_requests": options.num_requests, "seed": options.seed,
        "max_num_seqs": MAX_NUM_SEQS, "max_median_delay": MAX_MEDIAN_DELAY, "slos": SLOS, "seconds": seconds,
        "device": "none: simulated", "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "searches": [asdict(one) for one in found],
    }, indent=1))
    print(f"\nwritten to {options.output} after {seconds:.0f} s")


if __name__ == "__main__":
    main()
