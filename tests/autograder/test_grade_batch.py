"""Grading a folder with real nbgrader: honest marks, honest statuses, and neighbours that do not suffer."""

import copy
import csv
from pathlib import Path

import nbformat
import pytest

from autograder import checking, exercises, grade
from autograder.course import Course
from tests.autograder.helpers import demo_course, errors, graded, solved, submit, texts, untouched

pytestmark = pytest.mark.xdist_group("grade")  # one worker, so that the batch below is graded once

WARNS = """# exercise: halves
def halves(numbers):
    import warnings
    warnings.warn("deprecated")
    if any(n < 0 for n in numbers):
        raise ValueError
    return [n // 2 for n in numbers]
print(halves([2]))"""


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Course, Path]:
    """A course, and a folder of submissions that was graded once."""
    course = demo_course(tmp_path_factory.mktemp("grade"))
    folder = course.root / "submissions"
    rounded_up = next(m for m in exercises.mutants("01_demo", course)[0] if m.misconception == "rounded_up")
    right = solved("01_demo", course)
    halves = next(cell.source for cell in right.cells if cell.id == "halves")
    submit(folder, "untouched", "01_demo", untouched("01_demo", course))
    submit(folder, "solved", "01_demo", right)
    submit(folder, "partial", "01_demo", solved("01_demo", course, {"halves": rounded_up.apply(halves)}))
    submit(folder, "warns", "01_demo", solved("01_demo", course, {"halves": WARNS}))
    submit(folder, "kills", "01_demo", solved("01_demo", course, {"halves": "import os; os._exit(1)"}))
    submit(folder, "broken", "01_demo", '{"cells": [')
    copied = copy.deepcopy(right)
    copied.cells.insert(6, nbformat.from_dict(dict(copied.cells[4], id="again")))
    submit(folder, "copied", "01_demo", copied)
    (folder / "absent").mkdir()
    # A flat folder, and a name that a browser gave.
    (folder / "flat").mkdir()
    (folder / "flat" / "01_demo (1).ipynb").write_text(nbformat.writes(right))
    grade.grade(folder, output=course.root / "grades.csv", course=course)
    return course, folder


def rows(course: Course) -> dict[str, dict[str, str]]:
    with open(course.root / "grades.csv", newline="") as file:
        return {line["student_id"]: line for line in csv.DictReader(file) if line["assignment"] == "01_demo"}


def autograded(course: Course, student: str) -> nbformat.NotebookNode:
    return nbformat.read(course.grading / "autograded" / student / "01_demo" / "01_demo.ipynb", as_version=4)


@pytest.mark.parametrize(("student", "score"), [("untouched", 0), ("solved", 5), ("partial", 4), ("warns", 5),
                                                ("copied", 5), ("flat", 5), ("kills", 2)])
def test_scores(batch: tuple[Course, Path], student: str, score: float) -> None:
    line = rows(batch[0])[student]
    assert float(line["score"]) == score and float(line["max_score"]) == 7


@pytest.mark.parametrize(("student", "status"), [
    ("untouched", "graded"), ("solved", "needs manual grading: say_why"), ("absent", "missing"),
    ("broken", "refused: 01_demo.ipynb is not a notebook that Jupyter can read"),
    ("kills", "needs manual grading: say_why"),
])
def test_statuses(batch: tuple[Course, Path], student: str, status: str) -> None:
    line = rows(batch[0])[student]
    assert line["status"].startswith(status)
    assert (line["score"] == "") == status.startswith(("refused", "missing"))


def test_untouched_raises_only_not_implemented(batch: tuple[Course, Path]) -> None:
    assert errors(autograded(batch[0], "untouched"), besides="NotImplementedError") == []
    assert len(errors(autograded(batch[0], "untouched"))) == 2  # guess_longest and why_even
    assert "halves: 0 of 3 points." in texts(autograded(batch[0], "untouched"))


def test_partial_credit_is_the_same_as_direct(batch: tuple[Course, Path]) -> None:
    course, _ = batch
    rounded_up = next(m for m in exercises.mutants("01_demo", course)[0] if m.misconception == "rounded_up")
    halves = next(cell.source for cell in solved("01_demo", course).cells if cell.id == "halves")
    result = graded("01_demo", "halves", course, rounded_up.apply(halves))
    cell = next(cell for cell in autograded(course, "partial").cells if cell.id == "halves_check")
    value = next(output for output in cell.outputs if output.output_type == "execute_result")
    assert float(value.data["text/plain"]) == checking.points(result, 3) == 2


def test_feedback_has_the_message_and_not_the_hidden_tests(batch: tuple[Course, Path]) -> None:
    page = (batch[0].grading / "feedback" / "partial" / "01_demo" / "01_demo.html").read_text()
    assert "Odd numbers are rounded up instead of down." in page
    for hidden in ("HIDDEN TESTS", "autograder.stock", "grade(&quot;01_demo"):
        assert hidden not in page


def test_release_is_not_touched(batch: tuple[Course, Path]) -> None:
    course, _ = batch
    released = nbformat.read(course.notebooks / "01_demo" / "01_demo.ipynb", as_version=4)
    assert released == untouched("01_demo", course)
