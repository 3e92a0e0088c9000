"""Which assignment's notebook a file holds, by its cells and by its name."""

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
        self._releases = {name: Release(sources.read(name, course)) for name in self.names}
        texts = {name: {tuple(lines_of(cell.source)) for cell in release.notebook.cells
                        if not (sources.is_solution(cell) or sources.is_answer(cell))}
                 for name, release in self._releases.items()}
        times = Counter(text for found in texts.values() for text in found)
        self._texts = {name: {text for text in found if times[text] == 1} for name, found in texts.items()}

    def of_content(self, notebook: NotebookNode, named: str | None) -> str | None:
        """The assignment whose cells the notebook holds; `named`, what its name says, where that is not far behind."""
        if named and 2 * self._count(notebook, named) >= max(1, len(self._releases[named].exercise_keys)):
            return named  # plainly; the others need not be counted
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
        release, texts = self._releases[name], self._texts[name]
        return sum(1 for cell in notebook.cells
                   if release.of_comment(cell.source) or release.of_metadata(cell)
                   or release.of_id(cell) in release.exercise_keys or tuple(lines_of(cell.source)) in texts)


def _plain(name: str) -> str:
    """A name without what saving, copying and uploading add to it."""
    name = re.sub(r"(\.ipynb|\.txt|\.json|\.zip|\.pdf|\.html|\.py)+$", "", name.strip().lower())
    name = re.sub(r"([\s_-]*\(\d+\)|-copy\d*|[\s_-]+copy)+$", "", name)
    return re.sub(r"[\W_]+", "_", name).strip("_")
