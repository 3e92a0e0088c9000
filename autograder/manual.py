"""Marks that a person gave, when a submission is graded again."""

import contextlib
from collections.abc import Iterator

from nbgrader.api import Gradebook, MissingEntry

from autograder.course import Course
from autograder.submissions import Submission


@contextlib.contextmanager
def kept(course: Course, submission: Submission, is_same_text: bool) -> Iterator[None]:
    """Around nbgrader's autograde: what a person marked stays done where nothing changed that the mark depends on.

    nbgrader keeps scores and comments, but asks for every cell that has a score by hand to be marked again. That is
    wanted where the learner handed in something else, or where the automatic mark, which the person overruled, changed.
    """
    before = _marks(course, submission) if is_same_text else {}
    yield
    with Gradebook(course.database) as gradebook:
        for grade in _grades(gradebook, submission) if before else ():
            if before.get(grade.name) == (grade.manual_score, grade.auto_score):
                grade.needs_manual_grade = False
        gradebook.db.commit()


def _marks(course: Course, submission: Submission) -> dict[str, tuple[float, float | None]]:
    """Cell -> scores, of the cells that a person is done with."""
    with Gradebook(course.database) as gradebook:
        return {grade.name: (grade.manual_score, grade.auto_score) for grade in _grades(gradebook, submission)
                if grade.manual_score is not None and not grade.needs_manual_grade}


def _grades(gradebook: Gradebook, submission: Submission) -> list:
    try:
        found = gradebook.find_submission(submission.assignment, submission.student)
    except MissingEntry:
        return []
    return [grade for notebook in found.notebooks for grade in notebook.grades]
