"""The last line of a check cell under stock nbgrader: runs the hidden check inside the learner's kernel."""

import traceback
from collections.abc import Mapping
from typing import Any

from autograder import checking, exercises


def grade(notebook: str, exercise: str, learner: Mapping[str, Any], points: float) -> float:
    """Prints what the learner should know and returns the mark, a plain float in [0, points].

    nbgrader takes the cell's last expression as partial credit. The release writes `points` from the cell's metadata.
    Raises CheckCrashed, with the whole story, when the check itself fails; SaveGrades then leaves the mark to a person.
    """
    try:
        result = exercises.grade(notebook, exercise, learner)
    except KeyboardInterrupt:  # nbgrader's time limit; its traceback would show the hidden check to the learner
        result = checking.Result(0.0, "Your code took longer than the time limit of a cell.")
    except Exception:
        story = traceback.format_exc()
        raise checking.CheckCrashed(f"the hidden check {notebook}/{exercise} broke down:\n{story}") from None
    print(checking.report(result, exercise, points))
    return checking.points(result, points)
