"""The pre-check of a submission before it is graded: repairs what can be repaired, and tells the learner.

What it did to each submission stands in `autograded/.precheck/ASSIGNMENT--STUDENT.json`: `repairs`, a list of
sentences, and `refused`, a sentence or null.
"""

import functools
import html
import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from autograder import reading
from autograder.cells import Release
from autograder.course import Course
from autograder.reading import Refused
from autograder.repair import repair
from autograder.submissions import Submission, shown

_IMPORT = re.compile(r"^\s*(?:from\s+(\w+)[\w.]*\s+import\b|import\s+([\w., ]+))", re.MULTILINE)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ font: 1rem/1.5 sans-serif; margin: 2rem auto; max-width: 40rem; padding: 0 1rem;
overflow-wrap: anywhere }}</style>
</head>
<body>
<h1>{title}</h1>
<p>This submission could not be graded, and has no mark yet.</p>
<p><strong>{reason}</strong></p>
<p>If you think that this is a mistake, ask your instructor.</p>
</body>
</html>
"""


def set_release(course: Course, assignment: str, text: str) -> None:
    """Keeps the notebook that learners get, as the sources have it now; somebody may work in that of `notebooks/`."""
    _write(_release_path(course, assignment), text)


def check(course: Course, submission: Submission) -> tuple[NotebookNode, list[str]]:
    """The repaired notebook, and a sentence for each repair.

    Raises Refused. The submitted file is left as it is.
    """
    submitted = reading.read(submission.path)
    unused = _modules_beside(submission, submitted)
    notebook, repairs = repair(submitted, _release(_release_path(course, submission.assignment).read_text()))
    repairs = [*submission.notes, *unused, *repairs]
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError:  # what other programs wrote beside the text
        for cell in notebook.cells:
            cell.metadata = {key: value for key, value in cell.metadata.items() if key == "nbgrader"}
            cell.pop("attachments", None)
        notebook = nbformat.from_dict(notebook)
        repairs.append("Damaged metadata, and pictures in texts, were left out.")
        nbformat.validate(notebook)
    return notebook, repairs


def _release_path(course: Course, assignment: str) -> Path:
    return course.grading / "autograded" / ".released" / f"{assignment}.ipynb"


@functools.cache
def _release(text: str) -> Release:
    return Release(nbformat.reads(text, as_version=4))


def _modules_beside(submission: Submission, notebook: NotebookNode) -> list[str]:
    """Python files beside a notebook are never used. Refused where the notebook needs one of them."""
    names = sorted(path.stem for path in submission.path.parent.glob("*.py"))
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    imported = {name.strip().partition(".")[0].partition(" ")[0]
                for one, many in _IMPORT.findall(code) for name in (one or many).split(",")}
    for name in names:
        if name in imported and name not in sys.modules and importlib.util.find_spec(name) is None:
            raise Refused(f"The notebook imports {name}.py, which was handed in beside it. Only the notebook is "
                          f"graded: copy what you need of {name}.py into a cell, and hand in the notebook.")
    files = ", ".join(shown(f"{name}.py") for name in names[:5])
    return [f"Not used, since only the notebook is graded: {files}."] if names else []


def told(notebook: NotebookNode, repairs: list[str]) -> NotebookNode:
    """The notebook with a first cell that lists the repairs, which the feedback page then shows."""
    if repairs:
        lines = "\n".join(f"- {_markdown(sentence)}" for sentence in repairs)
        text = f"**Repaired before grading.** None of this costs marks.\n\n{lines}"
        notebook.cells.insert(0, new_markdown_cell(text, id="repaired-before-grading"))
    return notebook


def _markdown(sentence: str) -> str:
    """A sentence with its file names as they are; only backticks, which `shown` takes out of names, are markup."""
    parts = sentence.split("`")
    parts[::2] = [re.sub(r"[^\w\s.,:;()'\"/-]", lambda found: f"&#{ord(found[0])};", part) for part in parts[::2]]
    return "`".join(parts)


def record(course: Course, submission: Submission, repairs: list[str], refused: str | None = None) -> None:
    """Writes what the pre-check did."""
    content = {"student": submission.student, "assignment": submission.assignment, "file": submission.path.name,
               "timestamp": submission.timestamp, "repairs": repairs, "refused": refused}
    path = course.grading / "autograded" / ".precheck" / f"{submission.assignment}--{submission.student}.json"
    _write(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def refuse(course: Course, submission: Submission, reason: str) -> None:
    """Writes the refusal to the learner's feedback folder and to the record."""
    name = submission.assignment
    title = html.escape(f"{name}: not graded")
    page = _PAGE.format(title=title, reason=html.escape(reason))
    _write(course.grading / "feedback" / submission.student / name / f"{name}.html", page)
    record(course, submission, list(submission.notes), reason)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8", errors="replace")
    os.replace(beside, path)
