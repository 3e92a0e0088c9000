"""The sample submissions: in step with the release, and graded as the README says."""

import csv
import sys
from pathlib import Path

import pytest

from autograder import grade
from autograder.course import Course
from tests.autograder.helpers import scratch_course

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import sample_submissions


def test_they_are_what_the_tool_makes(repository: Path) -> None:
    for student, text in sample_submissions.submissions(Course()).items():
        [path] = (sample_submissions.FOLDER / student / sample_submissions.NOTEBOOK).iterdir()
        assert path.read_text() == text, f"{path} is stale; run python tools/sample_submissions.py"


@pytest.mark.timeout(600)
def test_grading_the_folder_gives_marks_feedback_and_a_table(tmp_path: Path) -> None:
    course = scratch_course(Course(), tmp_path / "course")
    rows = {row.student: row for row in grade.grade(sample_submissions.FOLDER, None, tmp_path / "grades.csv", course)}
    # 10 automatic points; Ben has the guess, the cutting, and of prefill_chunk's five requirements the three that
    # do not depend on positions; his wrong choice and the missing loop give nothing.
    assert rows["ada"].score == 10
    assert rows["ben"].score == pytest.approx(1 + 2 + 3 * 3 / 5)
    for row in rows.values():
        assert row.max_score == 13
        assert row.status.startswith("needs manual grading: why_last_chunk")

    feedback = (course.grading / "feedback" / "ben" / sample_submissions.NOTEBOOK).glob("*.html")
    page = next(feedback).read_text()
    assert "Positions restart in each chunk" in page
    assert "The logits of a middle chunk predict a prompt token that is known already." in page
    assert "BEGIN HIDDEN TESTS" not in page and "autograder.stock" not in page
    with open(tmp_path / "grades.csv", newline="") as file:
        assert {line["student_id"]: line["status"] for line in csv.DictReader(file)} == {
            name: row.status for name, row in rows.items()}
