"""How fast the simulated executor runs with the reference scheduler, and what more requests cost.

A conversation-like workload, the cost model of the CPU's default size, full traces; processor seconds of `run` alone,
as it is and with Python's garbage collector off: a long trace holds so many objects that looking through all of them,
which the collector does again and again, costs as much as a part of the rest. What was imported before is kept from it
(`gc.freeze`): torch alone brings some 300,000 objects, and whether a run meets the moment when all of them are looked
through is chance.

    python -m benchmarks.simulator --output build/benchmarks/simulator.json
"""

import argparse
import gc
import time
from pathlib import Path
from typing import Any

import torch

from autograder import solutions
from benchmarks.measure import interleaved, summary, write
from course_lib.cost_model import CPU_DEFAULT
from course_lib.engine import SimulatedExecutor, run
from course_lib.scheduler import SchedulerConfig
from course_lib.trace import Trace
from course_lib.workload import conversation_workload

CONFIG = SchedulerConfig(max_num_batched_tokens=128, max_num_seqs=64)
RATE = 18.0  # requests a second; the simulated server then works on about four at once
NUM_REQUESTS = (500, 1000, 2000, 4000, 8000)
TARGET = 100_000


def simulate(num_requests: int, collector: bool = True) -> tuple[Trace, float]:
    """The trace of one run, and the processor seconds it took; `collector`: with garbage collection."""
    requests = conversation_workload(num_requests, RATE)
    scheduler = solutions.load("04_scheduler", "StallFreeScheduler")(CONFIG)
    if not collector:
        gc.disable()
    try:
        start = time.process_time()
        trace = run(scheduler, requests, SimulatedExecutor(CPU_DEFAULT))
        seconds = time.process_time() - start
    finally:
        gc.enable()
    if not all(request.is_finished for request in requests):
        raise SystemExit(f"not every one of {num_requests} requests was served")
    if sum(work.samples_token for iteration in trace.iterations for work in iteration.work) \
            != sum(request.max_tokens for request in requests):
        raise SystemExit("the trace does not hold every token")
    return trace, seconds


def size(trace: Trace) -> tuple[int, int]:
    """How many iterations a trace has, and how many pieces of work they hold."""
    return len(trace.iterations), sum(len(iteration.work) for iteration in trace.iterations)


def measure(num_requests: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """A row for each number of requests."""
    sizes = {number: size(simulate(number)[0]) for number in num_requests}
    gc.collect()
    gc.freeze()
    found = interleaved({f"{number}{'' if collector else ', no collector'}":
                         lambda number=number, collector=collector: simulate(number, collector)[1]
                         for number in num_requests for collector in (True, False)}, rounds)
    rows = []
    for number, (num_iterations, num_works) in sizes.items():
        seconds = summary(found[str(number)])
        rows.append({"num_requests": number, "num_iterations": num_iterations, "seconds": seconds,
                     "seconds_without_collector": summary(found[f"{number}, no collector"]),
                     "mean_batch": num_works / num_iterations,
                     "iterations_per_second": num_iterations / seconds["median"],
                     "fastest_iterations_per_second": num_iterations / seconds["min"]})
    return rows


def table(result: dict[str, Any]) -> str:
    """The result as a table in Markdown."""
    lines = ["| requests | iterations | mean batch | median s | iterations/s | in the fastest round | µs a request | "
             "without collector |", "|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for row in result["rows"]:
        seconds = row["seconds"]["median"]
        lines.append(f"| {row['num_requests']} | {row['num_iterations']} | {row['mean_batch']:.2f} | {seconds:.3f} | "
                     f"{row['iterations_per_second']:,.0f} | {row['fastest_iterations_per_second']:,.0f} | "
                     f"{1e6 * seconds / row['num_requests']:.0f} | "
                     f"{1e6 * row['seconds_without_collector']['median'] / row['num_requests']:.0f} |")
    text = (f"Target: {result['target']:,} iterations a second at a mean batch of 4. The last column is µs a request "
            "with Python's garbage collector off: it looks through the whole of a long trace again and again.")
    return "\n".join([*lines, "", text])


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few requests: does it run at all?")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks/simulator.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure((10, 20) if options.quick else NUM_REQUESTS, 1 if options.quick else options.rounds)
    result = {"rate": RATE, "max_num_batched_tokens": CONFIG.max_num_batched_tokens,
              "max_num_seqs": CONFIG.max_num_seqs, "target": TARGET, "rows": rows}
    print(table(result))
    write(options.output, result, torch.device("cpu"))


if __name__ == "__main__":
    main()
