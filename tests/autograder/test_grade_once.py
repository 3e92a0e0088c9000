"""Single gradings: a broken check, a second grading, unknown names, and nbgrader's own commands."""

import os
import subprocess
import sys

import nbformat
import pytest

from autograder import grade
from autograder.course import REPOSITORY, ROOT_VARIABLE, Course
from tests.autograder.helpers import solved, submit, untouched


def test_a_check_that_breaks_down_leaves_the_mark_to_a_person(course: Course) -> None:
    path = course.grading / "checks" / "01_demo.py"
    path.write_text(path.read_text().replace("    tally = ", '    secret = {}["no such key"]\n    tally = '))
    folder = course.root / "submissions"
    submit(folder, "ada", "01_demo", solved("01_demo", course))
    (row,) = grade.grade(folder, output=course.root / "grades.csv", course=course)
    assert row.status == ("needs manual grading: the hidden check 01_demo/halves broke down: KeyError: 'no such key'")
    assert row.score == 2  # the other exercises
    page = (course.grading / "feedback" / "ada" / "01_demo" / "01_demo.html").read_text()
    assert "a person will mark it" in page.lower() and "no such key" not in page and "secret" not in page


def test_grading_again_replaces_marks(course: Course) -> None:
    folder = course.root / "submissions"
    path = submit(folder, "ada", "01_demo", untouched("01_demo", course))
    (row,) = grade.grade(folder, "01_demo", course.root / "grades.csv", course)
    assert row.score == 0
    path.write_text(nbformat.writes(solved("01_demo", course)))
    (row,) = grade.grade(folder, "01_demo", course.root / "grades.csv", course)
    assert row.score == 5
    assert "ada" in grade.table([row]) and "5 / 7" in grade.table([row])


def test_unknown_assignments_and_names_are_told(course: Course) -> None:
    folder = course.root / "submissions"
    submit(folder, "a,b", "01_demo", untouched("01_demo", course))
    submit(folder, "ada", "99_other", nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]))
    found = {row.student: row for row in grade.grade(folder, output=course.root / "grades.csv", course=course)
             if row.status != "missing"}
    assert found["a,b"].status.startswith("failed: rename the folder")
    assert found["ada"].status.startswith("refused: 99_other.ipynb holds no cell of any assignment")
    with pytest.raises(ValueError, match="must be one of 01_demo, 02_next; got 03"):
        grade.grade(folder, "03", course=course)


def test_stock_commands_work_in_the_autograder_folder(course: Course) -> None:
    """The commands of the instructor's guide, as an instructor would type them."""
    (course.root / "students.csv").write_text("id,first_name,last_name,email,lms_user_id\nada,Ada,Byron,a@b.org,4711\n")
    submit(course.grading / "submitted", "ada", "01_demo", solved("01_demo", course))
    before = (course.notebooks / "01_demo" / "01_demo.ipynb").read_text()
    for command in (["generate_assignment", "01_demo", "--force"], ["release_assignment", "01_demo"],
                    ["db", "student", "import", str(course.root / "students.csv")],
                    ["db", "assignment", "add", "01_demo", "--duedate", "2027-01-31 23:59:00 UTC"],
                    ["autograde", "01_demo"], ["generate_feedback", "01_demo"],
                    ["generate_feedback", "01_demo", "--force"],
                    ["export", "--to", str(course.root / "stock.csv")]):
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *command], cwd=REPOSITORY / "autograder", capture_output=True, text=True,
            env=os.environ | {ROOT_VARIABLE: str(course.root)},
        )
        assert done.returncode == 0, done.stderr
    exported = (course.root / "stock.csv").read_text()
    assert ",5.0,7.0" in exported and "Byron" in exported and "2027-01-31" in exported
    assert (course.notebooks / "01_demo" / "01_demo.ipynb").read_text() == before
    assert (course.grading / "exchange" / "chunked_prefill" / "outbound" / "01_demo").is_dir()
