"""The rubric and the sample answer of a written question, from its source: for the person who marks it."""

import functools
import re

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from autograder import sources
from autograder.course import Course

SOLUTION = re.compile(r"<!-- BEGIN SOLUTION -->\n(.*?)\n<!-- END SOLUTION -->", re.DOTALL)


def rubrics(notebook: str, course: Course | None = None) -> dict[str, str]:
    """Grade_id -> sample answer and rubric, in Markdown, of each written question."""
    found = {}
    for cell in sources.read(notebook, course).cells:
        if sources.is_answer(cell) and (solution := SOLUTION.search(cell.source)):
            found[sources.grade_id(cell)] = solution[1].strip()
    return found


class ShowRubric(Preprocessor):
    """Formgrader's pages: the rubric below each written answer.

    It is added while formgrader draws the page. No file of a submission ever holds it, so none can leak it.
    """

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """The submission with a cell after each answer; as it is where the assignment has no source here."""
        try:
            known = _known(resources.get("assignment_id", ""), Course.current())
        except sources.SourceError as error:
            self.log.warning("no rubric: %s", error)
            return nb, resources
        cells = []
        for cell in nb.cells:
            cells.append(cell)
            if sources.is_answer(cell) and sources.grade_id(cell) in known:
                cells.append(_shown(known[sources.grade_id(cell)]))
        return nbformat.from_dict({**nb, "cells": cells}), resources


def _known(notebook: str, course: Course) -> dict[str, str]:
    path = course.solutions / notebook / f"{notebook}.py"
    return _read(notebook, course, path.stat().st_mtime_ns if path.exists() else 0)


@functools.lru_cache(maxsize=32)
def _read(notebook: str, course: Course, _changed: int) -> dict[str, str]:
    return rubrics(notebook, course)


def _shown(rubric: str) -> NotebookNode:
    # The rubric first: a grader looks at it more often than at the sample answer.
    sample, label, rule = rubric.partition("**Rubric.**")
    text = f"{label}{rule}\n\n{sample}" if label else rubric
    return new_markdown_cell(f'<div class="alert alert-info">\n\n**For the grader only**\n\n{text.strip()}\n\n</div>')
