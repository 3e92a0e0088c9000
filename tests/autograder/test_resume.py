"""A batch that is killed, at any moment and as a whole, goes on where it stopped."""

import csv
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from nbgrader.api import Gradebook

from autograder import grade, grade_one, progress
from autograder.course import REPOSITORY, ROOT_VARIABLE, Course
from autograder.progress import Progress
from autograder.submissions import Submission
from tests.autograder.helpers import scratch_course, solved, submit, untouched

pytestmark = [pytest.mark.xdist_group("resume"), pytest.mark.timeout(900)]

KILLS = 10
SLOW = "def halves(numbers):\n    import time\n    time.sleep(0.1)\n    return [number // 2 for number in numbers]"


def submissions(course: Course, folder: Path) -> None:
    for number in range(8):
        submit(folder, f"right_{number}", "01_demo", solved("01_demo", course))
        submit(folder, f"slow_{number}", "01_demo", solved("01_demo", course, {"halves": SLOW}))
    submit(folder, "none", "01_demo", untouched("01_demo", course))


def table(path: Path) -> list[tuple[str, ...]]:
    with open(path, newline="") as file:
        return [(line["student_id"], line["score"], line["status"]) for line in csv.DictReader(file)]


def graded(course: Course) -> dict[str, int]:
    """The records of what is graded, and when each was written."""
    return {path.name: path.stat().st_mtime_ns
            for path in (course.grading / "autograded" / ".graded").glob("*.json")}


def killed_at(course: Course, folder: Path, seconds: float, after_a_grading: bool, temporary: str) -> None:
    """Starts the command of an instructor and kills it `seconds` after it began, or after it has graded one more."""
    grader = subprocess.Popen(
        [sys.executable, "-m", "autograder", "grade", str(folder), "--output", str(course.root / "grades.csv")],
        cwd=REPOSITORY, env=os.environ | {ROOT_VARIABLE: str(course.root), "TMPDIR": temporary},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    before = len(graded(course))
    while after_a_grading and len(graded(course)) == before and grader.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(seconds)
    grader.send_signal(signal.SIGKILL)
    grader.wait()


@pytest.fixture
def temporary() -> Iterator[str]:
    """A folder for temporary files, with a short name: a Unix socket's path has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        yield folder


def test_killed_again_and_again_the_marks_are_those_of_one_run(released_demo: Course, tmp_path: Path, bubblewrap: str,
                                                              temporary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scratch_course(released_demo, tmp_path / "whole")
    torn = scratch_course(released_demo, tmp_path / "torn")
    folder = tmp_path / "submissions"
    submissions(released_demo, folder)
    grade.grade(folder, "01_demo", whole.root / "grades.csv", whole)

    moments = random.Random(7)
    first: dict[str, int] = {}
    for number in range(KILLS):  # some while it starts, some while it grades
        killed_at(torn, folder, moments.uniform(0, 3 if number % 3 == 0 else 0.6), after_a_grading=number % 3 > 0,
                  temporary=temporary)
        assert first.items() <= graded(torn).items(), "what is graded is left alone"
        first = graded(torn)
    assert len(first) >= 2
    processes = [one for one in psutil.process_iter(["cmdline"])
                 if any(temporary in part for part in one.info["cmdline"] or [])]
    assert psutil.wait_procs(processes, timeout=30)[1] == [], "sandboxes of the killed graders"

    again: list[str] = []
    real = grade_one.grade_one
    monkeypatch.setattr(grade_one, "grade_one", lambda *given: (again.append(given[-1].student), real(*given))[1])
    monkeypatch.setattr(tempfile, "tempdir", temporary)
    grade.grade(folder, "01_demo", torn.root / "grades.csv", torn, grade.Options(jobs=1))
    assert os.listdir(temporary) == [], "this grading has removed what the killed ones left"
    assert table(torn.root / "grades.csv") == table(whole.root / "grades.csv")
    students = [student for student, _, _ in table(whole.root / "grades.csv")]
    assert len(students) == 17
    assert sorted([f"01_demo--{student}.json" for student in again] + [*first]) == \
        sorted(f"01_demo--{student}.json" for student in students), "each is graded once"
    base = sqlite3.connect(torn.grading / "gradebook.db")
    assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert base.execute("SELECT COUNT(*) FROM submitted_assignment").fetchone() == (17,)

    again.clear()
    grade.grade(folder, "01_demo", torn.root / "grades.csv", torn, grade.Options(jobs=1))
    assert again == [] and table(torn.root / "grades.csv") == table(whole.root / "grades.csv")


def test_what_changed_is_graded_again_and_nothing_else(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = course.root / "submissions"
    paths = {name: submit(folder, name, "01_demo", untouched("01_demo", course)) for name in ("ada", "ben")}
    graded: list[str] = []

    def pretend(_api: object, course: Course, records: Progress, submission: Submission) -> str:
        graded.append(submission.student)
        submit(course.grading / "autograded", submission.student, "01_demo", submission.path.read_text())
        with Gradebook(course.database) as gradebook:
            gradebook.update_or_create_student(submission.student)
            gradebook.update_or_create_submission("01_demo", submission.student)
        records.record(submission)
        return grade_one.GRADED

    monkeypatch.setattr(grade_one, "grade_one", pretend)

    def run(again: bool = False) -> list[str]:
        graded.clear()
        options = grade.Options(sandbox=False, jobs=1, again=again)
        grade.grade(folder, "01_demo", course.root / "grades.csv", course, options)
        return sorted(graded)

    assert run() == ["ada", "ben"]
    assert run() == []
    paths["ada"].write_text(paths["ada"].read_text().replace("A demo", "My demo"))
    assert run() == ["ada"]
    assert run(again=True) == ["ada", "ben"]
    check = course.grading / "checks" / "01_demo.py"
    check.write_text(check.read_text() + "\n# changed\n")
    assert run() == ["ada", "ben"]
    (course.grading / "gradebook.db").unlink()
    assert run() == ["ada", "ben"]


def test_two_gradings_at_once_are_refused(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    (course.root / "submissions").mkdir()
    with progress.alone(course), pytest.raises(progress.Busy, match="another process is grading"):
        grade.grade(course.root / "submissions", course=course, options=grade.Options(sandbox=False))
