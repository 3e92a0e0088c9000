"""Grades a folder of submissions with nbgrader: marks, a feedback page each, and a status that tells 0 from trouble."""

import csv
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.plugins import CsvExportPlugin
from tqdm import tqdm
from traitlets.config import Config

from autograder import course_api, preprocessors, release, submissions
from autograder.course import Course

GRADED, MANUAL, FAILED, MISSING = "graded", "needs manual grading", "failed", "missing"


@dataclass(frozen=True)
class Row:
    """One line of the table. `score` is None where nothing was graded."""

    student: str
    assignment: str
    score: float | None
    max_score: float | None
    status: str


def grade(folder: Path, assignment: str | None = None, output: Path = Path("grades.csv"),
          course: Course | None = None) -> list[Row]:
    """Grades every submission in `folder`, writes `output` (CSV), and returns a row per student and assignment.

    One bad submission never stops the others: its row says why. Grading a folder again replaces the marks of
    the cells; scores that a person gave stay. Raises ValueError for an unknown assignment.
    """
    course = course or Course.current()
    known = course.names()
    if assignment is not None and assignment not in known:
        raise ValueError(f"assignment must be one of {', '.join(known)}; got {assignment}")
    students, found = submissions.find(folder, known)
    if assignment is not None:
        found = [submission for submission in found if submission.assignment == assignment]
    wanted = sorted({assignment} if assignment else {one.assignment for one in found} & set(known))

    register(course, wanted)
    statuses: dict[tuple[str, str], str] = {}
    with course_api.api(course) as api:
        for submission in tqdm(found, desc="grading", unit="submission"):
            statuses[submission.student, submission.assignment] = _grade_one(api, course, submission)
    return _export(course, wanted, students, statuses, output)


def register(course: Course, assignments: list[str]) -> None:
    """Tells the gradebook the assignments' cells and points, as the sources have them; `notebooks/` is not touched."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = Config()  # the course's gradebook, with everything else in a scratch folder
        folder = Path(scratch).resolve()
        release.write_sources(course, assignments, folder / "source")
        settings.CourseDirectory.root = str(folder)
        settings.CourseDirectory.source_directory = "source"
        settings.CourseDirectory.release_directory = "release"
        with course_api.api(course, settings) as api:
            for name in assignments:
                result = api.generate_assignment(name)
                if not result["success"]:
                    raise release.ReleaseError(
                        f"the gradebook does not take {name}: {course_api.reason(result)}. If its graded cells changed "
                        f"since submissions were graded, move {course.grading / 'gradebook.db'} away and grade again."
                    )


def _grade_one(api: NbGraderAPI, course: Course, submission: submissions.Submission) -> str:
    student, assignment = submission.student, submission.assignment
    if not submissions.STUDENT.fullmatch(student):
        return f"{FAILED}: rename the folder {student!r}: letters, digits, spaces and . @ _ - only"
    if submission.problem:
        return f"{FAILED}: {submission.problem}"
    folder = course.grading / "submitted" / student / assignment
    try:
        # Only the notebook: a file like torch.py beside it would be imported.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copyfile(submission.path, folder / f"{assignment}.ipynb")
        for step in (api.autograde, api.generate_feedback):
            with course_api.environment():  # nbgrader leaves NBGRADER_EXECUTION set when a notebook fails
                result = step(assignment, student)
            if not result["success"]:
                return f"{FAILED}: {course_api.reason(result)}"
        return _status(course, student, assignment)
    except Exception as error:
        return f"{FAILED}: {type(error).__name__}: {error}"


def _status(course: Course, student: str, assignment: str) -> str:
    with Gradebook(course.database) as gradebook:
        unmarked = sorted(grade.name for grade in gradebook.find_submission(assignment, student).notebooks[0].grades
                          if grade.needs_manual_grade or (grade.auto_score is None and grade.manual_score is None))
    graded = course.grading / "autograded" / student / assignment / f"{assignment}.ipynb"
    crashes = [preprocessors.crash(cell) for cell in nbformat.read(graded, as_version=4).cells]
    story = next(filter(None, crashes), None)
    if story:
        return f"{MANUAL}: {story.splitlines()[0]} {story.splitlines()[-1]}"
    return f"{MANUAL}: {', '.join(unmarked)}" if unmarked else GRADED


def _export(course: Course, assignments: list[str], students: list[str], statuses: dict[tuple[str, str], str],
            output: Path) -> list[Row]:
    """Writes nbgrader's own CSV with a status column; a failed submission has no score, so that it is not read as 0."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch, Gradebook(course.database) as gradebook:
        names = [student for student in students if submissions.STUDENT.fullmatch(student)]
        for student in names:
            gradebook.update_or_create_student(student)
        exporter = CsvExportPlugin()
        exporter.to, exporter.student, exporter.assignment = str(Path(scratch) / "grades.csv"), names, assignments
        exported = []
        if names and assignments:  # nbgrader takes an empty list for "all"
            exporter.export(gradebook)
            with open(exporter.to, newline="") as file:
                exported = list(csv.DictReader(file))
        for line in exported:
            line["status"] = statuses.pop((line["student_id"], line["assignment"]), MISSING)
    for (student, assignment), status in statuses.items():  # what the gradebook does not know
        exported.append({"student_id": student, "assignment": assignment, "status": status})
    for line in exported:
        if line["status"].startswith((FAILED, MISSING)):
            line["raw_score"] = line["score"] = ""
        score, max_score = line.get("score"), line.get("max_score")
        rows.append(Row(line["student_id"], line["assignment"], float(score) if score else None,
                        float(max_score) if max_score else None, line["status"]))
    _write(output, exported)
    return rows


def _write(output: Path, lines: list[dict[str, str]]) -> None:
    fields = list(dict.fromkeys([*(lines[0] if lines else []), "student_id", "assignment", "status"]))
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "w", newline="") as file:
        writer = csv.DictWriter(file, fields, restval="")
        writer.writeheader()
        writer.writerows(lines)


def table(rows: list[Row]) -> str:
    """The rows as text, and how many there are of each status."""
    lines = [f"{'student':20} {'assignment':28} {'score':>13}  status"]
    for row in rows:
        score = "-" if row.score is None else f"{row.score:g} / {row.max_score:g}"
        lines.append(f"{row.student:20} {row.assignment:28} {score:>13}  {row.status}")
    counts = Counter(row.status.partition(":")[0] for row in rows)
    lines.append(", ".join(f"{count} {status}" for status, count in counts.items()) or "no submissions found")
    return "\n".join(lines)
