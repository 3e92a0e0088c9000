"""Which assignment's notebook a file holds, by its cells and by its name."""

import functools
import re
from collections import Counter
from collections.abc import Sequence

from nbformat import NotebookNode

from autograder import sources
from autograder.cells import Release, lines_of
from autograder.course import Course


class Kinship:
    """Knows the exercises of every notebook of a course."""

    def __init__(self, course: Course) -> None:
        self.names = course.names()
        self._course = course
        self._read: dict[str, Release] = {}

    def _release(self, name: str) -> Release:
        """A notebook as it is released; read when it is first asked for, as most folders hold few of them."""
        if name not in self._read:
            self._read[name] = Release(sources.read(name, self._course))
        return self._read[name]

    @functools.cached_property
    def _texts(self) -> dict[str, set[tuple[str, ...]]]:
        """For each notebook the given cells that no other has."""
        texts = {name: {tuple(lines_of(cell.source)) for cell in self._release(name).notebook.cells
                        if not (sources.is_solution(cell) or sources.is_answer(cell))}
                 for name in self.names}
        times = Counter(text for found in texts.values() for text in found)
        return {name: {text for text in found if times[text] == 1} for name, found in texts.items()}

    def of_content(self, notebook: NotebookNode, named: str | None) -> str | None:
        """The assignment whose cells the notebook holds; `named`, what its name says, where that is not far behind."""
        if named and 2 * self._marked(notebook, named) >= max(1, len(self._release(named).exercise_keys)):
            return named  # plainly; the others need not even be read
        counts = {name: self._count(notebook, name) for name in self.names}
        best = max(counts, key=counts.get)
        if named and counts[named] and 2 * counts[named] >= counts[best]:
            return named
        return best if counts[best] else None

    def of_name(self, names: Sequence[str]) -> str | None:
        """The assignment that a file's or folder's names mean, the first name first; browsers and people change them.

        "02_demo (1).ipynb", "Copy of 02_demo.ipynb", "02 Demo-Copy1.ipynb", "02_demo-2.ipynb", "ada 02_DEMO final".
        """
        for name in map(_plain, names):
            exact = [known for known in self.names if _plain(known) == name]
            inside = [known for known in self.names if f"_{_plain(known)}_" in f"_{name}_"]
            if exact or len(inside) == 1:
                return (exact or inside)[0]
        return None

    def _count(self, notebook: NotebookNode, name: str) -> int:
        """How many cells are of this notebook, by their marks or by their text."""
        return sum(1 for cell in notebook.cells
                   if self._is_marked(cell, name) or tuple(lines_of(cell.source)) in self._texts[name])

    def _marked(self, notebook: NotebookNode, name: str) -> int:
        """How many cells bear a mark of this notebook; a quick lower bound of `_count`."""
        return sum(1 for cell in notebook.cells if self._is_marked(cell, name))

    def _is_marked(self, cell: NotebookNode, name: str) -> bool:
        release = self._release(name)
        return bool(release.of_comment(cell.source) or release.of_metadata(cell)
                    or release.of_id(cell) in release.exercise_keys)


def _plain(name: str) -> str:
    """A name without what saving, copying and uploading add to it."""
    name = re.sub(r"(\.ipynb|\.txt|\.json|\.zip|\.pdf|\.html|\.py)+$", "", name.strip().lower())
    name = re.sub(r"([\s_-]*\(\d+\)|-copy\d*|[\s_-]+copy)+$", "", name)
    return re.sub(r"[\W_]+", "_", name).strip("_")
