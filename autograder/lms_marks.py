"""Marks for the gradebooks of Canvas and Moodle, from nbgrader's marks and its list of students.

A file holds one assignment, and only the marks that are final. Who waits for a person, or was refused, failed or
missing, is not in it, so that the LMS keeps what it has: both read a blank as "delete the mark", and nothing
here is ever a 0 that nobody gave. `status.csv` says where everybody stands.
"""

import csv
from collections import defaultdict
from pathlib import Path

from nbgrader.api import Gradebook, Student

from autograder import marks
from autograder.course import Course
from autograder.marks import Mark

# Canvas looks for a student by the first of these that it finds filled in: ID, SIS User ID, SIS Login ID, Student.
CANVAS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
MOODLE = ["Email address", "First name", "Last name"]


def write(course: Course, lines: list[dict[str, str]], folder: Path) -> list[Path]:
    """Writes canvas_ASSIGNMENT.csv and moodle_ASSIGNMENT.csv for each assignment in `lines`, and status.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    with Gradebook(course.database) as gradebook:
        students = {student.id: student for student in gradebook.students}
        gradebook.db.expunge_all()
    written, statuses = [], []
    for assignment in sorted({line["assignment"] for line in lines}):
        of_this = [line for line in lines if line["assignment"] == assignment]
        final = [line for line in of_this if line["status"] == marks.GRADED and line["student_id"] in students]
        with_address = [line for line in final if students[line["student_id"]].email]
        found = defaultdict(list)
        for mark in marks.of_assignment(course, assignment):
            found[mark.student].append(mark)
        if final:
            written += [
                _write(folder / f"canvas_{assignment}.csv", [*CANVAS, assignment],
                       [["    Points Possible", "", "", "", "", _number(final[0]["max_score"])],
                        *([*_canvas(students[line["student_id"]]), _number(line["score"])] for line in final)]),
                _write(folder / f"moodle_{assignment}.csv", [*MOODLE, assignment, f"{assignment} (feedback)"],
                       [[*_moodle(students[line["student_id"]]), _number(line["score"]),
                         _comment(found[line["student_id"]], line)] for line in with_address])]
        for line in of_this:
            statuses.append([line["student_id"], assignment, _number(line.get("score")), line["status"],
                             "yes" if line in final else "no", "yes" if line in with_address else
                             "no: no e-mail address" if line in final else "no"])
    header = ["student_id", "assignment", "mark so far", "status", "in the Canvas file", "in the Moodle file"]
    return [*written, _write(folder / "status.csv", header, statuses)]


def _canvas(student: Student) -> list[str]:
    names = [name for name in (student.last_name, student.first_name) if name]
    return [", ".join(names) or student.id, student.lms_user_id or "", "", student.id, ""]


def _moodle(student: Student) -> list[str]:
    return [student.email, student.first_name or "", student.last_name or ""]


def _comment(found: list[Mark], line: dict[str, str]) -> str:
    """The marks of the exercises, for Moodle's feedback."""
    parts = [f"{mark.exercise} {mark.score:g}/{mark.points:g}" for mark in found]
    if float(line.get("late_submission_penalty") or 0) > 0:
        parts.append(f"late -{_number(line['late_submission_penalty'])}")
    return ", ".join(parts)


def _number(text: str | None) -> str:
    return f"{round(float(text), 2):g}" if text else ""


def _write(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path
