"""Grading 20 submissions: `python -m autograder grade` against nbgrader's own serial `nbgrader autograde`.

Both are whole commands, start-up included, on copies of the same course and the same submissions of notebook 02,
interleaved and repeated. Stock nbgrader runs the hidden checks in the learner's kernel, without a sandbox, and writes
no feedback; ours judges in the grader's process, in a sandbox, and writes feedback too (`feedback` says what stock
takes for that). The marks of both must be equal, or the benchmark fails. Then one worker in this process shows what the
parts of grading take. Cells that only measure and draw take the
same seconds on both sides, so they are tagged to be skipped; `--pictures` leaves them in. `--memory` then grades 20
and 200 untouched notebooks and notes the most memory that the grader, its workers and their kernels held together.

    python -m benchmarks.grading --submissions 20 --jobs 2 --output build/benchmarks/grading.json
"""

import argparse
import contextlib
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import nbgrader
import psutil
import torch
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI

from autograder import grade, grade_one, judge, kernel, release, sources, warm
from autograder.course import REPOSITORY, ROOT_VARIABLE, Course

NOTEBOOK = "02_chunked_prefill"
STOCK = """
c = get_config()
load_subconfig("nbgrader_config.py", path={folder!r})
c.Autograde.autograde_preprocessors = ["nbgrader.preprocessors.Execute"] + c.Autograde.autograde_preprocessors[1:]
"""


def main() -> int:
    """Runs the benchmark, prints the table, writes the JSON; 1 when the marks differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--submissions", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--notebook", default=NOTEBOOK)
    parser.add_argument("--pictures", action="store_true", help="run cells that only measure and draw, too")
    parser.add_argument("--memory", action="store_true", help="also the memory at 20 and at 200 submissions")
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks/grading.json"))
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        submissions = write_submissions(Path(folder) / "submissions", options.notebook, options.submissions,
                                        options.pictures)
        for repeat in range(options.repeats):
            found = {}
            for name, run in VARIANTS.items():
                course = copy_of_the_course(Path(folder) / f"{name}-{repeat}")
                for part, value in run(course, submissions, options).items():
                    seconds.setdefault(part, []).append(value)
                found[name] = marks(course, options.notebook)
            if len(found["ours"]) != options.submissions or len({json.dumps(one) for one in found.values()}) != 1:
                print(f"the marks differ, or submissions are missing: {found}", file=sys.stderr)
                return 1
        inside = parts(copy_of_the_course(Path(folder) / "parts"), submissions, options)
        memory = {count: peak_memory(Path(folder), options, count) for count in (20, 200)} if options.memory else {}
    report(seconds, inside, memory, options)
    return 0


def write_submissions(folder: Path, notebook: str, count: int, pictures: bool = False, solved: bool = True) -> Path:
    """`count` submissions: every second one right, the others untouched but for the first exercises.

    Without `solved` all of them are untouched.
    """
    course = Course()
    released = release.learner_notebooks(course, [notebook])[notebook]
    for number in range(count):
        submission = nbformat.reads(released, as_version=4)
        for cell in submission.cells:
            is_needed = sources.grade_id(cell) or sources.tags(cell) & {"setup", "given"} or pictures
            if cell.cell_type == "code" and not is_needed:
                cell.metadata.tags = ["skip-execution"]
        exercises = [cell for cell in submission.cells if sources.is_solution(cell)]
        for cell in exercises[: (None if number % 2 == 0 else 1 + number % len(exercises)) if solved else 0]:
            name = sources.grade_id(cell)
            cell.source = f"# exercise: {name}\n{sources.solution_cell(notebook, name, course)}"
        path = folder / f"student_{number:03}" / notebook / f"{notebook}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(nbformat.writes(submission))
    return folder


def copy_of_the_course(folder: Path) -> Course:
    """The repository's sources, with a gradebook and folders of its own."""
    (folder / "autograder").mkdir(parents=True)
    for part in ("solutions", "autograder/checks", "autograder/adapters"):
        (folder / part).symlink_to(REPOSITORY / part, target_is_directory=True)
    return Course(folder)


def run_ours(course: Course, submissions: Path, options: argparse.Namespace, *more: str) -> dict[str, float]:
    """Seconds of the whole command."""
    command = [sys.executable, "-m", "autograder", "grade", str(submissions), "--jobs", str(options.jobs),
               "--output", str(course.root / "grades.csv"), *more]
    return {"ours: sandbox, warm start, feedback": timed(command, course, REPOSITORY)}


def run_one_job(course: Course, submissions: Path, options: argparse.Namespace) -> dict[str, float]:
    """Seconds with one worker."""
    options = argparse.Namespace(**(vars(options) | {"jobs": 1}))
    return {"ours, one job": run_ours(course, submissions, options).popitem()[1]}


def run_stock(course: Course, submissions: Path, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of `nbgrader autograde` and `nbgrader generate_feedback`; the gradebook is prepared before."""
    grade.register(course, [options.notebook])
    (course.grading / "submitted").symlink_to(submissions, target_is_directory=True)
    config = course.root / "stock_config.py"
    config.write_text(STOCK.format(folder=str(REPOSITORY / "autograder")))
    found = {}
    for part, command in (("stock: nbgrader autograde", "autograde"),
                          ("stock: nbgrader generate_feedback", "generate_feedback")):
        whole = [sys.executable, "-m", "nbgrader", command, options.notebook, f"--NbGrader.config_file={config}"]
        found[part] = timed(whole, course, REPOSITORY / "autograder")
    return found


VARIANTS = {"ours": run_ours, "stock": run_stock, "ours, one job": run_one_job}


def timed(command: list[str], course: Course, folder: Path) -> float:
    """Seconds that a command takes. Raises CalledProcessError where it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=os.environ | {ROOT_VARIABLE: str(course.root)},
                          capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
        done.check_returncode()
    return time.perf_counter() - start


def peak_memory(folder: Path, options: argparse.Namespace, count: int) -> int:
    """Bytes: the largest sum of the resident memory of the command and all processes below it. Shared pages count
    once a process. Raises RuntimeError where not all submissions were graded."""
    submissions = write_submissions(folder / f"small-{count}", options.notebook, count, solved=False)
    course = copy_of_the_course(folder / f"memory-{count}")
    command = [sys.executable, "-m", "autograder", "grade", str(submissions), "--jobs", str(options.jobs),
               "--output", str(course.root / "grades.csv")]
    grader = psutil.Popen(command, cwd=REPOSITORY, env=os.environ | {ROOT_VARIABLE: str(course.root)},
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while grader.poll() is None:
        held = 0
        for process in [grader, *grader.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                held += process.memory_info().rss
        peak = max(peak, held)
        time.sleep(0.2)
    if grader.returncode or len(marks(course, options.notebook)) != count:
        raise RuntimeError(f"{count} submissions were to be graded, got {len(marks(course, options.notebook))}")
    return peak


def parts(course: Course, submissions: Path, options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of what grading consists of, by one worker: start-up once a batch, all else for each submission.

    Start-up, imports above all, is the whole command on a folder without submissions. "bookkeeping" is what the others
    leave: pre-check, nbgrader's own steps, the gradebook, files.
    """
    graded: list[dict[str, float]] = []

    def timed_call(name: str, function: Callable, *arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            graded[-1][name] = graded[-1].get(name, 0.0) + time.perf_counter() - start

    def one(function: Callable, *arguments: Any) -> str:
        graded.append({})
        return timed_call("whole", function, *arguments)

    with contextlib.ExitStack() as stack:
        for name, (owner, attribute) in INSIDE.items():
            function = getattr(owner, attribute)

            @functools.wraps(function)
            def call(*arguments: Any, _name: str = name, _function: Callable = function, **named: Any) -> Any:
                return timed_call(_name, _function, *arguments, **named)

            stack.enter_context(mock.patch.object(owner, attribute, call))
        stack.enter_context(mock.patch.object(grade_one, "grade_one", functools.partial(one, grade_one.grade_one)))
        start = stack.enter_context(warm.Start(course))
        grade.grade(submissions, None, course.root / "grades.csv", course, grade.Options(jobs=1), start)
    for found in graded:
        found["cells"] -= found["kernel start"]  # the first cell starts it
        found["bookkeeping"] = found["whole"] - sum(found[name] for name in INSIDE)
    medians = {name: statistics.median(found[name] for found in graded)
               for name in (*INSIDE, "bookkeeping", "whole")}
    (nobody := course.root / "nobody").mkdir()
    started = [seconds for _ in range(3) for seconds in run_ours(course, nobody, options).values()]
    return {"start-up, once": statistics.median(started), **medians}


# Part -> what is timed for it.
INSIDE = {
    "kernel start": (kernel.Kernel, "__init__"),
    "cells": (judge.Bench, "run"),
    "checks": (judge.Bench, "judge"),
    "kernel end": (kernel.Kernel, "close"),
    "feedback page": (NbGraderAPI, "generate_feedback"),
}


def marks(course: Course, notebook: str) -> dict[str, float]:
    """Student -> mark."""
    with Gradebook(course.database) as gradebook:
        return {one.student.id: one.score for one in
                sorted(gradebook.assignment_submissions(notebook), key=lambda one: one.student.id)}


def report(seconds: dict[str, list[float]], inside: dict[str, float], memory: dict[int, int],
           options: argparse.Namespace) -> None:
    """The tables and the JSON."""
    medians = {part: statistics.median(values) for part, values in seconds.items()}
    stock = medians["stock: nbgrader autograde"]
    print(f"{options.submissions} submissions of {options.notebook}, {options.jobs} jobs, "
          f"medians of {options.repeats} runs\n")
    print(f"{'':40}{'seconds':>10}{'fastest':>10}{'slowest':>10}{'a submission':>14}{'throughput':>12}")
    for part, values in seconds.items():
        print(f"{part:40}{medians[part]:10.1f}{min(values):10.1f}{max(values):10.1f}"
              f"{medians[part] / options.submissions:14.2f}{stock / medians[part]:11.1f}x")
    print("\nparts, by one worker; each but the first for every submission")
    for part, value in inside.items():
        print(f"{part:40}{value:10.3f}")
    for count, peak in memory.items():
        print(f"memory at {count} submissions: {peak / 2**20:.0f} MiB at most")
    result = {"date": date.today().isoformat(), "seconds": seconds, "medians": medians,
              "parts": inside,
              "submissions": options.submissions, "jobs": options.jobs,
              "notebook": options.notebook, "peak_memory": memory, "pictures": options.pictures,
              "cores": len(os.sched_getaffinity(0)), "python": platform.python_version(),
              "torch": torch.__version__, "nbgrader": nbgrader.__version__, "machine": platform.machine(),
              "feedback": "in ours, not in nbgrader autograde", "sandbox": "in ours, not in stock",
              "throughput": stock / medians["ours: sandbox, warm start, feedback"]}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\n{options.output}")


if __name__ == "__main__":
    sys.exit(main())
