"""The marks as they stand in nbgrader's gradebook, and in the CSV file of the last grading."""

import csv
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Assignment, Grade, Gradebook, GradeCell, SubmittedAssignment, SubmittedNotebook
from traitlets.config import Config

from autograder import exercises, late
from autograder.course import Course
from autograder.grade_one import FAILED, GRADED, MANUAL, MISSING, REFUSED

UNMARKED = (REFUSED, FAILED, MISSING)  # statuses of which nothing must be read as 0
CRASHED = "broke down"  # in the status of a submission whose hidden check failed by itself


@dataclass(frozen=True)
class Mark:
    """One graded cell of one submission. `score` counts points that a person gave; `waits`: a person still has to."""

    student: str
    exercise: str
    grade_id: str
    is_written: bool
    score: float
    points: float
    waits: bool


def of_assignment(course: Course, assignment: str) -> list[Mark]:
    """All marks of an assignment, in one query."""
    columns = (SubmittedAssignment.student_id, GradeCell.name, GradeCell.cell_type, GradeCell.max_score, Grade.score,
               Grade.auto_score, Grade.manual_score, Grade.needs_manual_grade)
    with Gradebook(course.database) as gradebook:
        rows = (gradebook.db.query(*columns)
                .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
                .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
                .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
                .join(GradeCell, Grade.cell_id == GradeCell.id)
                .filter(Assignment.name == assignment).all())
    return [Mark(student, exercises.of_check(name), name, kind == "markdown", score, points,
                 bool(by_hand or (auto is None and manual is None)))
            for student, name, kind, points, score, auto, manual, by_hand in rows]


def read(path: Path) -> list[dict[str, str]]:
    """The lines of a marks file. Raises FileNotFoundError or ValueError where there is none."""
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: grade first, make grade SUBMISSIONS=folder")
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    if lines and not {"student_id", "assignment", "status"} <= lines[0].keys():
        raise ValueError(f"{path} has no columns student_id, assignment and status: is it the file that grading wrote?")
    return lines


def renew(course: Course, path: Path, settings: Config | None = None) -> list[dict[str, str]]:
    """Brings the file up to what persons have marked since, late penalties included, and returns its lines.

    Submissions that were refused, failed or missing stay as they are. `settings` go over nbgrader_config.py.
    """
    lines = read(path)
    assignments = sorted({line["assignment"] for line in lines if not line["status"].startswith(UNMARKED)})
    late.renew(course, assignments, settings)
    for assignment in assignments:
        found = defaultdict(list)
        for mark in of_assignment(course, assignment):
            found[mark.student].append(mark)
        penalties = late.penalties(course, assignment)
        for line in lines:
            marks = found.get(line["student_id"])
            if line["assignment"] == assignment and marks and not line["status"].startswith(UNMARKED):
                _renew(line, marks, penalties.get(line["student_id"], 0.0))
    _write(path, lines)
    return lines


def _renew(line: dict[str, str], marks: list[Mark], penalty: float) -> None:
    score = sum(mark.score for mark in marks)
    line |= {"raw_score": str(score), "late_submission_penalty": str(penalty), "score": str(max(0.0, score - penalty))}
    waiting = sorted(mark.grade_id for mark in marks if mark.waits)
    if not waiting:
        line["status"] = GRADED
    elif CRASHED not in line["status"]:
        line["status"] = f"{MANUAL}: {', '.join(waiting)}"


def _write(path: Path, lines: list[dict[str, str]]) -> None:
    if not lines:
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(beside, "w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    os.replace(beside, path)
