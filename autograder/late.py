"""Late work: a penalty for nbgrader's AssignLatePenalties, switched on in nbgrader_config.py."""

import math

from nbformat.v4 import new_notebook
from nbgrader.api import Assignment, Gradebook, SubmittedAssignment, SubmittedNotebook
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import AssignLatePenalties
from sqlalchemy import func
from traitlets import Float
from traitlets.config import Config

from autograder import course_api
from autograder.course import Course

DAY = 24 * 60 * 60


class PerDay(LateSubmissionPlugin):
    """Takes a share of the score for each day that has begun since the due date, up to `most`."""

    share_per_day = Float(0.1, min=0.0, max=1.0, help="Share of the score for each day begun.").tag(config=True)
    most = Float(0.5, min=0.0, max=1.0, help="The largest share that is taken.").tag(config=True)
    grace_minutes = Float(15.0, min=0.0, help="So late costs nothing.").tag(config=True)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """Points to take off, None for none. nbgrader asks for submissions after their due date only."""
        counted = total_seconds_late - 60 * self.grace_minutes
        if counted <= 0:
            return None
        return round(score * min(self.most, self.share_per_day * math.ceil(counted / DAY)), 2)


def renew(course: Course, assignments: list[str], settings: Config | None = None) -> None:
    """Works the penalties of graded submissions out anew, by nbgrader's own step.

    A penalty is a share of the score, and the score changes when a person marks an answer; due dates change, too.
    `settings` go over nbgrader_config.py.
    """
    with Gradebook(course.database) as gradebook:
        found = [submission for name in assignments for submission in gradebook.assignment_submissions(name)]
        resources = [{"notebook": notebook.name, "assignment": submission.assignment.name,
                      "student": submission.student_id, "db_url": course.database}
                     for submission in found for notebook in submission.notebooks
                     if submission.total_seconds_late > 0 or notebook.late_submission_penalty is not None]
    if resources:
        with course_api.api(course, settings) as api:
            step = AssignLatePenalties(config=api.config)
            step.log = api.log
            for one in resources:
                step.preprocess(new_notebook(), {"nbgrader": one})


def penalties(course: Course, assignment: str) -> dict[str, float]:
    """Student -> points taken off, for those who lose some."""
    with Gradebook(course.database) as gradebook:
        taken = func.sum(SubmittedNotebook.late_submission_penalty)
        return dict(gradebook.db.query(SubmittedAssignment.student_id, taken)
                    .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
                    .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
                    .filter(Assignment.name == assignment, SubmittedNotebook.late_submission_penalty > 0)
                    .group_by(SubmittedAssignment.student_id).all())
