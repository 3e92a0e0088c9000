"""A corrected check, on a download of Canvas: its submissions are graded again, and what a person did stays."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

from autograder import grade
from autograder.course import REPOSITORY, ROOT_VARIABLE, Course
from autograder.progress import Progress
from autograder.submissions import Submission
from tests.autograder.damaged.notebooks import HALF_WRONG
from tests.autograder.helpers import solved, submit, untouched
from tests.autograder.test_submissions import zipped

ADA, BEN = "lovelaceada_4711", "babbagecharles_4712"


def download(course: Course, released: Course) -> Path:
    slip = solved("01_demo", released, {"halves": HALF_WRONG})
    return zipped(course.root / "submissions.zip", {
        f"{ADA.replace('_', '_LATE_')}_81516_01_demo.ipynb": nbformat.writes(solved("01_demo", released)),
        f"{BEN}_81517_01_demo-1.ipynb": nbformat.writes(slip)})


def test_a_corrected_check_leaves_a_persons_work_alone(course: Course, released_demo: Course, bubblewrap: str) -> None:
    archive = download(course, released_demo)
    output = course.root / "grades.csv"

    def run() -> dict[str, tuple[float | None, str]]:
        return {row.student: (row.score, row.status) for row in grade.grade(archive, output=output, course=course)}

    waiting = "needs manual grading: say_why"
    assert run() == {ADA: (5, waiting), BEN: (3, waiting)}
    with Gradebook(course.database) as gradebook:
        for student, score in ((ADA, 2), (BEN, 1)):
            mark = gradebook.find_grade("say_why", "01_demo", "01_demo", student)
            mark.manual_score, mark.needs_manual_grade = score, False
            comment = gradebook.find_comment("say_why", "01_demo", "01_demo", student)
            comment.manual_comment = f"Well said, {student}."
        overruled = gradebook.find_grade("halves_check", "01_demo", "01_demo", BEN)  # by the instructor
        overruled.manual_score, overruled.needs_manual_grade = 2.5, False
        gradebook.update_or_create_assignment("01_demo", duedate=datetime(2020, 1, 1))
        gradebook.db.commit()
    assert run() == {ADA: (7, "graded"), BEN: (5.5, "graded")}

    # The check is corrected: 20 is the only guess, and a half that was rounded up was no mistake.
    check = course.grading / "checks" / "01_demo.py"
    text = check.read_text()
    for old, new in (('Result(1.0, "Your guess is noted.")', 'Result(float(value == 20), "No.")'),
                     ('("odd", [3, 41], [1, 20]', '("odd", [2, 4], [1, 2]')):
        assert text.count(old) == 1
        text = text.replace(old, new)
    check.write_text(text)
    # Ada lost the guess. Ben did, too; the mark that was overruled changed, so a person has to look at it again.
    assert run() == {ADA: (6, "graded"), BEN: (4.5, "needs manual grading: halves_check")}
    with Gradebook(course.database) as gradebook:
        assert gradebook.find_grade("halves_check", "01_demo", "01_demo", BEN).auto_score == 2
        for student, score in ((ADA, 2), (BEN, 1)):
            assert gradebook.find_grade("say_why", "01_demo", "01_demo", student).manual_score == score
            comment = gradebook.find_comment("say_why", "01_demo", "01_demo", student)
            assert comment.manual_comment == f"Well said, {student}."
        # Canvas says that Ada was late, and not by how much.
        assert gradebook.find_submission("01_demo", ADA).total_seconds_late == 1
        assert gradebook.find_submission("01_demo", BEN).total_seconds_late == 0
        assert gradebook.find_student(ADA).lms_user_id == "4711"
    page = (course.grading / "feedback" / ADA / "01_demo" / "01_demo.html").read_text()
    assert f"Well said, {ADA}." in page


def test_a_check_concerns_its_own_assignment(course: Course, released_demo: Course) -> None:
    paths = {name: submit(course.root / "in", "ada", name, untouched(name, released_demo)) for name in course.names()}
    graded = [Submission("ada", name, path) for name, path in paths.items()]
    for one in graded:
        submit(course.grading / "autograded", "ada", one.assignment, one.path.read_text())
        Progress(course, "").record(one)

    def left() -> list[str]:
        return [one.assignment for one in graded if not Progress(course, "").is_graded(one)]

    assert left() == []
    assert [one.assignment for one in graded if Progress(course, "other settings").is_graded(one)] == []
    check = course.grading / "checks" / "01_demo.py"
    check.write_text(check.read_text() + "\n# corrected\n")
    assert left() == ["01_demo"]
    Progress(course, "").record(graded[0])
    source = course.solutions / "01_demo" / "01_demo.py"  # 02_next includes a cell of it
    source.write_text(source.read_text().replace("return [number // 2 for", "return [number // 2  for"))
    assert left() == ["01_demo", "02_next"]
    assert Progress(course, "").is_same_text(graded[0])
    paths["01_demo"].write_text(paths["01_demo"].read_text() + "\n")
    assert not Progress(course, "").is_same_text(graded[0])


def test_a_grading_that_was_broken_off_is_not_done(course: Course, released_demo: Course) -> None:
    path = submit(course.root / "in", "ada", "01_demo", untouched("01_demo", released_demo))
    one = Submission("ada", "01_demo", path)
    submit(course.grading / "autograded", "ada", "01_demo", path.read_text())
    records = Progress(course, "")
    records.begin(one)
    assert not records.is_graded(one)
    records.record(one)
    assert records.is_graded(one)
    records.begin(one)
    assert not records.is_graded(one) and records.is_same_text(one)


def test_what_was_collected_is_kept(course: Course, released_demo: Course, bubblewrap: str) -> None:
    """nbgrader collects to autograder/submitted, and that folder can be graded, too."""
    damaged = solved("01_demo", released_demo)
    damaged.cells = [cell for cell in damaged.cells if cell.id != "halves_check"]
    path = submit(course.grading / "submitted", "ada", "01_demo", damaged)
    (path.parent / "timestamp.txt").write_text("2026-03-01 12:00:00 UTC")
    text = path.read_text()
    for _ in range(2):
        [row] = grade.grade(course.grading / "submitted", output=course.root / "grades.csv", course=course)
        assert row.score == 5
        [original] = (course.grading / "downloaded" / "originals" / "ada" / "01_demo").iterdir()
        assert original.read_text() == text
        assert (path.parent / "timestamp.txt").read_text() == "2026-03-01 12:00:00 UTC"
    record = json.loads((course.grading / "autograded" / ".precheck" / "01_demo--ada.json").read_text())
    assert record["repairs"] == ["Missing, and put back as released: `halves_check`."]


def test_stock_zip_collect_reads_a_download(course: Course, released_demo: Course) -> None:
    archive = course.grading / "downloaded" / "01_demo" / "archive"
    archive.mkdir(parents=True)
    download(course, released_demo).rename(archive / "submissions.zip")
    done = subprocess.run([sys.executable, "-m", "nbgrader", "zip_collect", "01_demo"], cwd=REPOSITORY / "autograder",
                          env=os.environ | {ROOT_VARIABLE: str(course.root)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.parts[-3:] for path in (course.grading / "submitted").rglob("*.ipynb")) == [
        (BEN, "01_demo", "01_demo.ipynb"), (ADA, "01_demo", "01_demo.ipynb")]
