"""Each notebook once through real kernels: solved and untouched under nbgrader, untouched as a learner runs it."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from autograder import exercises, grade
from autograder.course import Course
from tests.autograder.helpers import complaints, errors, scratch_course, solved, submit, untouched


@pytest.mark.timeout(600)
def test_solved_earns_all_automatic_marks_and_untouched_none(course: Course, notebook: str, tmp_path: Path) -> None:
    scratch = scratch_course(course, tmp_path / "course")
    submit(tmp_path / "submissions", "solved", notebook, solved(notebook, course))
    submit(tmp_path / "submissions", "untouched", notebook, untouched(notebook, course))
    rows = grade.grade(tmp_path / "submissions", notebook, tmp_path / "grades.csv", scratch)
    by_student = {row.student: row for row in rows}
    automatic = sum(one.points for one in exercises.exercises(notebook, course) if not one.is_written)

    def autograded(student: str) -> nbformat.NotebookNode:
        return nbformat.read(scratch.grading / "autograded" / student / notebook / f"{notebook}.ipynb", as_version=4)

    assert not by_student["solved"].status.startswith("failed"), by_student["solved"].status
    assert errors(autograded("solved")) == []
    assert by_student["solved"].score == pytest.approx(automatic)
    assert by_student["untouched"].status == "graded"
    assert by_student["untouched"].score == 0
    assert errors(autograded("untouched"), besides="NotImplementedError") == []


@pytest.mark.timeout(600)
def test_untouched_raises_only_not_implemented_and_validate_says_what_is_missing(
        course: Course, notebook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(course.root))
    notebook_node = untouched(notebook, course)
    resources = {"metadata": {"path": course.solutions / notebook}}
    NotebookClient(notebook_node, timeout=300, kernel_name="python3", allow_errors=True, resources=resources).execute()
    assert errors(notebook_node, besides="NotImplementedError") == []
    nbformat.write(notebook_node, tmp_path / f"{notebook}.ipynb")
    said = complaints(tmp_path / f"{notebook}.ipynb")
    assert len(said) == len(exercises.exercises(notebook, course))
    missing = re.compile(r"NotImplementedError: .+ is (still None: fill in|not written yet: write it).+"
                         r"|You did not provide a response\.")
    assert [one for one in said if not missing.fullmatch(one)] == []
