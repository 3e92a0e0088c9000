"""Which cell of the release a submitted cell is: told by its id comment, nbgrader's metadata, its id or its text."""

import ast
import re

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from autograder import sources

PLACEHOLDER = "<not written yet>"  # in the line that a learner replaces, see nbgrader_config.py
_DEFINED = re.compile(r"^(?:(?:async )?def|class) +(\w+)|^(\w+)(?: *:[^=\n]+)? *=(?!=)", re.MULTILINE)


def squeezed(line: str) -> str:
    """A line by which id comments are compared: without spaces, in lower case."""
    return "".join(line.split()).lower()


def lines_of(source: str) -> list[str]:
    """The lines that say something, without the spaces at their ends."""
    return [line.rstrip() for line in source.splitlines() if line.strip()]


def same_text(one: NotebookNode, other: NotebookNode) -> bool:
    """Whether two cells have the same text, blank lines and spaces at line ends aside."""
    return lines_of(one.source) == lines_of(other.source)


def names_defined(source: str) -> set[str]:
    """The functions, classes and variables that a cell defines at its top level; also where it does not parse."""
    return {one or other for one, other in _DEFINED.findall(source)}


def parses(source: str) -> bool:
    """Whether IPython could run the cell, as far as its grammar goes."""
    try:
        ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def answered(cell: NotebookNode, released: NotebookNode) -> int:
    """2 for an answer, 1 where the released placeholder still stands beside it, 0 for the released text."""
    if same_text(cell, released) or len(lines_of(cell.source)) < 2:
        return 0
    return 1 if PLACEHOLDER in cell.source else 2


def set_fields(cell: NotebookNode) -> None:
    """Gives a cell whose type changed the fields that its type has, and no outputs."""
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
        cell.pop("attachments", None)
    else:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)


class Release:
    """The cells of a released notebook by their keys: the grade id, or the cell id of a setup or given cell."""

    def __init__(self, notebook: NotebookNode) -> None:
        self.notebook = notebook
        self.order = {cell.id: position for position, cell in enumerate(notebook.cells)}
        self.cells = {cell.id: cell for cell in notebook.cells}  # the release names cells by their grade ids
        self.exercise_keys = {key for key, cell in self.cells.items() if sources.grade_id(cell)}
        self._comments = {squeezed(cell.source.partition("\n")[0]): cell.id for cell in notebook.cells
                          if is_exercise(cell)}

    def of_comment(self, source: str) -> str | None:
        """The key that the first id comment in `source` names."""
        found = (self._comments.get(squeezed(line)) for line in source.splitlines())
        return next(filter(None, found), None)

    def of_metadata(self, cell: NotebookNode) -> str | None:
        """The key that nbgrader's metadata name."""
        key = _nbgrader(cell).get("grade_id")
        return key if isinstance(key, str) and key in self.exercise_keys else None

    def of_id(self, cell: NotebookNode) -> str | None:
        """The key that the cell's own id names, or the one that Colab moved to the metadata."""
        ids = (cell.get("id"), cell.metadata.get("id"))
        return next((one for one in ids if isinstance(one, str) and one in self.cells), None)

    def is_needed(self, key: str) -> bool:
        """Whether grading needs the cell: it is of an exercise, read-only, or runs before the exercises."""
        cell = self.cells[key]
        return bool(sources.grade_id(cell) or sources.tags(cell) & {"setup", "given"})

    def identify(self, cells: list[NotebookNode]) -> list[str | None]:
        """For each submitted cell the key of the released one that it says, by itself, that it is."""
        found = [self.of_comment(cell.source) or self.of_metadata(cell) for cell in cells]
        for index, cell in enumerate(cells):
            key = self.of_id(cell)
            if found[index] is None and key and key not in found and self._alike(cell, key):
                found[index] = key
        texts = {tuple(lines_of(cell.source)): key for key, cell in reversed(self.cells.items()) if key not in found}
        for index, cell in enumerate(cells):
            if found[index] is None and lines_of(cell.source):
                found[index] = texts.pop(tuple(lines_of(cell.source)), None)
        for key in self.cells:
            if key not in found and sources.tags(self.cells[key]) & {"setup", "given"}:
                edited = (index for index, cell in enumerate(cells)
                          if found[index] is None and cell.cell_type == "code" and self._alike(cell, key))
                if (index := next(edited, None)) is not None:
                    found[index] = key
        return found

    def _alike(self, cell: NotebookNode, key: str) -> bool:
        """Whether the cell is the released one, perhaps edited. A cell's id alone says nothing about numbered cells."""
        released = self.cells[key]
        if sources.grade_id(released):
            return True
        text, lines = set(lines_of(released.source)), set(lines_of(cell.source))
        names = names_defined(released.source) if released.cell_type == "code" else set()
        return 2 * len(text & lines) >= len(text) or bool(names & names_defined(cell.source))


def is_exercise(cell: NotebookNode) -> bool:
    """Whether the cell has an id comment: code to write, a check, or a written answer."""
    return sources.is_solution(cell) or sources.is_check(cell) or sources.is_answer(cell)


def _nbgrader(cell: NotebookNode) -> dict:
    found = cell.metadata.get("nbgrader")
    return found if isinstance(found, dict) else {}
