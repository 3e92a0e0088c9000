"""What comes out of grading: feedback pages, the instructor's report, marks for an LMS, penalties for late work."""

import base64
import csv
import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook
from traitlets.config import Config

from autograder import __main__, course_api, exercises, grade, late, marks, report, rubric, verdicts
from autograder.course import Course
from tests.autograder.helpers import demo_course, solved, submit, untouched

pytestmark = pytest.mark.xdist_group("grade")

DRAWS = """import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from course_lib.plots.picture import Picture
Picture(Figure(), "Halves", 'Two bars, "even" <and> odd.', ("number",), (("2",),))"""
LATE = Config({"AssignLatePenalties": {"plugin_class": "autograder.late.PerDay"}, "PerDay": {"share_per_day": 0.2}})


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, bubblewrap: str) -> Course:
    """A course whose 01_demo was due at noon, with six submissions graded once and the report written."""
    course = demo_course(tmp_path_factory.mktemp("report"))
    with course_api.api(course), Gradebook(course.database) as gradebook:
        gradebook.update_or_create_assignment("01_demo", duedate="2026-11-01 12:00:00 UTC")
        gradebook.add_student("ada", first_name="Ada", last_name="Lovelace", email="ada@example.org",
                              lms_user_id="4711")
        gradebook.add_student("tardy", first_name="Tar", last_name="Dy", email="tardy@example.org")
    folder, right = course.root / "submissions", solved("01_demo", course)
    halves = next(cell.source for cell in right.cells if cell.id == "halves")
    wrong = next(one for one in exercises.mutants("01_demo", course)[0] if one.misconception == "rounded_up")
    mistaken = solved("01_demo", course, {
        "halves": wrong.apply(halves), "say_why": "<!-- answer: say_why -->\n# Big\nA <b>bold</b> `a < b`"
        '<script>alert(1)</script> <img src=x onerror="alert(1)"> [x](javascript:alert(1))'})
    place = next(index for index, cell in enumerate(mistaken.cells) if cell.id == "halves_check")
    mistaken.cells.insert(place + 1, new_code_cell(DRAWS))
    submit(folder, "ada", "01_demo", right)
    submit(folder, "ben", "01_demo", mistaken)
    submit(folder, "new", "01_demo", untouched("01_demo", course))
    submit(folder, "broken", "01_demo", '{"cells": [')
    path = submit(folder, "tardy", "01_demo", right)
    (path.parent / "timestamp.txt").write_text("2026-11-02 18:00:00 UTC")
    (folder / "absent").mkdir()
    grade.grade(folder, "01_demo", course.root / "grades.csv", course, grade.Options(settings=LATE))
    report.write_all(course, course.root / "grades.csv", LATE)
    return course


def page(course: Course, student: str) -> str:
    return (course.grading / "feedback" / student / "01_demo" / "01_demo.html").read_text()


def lines(course: Course) -> dict[str, dict[str, str]]:
    return {line["student_id"]: line for line in marks.read(course.root / "grades.csv")}


def table(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_feedback_begins_with_a_table_of_exercises(graded: Course) -> None:
    found = page(graded, "ben")
    assert "<h1>01_demo: 4 of 7 marks</h1>" in found and "1 of 4 exercises waits for a person" in found
    for row in ('<a href="#halves">halves</a></td>\n<td class="number">2 / 3</td>\n'
                "<td>Odd numbers are rounded up instead of down.</td>",
                '<td class="number">– / 2</td>\n<td>A person will read this.</td>'):
        assert row in found
    assert [int(level) for level in re.findall(r"<h(\d)", found)] == [1, 2, 3, 2, 2, 2, 3]
    assert BeautifulSoup(found, "html.parser").find("meta", {"name": "viewport"})


def test_feedback_shows_the_pictures_that_the_code_made(graded: Course) -> None:
    image, = BeautifulSoup(page(graded, "ben"), "html.parser").find_all("img")
    assert image["alt"] == 'Two bars, "even" <and> odd.'
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_feedback_runs_nothing_and_tells_no_secrets(graded: Course) -> None:
    found = page(graded, "ben")
    assert "default-src 'none'" in found and "<b>bold</b>" in found and "<code>a &lt; b</code>" in found
    for hidden in ("<script", "onerror", "javascript:", "HIDDEN TESTS", "autograder.stock", "Rubric", "twice zero"):
        assert hidden not in found
    assert "This exercise is not written yet" in page(graded, "new") and "No response." in page(graded, "new")


def test_rubric_is_for_the_grader_alone(graded: Course) -> None:
    assert rubric.rubrics("01_demo", graded) == {"say_why": "It is twice zero. Rubric: 2 points for the definition."}
    with course_api.environment(COURSE_ROOT=str(graded.root)):
        shown, _ = rubric.ShowRubric().preprocess(untouched("01_demo", graded), {"assignment_id": "01_demo"})
        other, _ = rubric.ShowRubric().preprocess(untouched("01_demo", graded), {"assignment_id": "99_other"})
    assert [cell.source for cell in shown.cells if "twice zero" in cell.source] == [shown.cells[-1].source]
    assert shown.cells[-2].metadata.nbgrader.grade_id == "say_why" and other == untouched("01_demo", graded)
    kept = (graded.grading / "autograded" / "ben" / "01_demo" / "01_demo.ipynb").read_text()
    assert "Rubric" not in kept and "Rubric" not in nbformat.writes(untouched("01_demo", graded))


def test_report_has_the_hardest_exercise_first_with_its_misconceptions(graded: Course) -> None:
    header, *rows = table(graded.grading / "reports" / "01_demo.csv")
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert [row[0] for row in rows] == ["say_why", "halves", "guess_longest", "why_even"]
    halves = found["halves"]
    assert (halves["marked"], halves["mean_share"], halves["full_marks_share"]) == ("4", "0.6667", "0.5000")
    assert halves["misconceptions"] == "1 x Odd numbers are rounded up instead of down."
    assert halves["not_written"] == "1"
    assert found["say_why"] | {"marked": "1", "waiting": "3", "mean_share": "0.0000"} == found["say_why"]


def test_report_says_what_waits_and_what_could_not_be_graded(graded: Course) -> None:
    found = (graded.grading / "reports" / "01_demo.html").read_text()
    assert "3 needs manual grading, 1 missing, 1 refused, 1 graded." in " ".join(found.split())
    assert "1 final marks: mean 0.00" in found and "ada, ben, tardy" in found and "Formgrader" in found
    assert "<td>broken</td><td>refused: " in found and "<script" not in found
    assert 'alt="Bars of how many submissions have how many marks. 0 to &lt;1 marks: 1;' in found


def test_a_late_submission_loses_its_share_also_of_marks_by_hand(graded: Course) -> None:
    line = lines(graded)["tardy"]
    assert (line["raw_score"], line["late_submission_penalty"], line["score"]) == ("5.0", "2.0", "3.0")
    assert lines(graded)["ada"]["late_submission_penalty"] == "0.0"
    with Gradebook(graded.database) as gradebook:
        for student in ("ada", "tardy"):
            mark = gradebook.find_grade("say_why", "01_demo", "01_demo", student)
            mark.manual_score, mark.needs_manual_grade = 2.0, False
        gradebook.db.commit()
    report.write_all(graded, graded.root / "grades.csv", LATE)
    line = lines(graded)["tardy"]
    assert (line["score"], line["late_submission_penalty"], line["status"]) == ("4.2", "2.8", "graded")

    folder = graded.grading / "reports" / "lms"
    assert table(folder / "canvas_01_demo.csv") == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "01_demo"],
        ["    Points Possible", "", "", "", "", "7"], ["Lovelace, Ada", "4711", "", "ada", "", "7"],
        ["new", "", "", "new", "", "0"], ["Dy, Tar", "", "", "tardy", "", "4.2"]]
    full = "halves 3/3, guess_longest 1/1, why_even 1/1, say_why 2/2"
    assert table(folder / "moodle_01_demo.csv") == [
        ["Email address", "First name", "Last name", "01_demo", "01_demo (feedback)"],
        ["ada@example.org", "Ada", "Lovelace", "7", full],
        ["tardy@example.org", "Tar", "Dy", "4.2", f"{full}, late -2.8"]]
    found = {row[0]: row[2:] for row in table(folder / "status.csv")}
    assert found["ben"] == ["4", "needs manual grading: say_why", "no", "no"]
    assert found["new"] == ["0", "graded", "yes", "no: no e-mail address"]
    assert found["broken"][0] == "" and found["broken"][1].startswith("refused")
    assert found["absent"] == ["", "missing", "no", "no"]


@pytest.mark.parametrize(("minutes", "penalty"), [(15, None), (16, 1.0), (25 * 60, 2.0), (10 * 24 * 60, 5.0)])
def test_penalty_grows_by_the_day(minutes: float, penalty: float | None) -> None:
    assert late.PerDay().late_submission_penalty("ada", 10.0, 60.0 * minutes) == penalty


def test_report_command_says_what_is_missing(course: Course, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with course_api.environment(COURSE_ROOT=str(course.root)):
        assert __main__.main(["report", "--marks", str(tmp_path / "grades.csv")]) == 1
    assert "grade first, make grade SUBMISSIONS=folder" in capsys.readouterr().err


def test_a_verdict_is_read_from_the_text_of_stock_nbgrader() -> None:
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output(
        "stream", text="halves: 3 checks passed.\nhalves: 2 of 3 points.\nodd:\nFirst difference: at [0]: 1\n"
                       "Likely cause: Rounded up.\n")])
    assert verdicts.of(cell) == verdicts.Verdict("odd:\nFirst difference: at [0]: 1", "Rounded up.")
    assert verdicts.of(nbformat.v4.new_code_cell()) is None
    unwritten = nbformat.v4.new_output("error", ename="NotImplementedError", evalue="<not written yet>", traceback=[])
    assert verdicts.of(nbformat.v4.new_code_cell(outputs=[unwritten])).line == "This exercise is not written yet."
