"""Makes benchmarks/README.md from the results that are kept in benchmarks/results.

    python -m benchmarks.readme
"""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import capacity, engine, simulator, startup

FOLDER = Path(__file__).parent
HEAD = """# Benchmarks

Made by `python -m benchmarks.readme` from the JSON in `results/`; do not edit. `make bench` measures the engine, the
simulator and the start-up anew, writes their JSON and this page. The others take longer and have commands of their own.
A ratio is the median over rounds in which all variants ran in turns; other programs on the machine move all figures.
"""
ENGINE = """\
What is compared, and how, is in `engine.py`. Prefill: one prompt of 512 or 2048 tokens, the median of three in a row.
Decode 1 and 8: a step of so many sequences, through scheduler and executor. The mixed workload has six short requests
(64 + 48 tokens) and two long ones (2048 + 16), all there at the start; the number behind a figure is the token budget.
*Limit* is the machine's: the same matrix products and attention alone, in a decode step one attention call for all
sequences; against it, the ratio is the share reached.

Part of the lead in prefill is work left out: our last layer computes only the rows whose logits are asked for, while
`forward` computes all rows of every layer (it leaves out only their logits). The limit leaves out the same rows.

Where a target is missed: a decode step of this small model is some hundred small tensor operations. `fast_forward.py`
calls them with nothing in between, and `slots.py` lets one attention call serve all sequences; still, for one sequence
calling the operations takes longer than the products and the attention themselves, and each of these small calls finds
the processor's cache full of weights. Eight sequences share that cost. In a prefill, what the limit leaves out has to
be computed: norms, rotations, the gate of the feed-forward layer, keys and values put in place. The makespan of the
mixed workload is mostly arithmetic: its long prompts alone take twice the time of `prefill 2048, limit`, whoever
schedules them. Chunks cost what the chunk-size trade-off says: each of them reads all weights and calls all operations
again, so chunked prefill's makespan is longer than the standard one's.
"""
GRADING = """\
Whole commands, start-up included. Ours sandboxes every submission, judges it in the grader's process and writes its
feedback page; stock `nbgrader autograde` does none of these, and starts a cold kernel, which imports torch, for each
submission. The target is 7 times stock's throughput. About two of our seconds are start-up (torch, nbgrader, the
gradebook), which a larger batch spreads further.
"""
NO_GPU = """\
No GPU was at hand. `--device cuda` is written, with the model sizes of `course_lib/device.py`, the shares of the matrix
rate and of the memory bandwidth, and the same comparisons, but it has never run. It has no CUDA graph for iterations
of decode steps alone. Nor is there a recorded GPU trace for notebook 05.
"""


def render(folder: Path) -> str:
    """The page, from the JSON files in `folder`; a result that is not there has no section."""
    parts = [HEAD]
    for name, (title, command, text, table) in SECTIONS.items():
        path = folder / f"{name}.json"
        if path.is_file():
            result = json.loads(path.read_text())
            parts.append(f"## {title}\n\n`{command}`\n\n{about(result)}\n\n{text}{table(result)}\n")
    if not (folder / "engine_cuda.json").is_file():
        parts.append(f"## On a GPU\n\n{NO_GPU}")
    return "\n".join(parts)


def about(result: dict[str, Any]) -> str:
    """Device, versions and date of a result, as far as it has them."""
    packages = [name for name in ("python", "torch", "nbgrader") if name in result]
    versions = result.get("versions") or {name: result[name] for name in packages}
    shown = [result.get("device") or f"{result.get('machine', '')}, {result.get('cores', '?')} cores",
             ", ".join(f"{name} {version}" for name, version in versions.items()), result.get("date", "")]
    return "; ".join(part for part in shown if part) + "."


def capacity_table(result: dict[str, Any]) -> str:
    """The capacities as capacity.py prints them."""
    searches = [capacity.Search(**{**one, "trials": tuple(capacity.Trial(**trial) for trial in one["trials"])})
                for one in result["searches"]]
    return f"{result['num_requests']} requests a trial.\n\n```\n{capacity.table(searches)}\n```"


def grading_table(result: dict[str, Any]) -> str:
    """Seconds of each whole command, its speed beside nbgrader's own, and the memory."""
    stock = result["medians"]["stock: nbgrader autograde"]
    lines = [f"{result['submissions']} submissions of {result['notebook']}, {result['jobs']} jobs.", "",
             "| | median s | fastest | slowest | times as fast as stock autograde |", "|---|---:|---:|---:|---:|"]
    for name, values in result["seconds"].items():
        median = statistics.median(values)
        lines.append(f"| {name} | {median:.1f} | {min(values):.1f} | {max(values):.1f} | {stock / median:.1f} |")
    lines += ["", "Parts, by one worker: start-up once a batch, all else for each submission.", "",
              "| | median ms |", "|---|---:|"]
    lines += [f"| {name} | {1e3 * seconds:.0f} |" for name, seconds in result["parts"].items()]
    lines += [f"\nMemory at {count} submissions: {peak / 2**20:.0f} MiB at most."
              for count, peak in result["peak_memory"].items()]
    return "\n".join(lines)


# File name without .json -> title, command, text, and what makes the table.
SECTIONS: dict[str, tuple[str, str, str, Callable[[dict[str, Any]], str]]] = {
    "engine_cpu": ("The engine, on a CPU", "python -m benchmarks.engine", ENGINE + "\n", engine.table),
    "engine_cuda": ("The engine, on a GPU", "python -m benchmarks.engine --device cuda", "", engine.table),
    "simulator": ("The simulated executor", "python -m benchmarks.simulator", "", simulator.table),
    "startup": ("Start-up", "python -m benchmarks.startup", "", startup.table),
    "capacity": ("Capacity on the simulated Yi-34B", "python -m benchmarks.capacity", "", capacity_table),
    "grading": ("Grading", "python -m benchmarks.grading --repeats 3 --memory", GRADING + "\n", grading_table),
}


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(render(FOLDER / "results"))
    print(FOLDER / "README.md")
