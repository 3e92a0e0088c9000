"""nbgrader's own steps, mended where a difficult submission would stop a batch or be marked silently wrong."""

from typing import Any

from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.preprocessors import DeduplicateIds, SaveAutoGrades

CRASH = "CheckCrashed"


class DropDuplicates(DeduplicateIds):
    """Turns the copies of a graded cell into ordinary cells; stock leaves an empty entry, which stops the batch."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, cell_index: int) -> tuple[NotebookNode, dict]:
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if cell.metadata.get("nbgrader") == {}:
            del cell.metadata["nbgrader"]
        return cell, resources


class SaveGrades(SaveAutoGrades):
    """Leaves the mark to a person where the hidden check itself broke down; stock would save a 0."""

    def _add_score(self, cell: NotebookNode, resources: dict) -> None:
        super()._add_score(cell, resources)
        if not utils.is_solution(cell) and crash(cell):
            grade: Any = self.gradebook.find_grade(
                cell.metadata.nbgrader["grade_id"], self.notebook_id, self.assignment_id, self.student_id
            )
            grade.auto_score, grade.needs_manual_grade = None, True
            self.gradebook.db.commit()


def crash(cell: NotebookNode) -> str | None:
    """The story of the hidden check that broke down in this cell, if one did."""
    outputs = cell.get("outputs", [])
    return next((out.evalue for out in outputs if out.output_type == "error" and out.ename == CRASH), None)
