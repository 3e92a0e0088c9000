"""Grades one submission: pre-check, nbgrader's autograde and feedback, and the status that its marks have."""

import hashlib
import shutil
from collections.abc import Callable
from datetime import timedelta

import nbformat
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI

from autograder import course_api, handed_in, manual, precheck, preprocessors, sources, submissions
from autograder.course import Course
from autograder.progress import Progress
from autograder.reading import Refused
from autograder.submissions import Submission

# A refused submission is one that the learner has to hand in again; a failed one is the instructor's to look at.
GRADED, MANUAL, REFUSED, FAILED, MISSING = "graded", "needs manual grading", "refused", "failed", "missing"


def grade_one(api: NbGraderAPI, course: Course, records: Progress, submission: Submission) -> str:
    """Grades a submission, feedback included, and returns its status."""
    student, assignment = submission.student, submission.assignment
    folder = course.grading / "submitted" / student / assignment
    try:
        records.begin(submission)
        notebook, repairs = precheck.check(course, submission)
        _keep_original(course, submission)
        # Only the notebook: a file like torch.py beside it would be imported.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        nbformat.write(precheck.told(notebook, repairs), folder / f"{assignment}.ipynb")
        if timestamp := _timestamp(course, submission):
            (folder / handed_in.TIMESTAMP).write_text(timestamp)
        precheck.record(course, submission, repairs)
        with manual.kept(course, submission, records.is_same_text(submission)):
            result = _step(api.autograde, assignment, student)
        result = _step(api.generate_feedback, assignment, student) if result["success"] else result
        if not result["success"]:
            return f"{FAILED}: {course_api.reason(result)}"
        found = status(course, submission)
        records.record(submission)
        return found
    except Refused as refusal:
        return _refuse(course, submission, str(refusal))
    except Exception as error:
        return f"{FAILED}: {type(error).__name__}: {error}"


def _step(step: Callable[[str, str], dict], assignment: str, student: str) -> dict:
    with course_api.environment():  # nbgrader leaves NBGRADER_EXECUTION set when a notebook fails
        return step(assignment, student)


def _timestamp(course: Course, submission: Submission) -> str | None:
    """When it was handed in. What Canvas calls late, but does not say how late, is late by a second."""
    if submission.timestamp or not submission.is_late:
        return submission.timestamp
    with Gradebook(course.database) as gradebook:
        due = gradebook.find_assignment(submission.assignment).duedate
    return f"{due + timedelta(seconds=1):%Y-%m-%d %H:%M:%S} UTC" if due else None


def _keep_original(course: Course, submission: Submission) -> None:
    """Where nbgrader's own folder of submissions is graded, keeps what was collected before it is repaired in place."""
    if submission.path.resolve().is_relative_to((course.grading / "submitted").resolve()):
        content = submission.path.read_bytes()
        folder = course.grading / "downloaded" / "originals" / submission.student / submission.assignment
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{hashlib.sha256(content).hexdigest()[:12]}.ipynb").write_bytes(content)


def turn_away(course: Course, submission: Submission) -> str | None:
    """The status of a submission that cannot be graded, as far as its file tells, and None for another.

    What the instructor has to put right has failed; what the learner has to is refused, and the learner is told.
    """
    if submission.assignment == submissions.NOBODYS:
        return f"{FAILED}: {submission.problem}"
    if not submissions.STUDENT.fullmatch(submission.student):
        return f"{FAILED}: rename the folder {submission.student!r}: letters, digits, spaces and . @ _ - only"
    return _refuse(course, submission, submission.problem) if submission.problem else None


def _refuse(course: Course, submission: Submission, reason: str) -> str:
    precheck.refuse(course, submission, reason)
    return f"{REFUSED}: {reason}"


def status(course: Course, submission: Submission) -> str:
    """The status of a submission that is graded."""
    student, assignment = submission.student, submission.assignment
    with Gradebook(course.database) as gradebook:
        unmarked = sorted(grade.name for grade in gradebook.find_submission(assignment, student).notebooks[0].grades
                          if grade.needs_manual_grade or (grade.auto_score is None and grade.manual_score is None))
    graded = course.grading / "autograded" / student / assignment / f"{assignment}.ipynb"
    checks = filter(sources.is_check, nbformat.read(graded, as_version=4).cells)  # other cells may pretend to be one
    story = next(filter(None, map(preprocessors.crash, checks)), None)
    if story:
        return f"{MANUAL}: {story.splitlines()[0]} {story.splitlines()[-1]}"
    return f"{MANUAL}: {', '.join(unmarked)}" if unmarked else GRADED
