"""What `import course_lib` adds to `import torch`, and how long notebook 00 takes from opening to its first picture.

Imports: new processes, in turns. The notebook: a new kernel runs the solved notebook 00 cell by cell until an output
holds a picture; starting the kernel counts, drawing the page in a browser does not.

    python -m benchmarks.startup --output build/benchmarks/startup.json
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import torch
from nbclient import NotebookClient

from autograder import release
from autograder.course import Course
from benchmarks.measure import interleaved, summary, write

NOTEBOOK = "00_start_here"
MODULES = ("course_lib", "course_lib.model", "course_lib.engine")
TARGET = 0.15  # seconds beyond torch's own


def import_seconds(module: str) -> float:
    """Seconds that a new Python takes to import `module` once it has imported torch (for torch: to import that)."""
    code = ("import time\n" + ("import torch\n" if module != "torch" else "")
            + f"start = time.perf_counter()\nimport {module}\nprint(time.perf_counter() - start)")
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def first_picture_seconds() -> float:
    """Seconds from starting the kernel to the first cell that shows a picture. SystemExit when none does."""
    notebook = nbformat.reads(release.learner_notebooks(Course(), [NOTEBOOK])[NOTEBOOK], as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}},
                                allow_errors=True)  # an exercise that is still empty
        start = time.perf_counter()
        with client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type != "code":
                    continue
                client.execute_cell(cell, index)
                if any('src="data:image/png' in output.get("data", {}).get("text/html", "") for output in cell.outputs):
                    return time.perf_counter() - start
    raise SystemExit(f"no cell of {NOTEBOOK} shows a picture")


def table(result: dict[str, Any]) -> str:
    """The result as a table in Markdown."""
    lines = ["| | median s | fastest | slowest | target |", "|---|---:|---:|---:|---:|"]
    for name, one in result["seconds"].items():
        target = result["target"] if name.startswith("import") else ""
        lines.append(f"| {name} | {one['median']:.3f} | {one['min']:.3f} | {one['max']:.3f} | {target} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one round, no notebook: does it run at all?")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks/startup.json"))
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    modules = ("torch", *MODULES)
    found = interleaved({module: lambda module=module: import_seconds(module) for module in modules}, rounds)
    seconds = {f"import {module}, after torch": summary(found[module]) for module in MODULES}
    seconds["torch itself"] = summary(found["torch"])
    if not options.quick:
        pictures = interleaved({"first picture": first_picture_seconds}, max(2, rounds // 2))
        seconds["notebook 00, from opening to the first picture"] = summary(pictures["first picture"])
    result = {"target": TARGET, "seconds": seconds}
    print(table(result))
    write(options.output, result, torch.device("cpu"), ["matplotlib", "ipykernel"])


if __name__ == "__main__":
    main()
