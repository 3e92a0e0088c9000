"""The judge: the same marks as stock nbgrader for honest work, isolation of exercises, time limits, broken checks."""

import shutil
from pathlib import Path

import nbformat
import pytest
from traitlets.config import Config

from autograder import exercises, grade
from autograder.course import Course
from tests.autograder.helpers import errors, scratch_course, solved, submit, texts, untouched

pytestmark = pytest.mark.xdist_group("judge")


def graded(course: Course, student: str, notebook: str = "01_demo") -> nbformat.NotebookNode:
    return nbformat.read(course.grading / "autograded" / student / notebook / f"{notebook}.ipynb", as_version=4)


def marks(rows: list[grade.Row]) -> dict[str, float | None]:
    return {row.student: row.score for row in rows if row.status != grade.MISSING}


def stock() -> Config:
    """nbgrader's own Execute in the judge's place."""
    settings = Config()
    settings.Autograde.autograde_preprocessors = [
        "nbgrader.preprocessors.Execute", "nbgrader.preprocessors.IgnorePattern",
        "nbgrader.preprocessors.LimitOutput", "autograder.preprocessors.SaveGrades",
    ]
    return settings


def write(course: Course, folder: Path) -> None:
    """Honest submissions: right, unusual, untouched, and with every mistake that we know."""
    cells = {cell.id: cell.source for cell in solved("01_demo", course).cells}
    mutants, alternatives = exercises.mutants("01_demo", course)
    submit(folder, "solved", "01_demo", solved("01_demo", course, {one.exercise: one.source for one in alternatives}))
    submit(folder, "untouched", "01_demo", untouched("01_demo", course))
    for student, which in (("first", mutants), ("last", mutants[::-1])):  # of two mistakes in a cell, one or the other
        submit(folder, student, "01_demo",
               solved("01_demo", course, {one.exercise: one.apply(cells[one.exercise]) for one in which}))


def test_stock_execute_gives_the_same_marks_and_messages(released_demo: Course, tmp_path: Path, bubblewrap: str
                                                         ) -> None:
    write(released_demo, tmp_path / "submissions")
    found = {}
    for name, settings in (("judge", Config()), ("stock", stock())):
        course = scratch_course(released_demo, tmp_path / name)
        rows = grade.grade(tmp_path / "submissions", "01_demo", tmp_path / f"{name}.csv", course,
                           grade.Options(settings=settings))
        said = {row.student: [text for text in texts(graded(course, row.student)).splitlines() if "points." in text]
                for row in rows}
        found[name] = marks(rows), said
    assert found["judge"] == found["stock"]
    assert found["judge"][0]["solved"] == 5 and found["judge"][0]["untouched"] == 0


CHECK = """
        try:
            got = call({"numbers": numbers})
        except LearnerError as error:
            tally.error("odd", error)
            tally.error("negative", error)
            return tally.result()
"""
ODD = """def halves(numbers):
    if numbers[0] % 2:
        import os
        os._exit(0)
    return [number // 2 for number in numbers]"""
BATCH = {
    # The cells around it use what an earlier cell defined; its own cell ends the process.
    "stops": {"guess_longest": "assert halves([2]) == [1]\nimport os\nos._exit(3)",
              "why_even": "kept = halves([80])\nassert kept == [40]\nwhy_even = 'B'"},
    "odd": {"halves": ODD},
    "ada": {"guess_longest": "guess_longest = 1"},
    "ben": {"guess_longest": "guess_longest = 2"},
    "plots": {"guess_longest": "from matplotlib import pyplot\npyplot.plot([1, 2]);\nguess_longest = 40"},
}


@pytest.fixture(scope="module")
def batch(released_demo: Course, tmp_path_factory: pytest.TempPathFactory, bubblewrap: str) -> Course:
    """A course in which a check goes on after errors and another says what it drew."""
    course = Course(tmp_path_factory.mktemp("judge") / "course")
    shutil.copytree(released_demo.root, course.root)
    path = course.grading / "checks" / "01_demo.py"
    text = path.read_text()
    for old, new in (('        got = call({"numbers": numbers})\n', CHECK),
                     ('return Result(1.0, "Your guess is noted.")',
                      'return Result(1.0, f"drawn: {random.random()}")')):
        assert old in text
        text = text.replace(old, new)
    path.write_text(f"import random\nfrom autograder.checking import LearnerError\n{text}")
    for student, cells in BATCH.items():
        submit(course.root / "submissions", student, "01_demo", solved("01_demo", course, cells))
    return course


@pytest.fixture(scope="module")
def rows(batch: Course) -> list[grade.Row]:
    """The batch, graded once."""
    return grade.grade(batch.root / "submissions", "01_demo", batch.root / "grades.csv", batch)


def test_what_stops_the_kernel_costs_one_exercise_and_earlier_cells_run_again(batch: Course, rows: list) -> None:
    assert marks(rows)["stops"] == 4
    notebook = graded(batch, "stops")
    assert len(errors(notebook)) == 1 and "ended the process" in errors(notebook)[0]
    assert "guess_longest: 0 of 1 points." in texts(notebook)


def test_marks_before_the_stop_within_an_exercise_stay(rows: list) -> None:
    assert marks(rows)["odd"] == 3  # of halves' 3 points the one for "even", and 2 others


def test_inputs_differ_between_submissions_and_not_between_gradings(batch: Course, rows: list) -> None:
    def drawn() -> list[str]:
        return [next(line for line in texts(graded(batch, student)).splitlines() if line.startswith("drawn"))
                for student in ("ada", "ben")]

    first = drawn()
    grade.grade(batch.root / "submissions", "01_demo", batch.root / "grades.csv", batch, grade.Options(again=True))
    assert drawn() == first and first[0] != first[1]


def test_figures_stay_in_the_graded_notebook(batch: Course, rows: list) -> None:
    shown = [output.data for cell in graded(batch, "plots").cells for output in cell.get("outputs", [])
             if output.output_type == "display_data"]
    assert any("image/png" in data for data in shown)


def test_time_of_the_whole_notebook(course: Course, bubblewrap: str) -> None:
    settings = Config()
    settings.Judge.notebook_timeout = 4
    folder = course.root / "submissions"
    submit(folder, "slow", "01_demo", solved("01_demo", course, {"why_even": "import time\ntime.sleep(60)"}))
    rows = grade.grade(folder, "01_demo", course.root / "grades.csv", course, grade.Options(settings=settings))
    assert rows[0].status != grade.FAILED and rows[0].score <= 4
    assert "why_even: 0 of 1 points." in texts(graded(course, "slow"))


def test_a_kernel_that_cannot_start_is_a_failure_and_no_mark(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Config()
    settings.Judge.limits = {"memory": 2**20}  # not enough for an interpreter
    folder = course.root / "submissions"
    submit(folder, "ada", "01_demo", solved("01_demo", course))
    options = grade.Options(sandbox=False, settings=settings)
    (row,) = grade.grade(folder, "01_demo", course.root / "grades.csv", course, options)
    assert row.score is None and row.status.startswith("failed") and "kernel did not" in row.status
