"""What the tests of the autograder and of every notebook share."""

import functools
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode
from nbgrader.validator import Validator

from autograder import exercises, release, solutions, sources
from autograder.checking import Result
from autograder.course import Course

DEMO = Path(__file__).resolve().parents[1] / "fixtures" / "demo_course"


def demo_course(folder: Path) -> Course:
    """A copy of the demo course in `folder`, with its notebooks released."""
    shutil.copytree(DEMO, folder / "course")
    course = Course(folder / "course")
    release.release(course)
    return course


def scratch_course(course: Course, folder: Path) -> Course:
    """A course with the sources of `course` and a gradebook, submissions and builds of its own."""
    (folder / "autograder").mkdir(parents=True)
    for part in ("solutions", "autograder/checks", "autograder/adapters"):
        (folder / part).symlink_to(course.root / part, target_is_directory=True)
    return Course(folder)


@functools.cache
def untouched_text(notebook: str, course: Course) -> str:
    """The text of the learner's notebook, made anew from its source."""
    return release.learner_notebooks(course, [notebook])[notebook]


def untouched(notebook: str, course: Course) -> NotebookNode:
    """The learner's notebook as released."""
    return nbformat.reads(untouched_text(notebook, course), as_version=4)


def solved(notebook: str, course: Course, replaced: dict[str, str] | None = None) -> NotebookNode:
    """The learner's notebook with every exercise solved; `replaced` gives other texts by grade_id."""
    written = {sources.grade_id(cell): cell.source for cell in sources.read(notebook, course).cells
               if sources.is_solution(cell) or sources.is_answer(cell)}
    written |= replaced or {}
    submission = untouched(notebook, course)
    for cell in submission.cells:
        cell.source = written.get(sources.grade_id(cell), cell.source)
    return submission


def submit(folder: Path, student: str, notebook: str, submission: NotebookNode | str) -> Path:
    """Puts a notebook (or the text of a broken one) where `grade` looks for it."""
    path = folder / student / notebook / f"{notebook}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(submission if isinstance(submission, str) else nbformat.writes(submission))
    return path


def untouched_namespace(notebook: str, course: Course) -> tuple[dict[str, Any], list[Exception]]:
    """What is defined after the release's setup, given and exercise cells, and what they raised."""
    defined: dict[str, Any] = {"__name__": "__main__"}
    raised = []
    for cell in untouched(notebook, course).cells:
        if sources.is_solution(cell) or sources.tags(cell) & {"setup", "given"}:
            try:
                exec(compile(cell.source, f"<{notebook}/{cell.id}>", "exec"), defined)
            except Exception as error:
                raised.append(error)
    return defined, raised


def graded(notebook: str, exercise: str, course: Course, source: str | None = None) -> Result:
    """The hidden check's result on the solutions, with `source` as the exercise's cell if it is given."""
    namespace = solutions.namespace(notebook, {exercise: source} if source is not None else None, course)
    return exercises.grade(notebook, exercise, namespace, course)


def errors(notebook: NotebookNode, besides: str = "") -> list[str]:
    """The exceptions in the notebook's outputs, other than those named `besides`, each with its cell."""
    found = [(cell.id, output) for cell in notebook.cells for output in cell.get("outputs", [])]
    return [f"{where}: {output.ename}: {output.evalue}" for where, output in found
            if output.output_type == "error" and output.ename != besides]


class Figure(NamedTuple):
    """A figure that a notebook shows: its alt text, the text below it, and the rows of the tables that follow it."""

    alt: str
    caption: str
    num_rows: int


def figures(notebook: NotebookNode) -> list[Figure]:
    """All figures in the outputs; those shown in another way than by course_lib.plots have no texts."""
    found = []
    for data in (output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])):
        parts = "".join(data.get("text/html", "")).split("<img ")[1:]
        for part in parts:
            alt, caption = re.match(r'alt="([^"]*)"', part), re.search(r"<figcaption>(.+?)</figcaption>", part)
            found.append(Figure(alt[1] if alt else "", caption[1] if caption else "", part.count("<tr>")))
        found += [Figure("", "", 0) for kind in data if kind.startswith("image/") and not parts]
    return found


def texts(notebook: NotebookNode) -> str:
    """All printed text in the notebook's outputs."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def complaints(path: Path) -> list[str]:
    """What nbgrader's Validate says of a notebook that has been run already: nothing, or an error for each cell."""
    verdict = Validator(preprocessors=[]).validate(str(path))
    assert set(verdict) <= {"failed"}, f"Validate finds changed cells: {verdict}"
    return [cell["raw_error"] for cell in verdict.get("failed", [])]
