"""Puts a submitted notebook back in the shape of the release, without losing a line that the learner wrote.

Checks and read-only cells are the release's own. A solution keeps the learner's text, whatever happened to the cell
around it. Where a solution is there more than once, the one is graded that is in force when the notebook runs from top
to bottom: the last one before its check that holds an answer. Copies that hold none are not run.
"""

import copy
import re
from dataclasses import dataclass

from nbformat import NotebookNode, from_dict

from autograder import sources
from autograder.cells import Release, answered, lines_of, names_defined, parses, same_text, set_fields
from autograder.exercises import CHECK_SUFFIX, of_check

SETTINGS = ("grade", "grade_id", "locked", "points", "solution", "task", "schema_version")


@dataclass(eq=False)
class _Item:
    """A cell, the released cell that it is, and its number in the submission (None: put in by the repair)."""

    cell: NotebookNode
    key: str | None
    number: int | None = None


def repair(submitted: NotebookNode, release: Release) -> tuple[NotebookNode, list[str]]:
    """The notebook to grade, and a sentence for the learner on each repair; none for one that is whole."""
    work = _Repair(copy.deepcopy(submitted.cells), release)
    if not submitted.metadata.get("kernelspec"):
        work.note("The notebook did not say which kernel runs it. It was run with Python 3.")
    work.repair()
    return work.assembled(), work.sentences()


class _Repair:
    def __init__(self, cells: list[NotebookNode], release: Release) -> None:
        self._release = release
        keys = release.identify(cells)
        self._items = [_Item(cell, key, number) for number, (cell, key) in enumerate(zip(cells, keys, strict=True), 1)]
        self._notes: dict[str, list[str]] = {}  # sentence -> the cells that it is about

    def repair(self) -> None:
        for key, released in self._release.cells.items():
            if sources.is_solution(released):
                self._choose_code(key, released)
            elif sources.is_answer(released):
                self._choose_text(key, released)
            elif sources.grade_id(released):
                self._take_release(key, released)
            else:
                self._mend_given(key, released)
        for key, released in self._release.cells.items():
            if item := self._item(key):
                self._settle(item, released)
        for key in self._release.cells:
            self._put_back(key)

    def note(self, sentence: str, key: str | None = None) -> None:
        about = self._notes.setdefault(sentence, [])
        if key is not None:
            cell = self._release.cells[key]
            about.append(f"`{sources.grade_id(cell) or cell.source.partition(chr(10))[0].replace('`', '')[:60]}`")

    def sentences(self) -> list[str]:
        return [sentence.format(", ".join(about)) for sentence, about in self._notes.items()]

    def _all(self, key: str) -> list[_Item]:
        return [item for item in self._items if item.key == key]

    def _item(self, key: str) -> _Item | None:
        return next((item for item in self._items if item.key == key), None)

    # Which cell counts, where several may

    def _choose_code(self, key: str, released: NotebookNode) -> None:
        found, names = self._all(key), names_defined(released.source)

        def is_version(item: _Item) -> bool:
            return (self._release.of_comment(item.cell.source) == key or not answered(item.cell, released)
                    or bool(names & names_defined(item.cell.source)))

        if len(found) > 1:  # a copy may have become something else, a helper perhaps
            found = [item for item in found if is_version(item)] or found[:1]
        if not any(answered(item.cell, released) for item in found):
            strays = [item for item in self._items if item.key is None and item.cell.cell_type == "code"
                      and names & names_defined(item.cell.source)]
            if strays:
                self.note("Answered in a cell that had lost its first line and its metadata, and recognised by the "
                          "names that it defines: {}.", key)
                found = [item for item in self._items if item in found or item in strays]
        checks = self._all(key + CHECK_SUFFIX)
        end = self._items.index(checks[-1]) if checks else len(self._items)
        chosen = self._choose(key, released, found, [item for item in self._items[:end] if item in found])
        for item in found:
            if answered(item.cell, released) < answered(chosen.cell, released):
                item.cell.cell_type = "raw"  # run after the answer, it would undo it

    def _choose_text(self, key: str, released: NotebookNode) -> None:
        found = self._all(key)
        if not found:  # all marks are lost: the one new text between the neighbours
            low, high = self._gap(key)
            texts = [item for item in self._items[low:high] if item.key is None and lines_of(item.cell.source)
                     and item.cell.cell_type == "markdown"]
            if len(texts) == 1:
                self.note("Answered in a cell that had lost its first line and its metadata, and recognised by its "
                          "place: {}.", key)
                texts[0].key = key
            return
        self._choose(key, released, found, found)

    def _choose(self, key: str, released: NotebookNode, found: list[_Item], before: list[_Item]) -> _Item | None:
        """Leaves the key to the last item of `before` that holds an answer, else to the first one of `found`."""
        if not found:
            return None
        best = max(answered(item.cell, released) for item in found)
        fit = [item for item in found if answered(item.cell, released) == best]
        chosen = next((item for item in reversed(fit) if item in before), fit[0])
        if len([item for item in found if item.key == key]) > 1:
            self.note(f"There more than once: {{}}. Graded is cell {chosen.number} of your notebook, the answer in "
                      "force when it runs from top to bottom.", key)
        for item in self._all(key):
            item.key = None
        chosen.key = key
        return chosen

    def _take_release(self, key: str, released: NotebookNode) -> None:
        """Puts the released text into a check or another read-only cell."""
        found = self._all(key)
        if not found:
            return
        chosen = max(found, key=lambda item: (same_text(item.cell, released),
                                              self._release.of_metadata(item.cell) == key,
                                              not self._is_misplaced(item, released)))
        for item in found:
            item.key = None
        chosen.key = key
        if len(found) > 1:
            self.note("Read-only, there more than once, and counted once: {}.", key)
        if not same_text(chosen.cell, released):
            self.note("Read-only, edited, and put back: {}. What you wrote there stands in a cell of its own above.",
                      key)
            kept = from_dict({"cell_type": chosen.cell.cell_type, "metadata": {}, "source": chosen.cell.source})
            self._items.insert(self._items.index(chosen), _Item(kept, None, chosen.number))
        chosen.cell.source = released.source

    def _mend_given(self, key: str, released: NotebookNode) -> None:
        """A given cell may be edited, but not so that it cannot run."""
        item = self._item(key)
        if item and self._release.is_needed(key) and not parses(item.cell.source) and parses(released.source):
            self.note("Given, edited so that it could not run, and put back: {}.", key)
            item.key, item.cell.cell_type = None, "raw"
            self._items.insert(self._items.index(item), _Item(copy.deepcopy(released), key))

    def _settle(self, item: _Item, released: NotebookNode) -> None:
        """Gives the cell the release's type, id and metadata."""
        cell, key = item.cell, released.id
        if sources.grade_id(released):
            found = cell.metadata.get("nbgrader")
            if not isinstance(found, dict) or not found:
                self.note("Without nbgrader's metadata, which some editors drop, and given it back: {}.", key)
            elif any(found.get(name) != released.metadata.nbgrader.get(name) for name in SETTINGS):
                self.note("Changed in their settings (name, points, lock), which were put back: {}.", key)
            cell.metadata.nbgrader = copy.deepcopy(released.metadata.nbgrader)
        if cell.cell_type != released.cell_type and (sources.grade_id(released) or self._release.is_needed(key)):
            self.note("Changed in their type, which was put back: {}.", key)
            cell.cell_type = released.cell_type

    # What is missing or out of place, and where it belongs

    def _put_back(self, key: str) -> None:
        released = self._release.cells[key]
        item = self._item(key)
        if item and self._is_misplaced(item, released):
            self._items.remove(item)
            self.note("On the wrong side of the exercise that they belong to, and moved back: {}.", key)
            self._insert(item, released)
        elif item is None and self._release.is_needed(key):
            cell = copy.deepcopy(released)
            if sources.is_solution(released) and any(
                    names_defined(released.source) & names_defined(other.cell.source) for other in self._items
                    if other.cell.cell_type == "code"):
                cell.source = f"{cell.source.partition(chr(10))[0]}\n# It is answered in another cell."
            self.note("Missing, and put back as released: {}.", key)
            self._insert(_Item(cell, key), released)

    def _is_misplaced(self, item: _Item, released: NotebookNode) -> bool:
        """Whether a check stands before its solution, or a setup or given cell after a solution that may need it."""
        place = self._items.index(item)
        if sources.is_check(released):
            solution = self._item(of_check(released.id))
            return solution is not None and place < self._items.index(solution)
        if sources.is_solution(released) or sources.is_answer(released) or not self._release.is_needed(released.id):
            return False
        return any(self._is_later_solution(other, released) for other in self._items[:place])

    def _is_later_solution(self, other: _Item, released: NotebookNode) -> bool:
        return (other.key is not None and self._release.order[other.key] > self._release.order[released.id]
                and sources.is_solution(self._release.cells[other.key]))

    def _gap(self, key: str) -> tuple[int, int]:
        """The places from the one after the nearest earlier released cell to that of the next later one."""
        order = self._release.order
        low = 0
        for earlier in sorted(order, key=order.get)[: order[key]][::-1]:
            if item := self._item(earlier):
                low = self._items.index(item) + 1
                break
        later = (place for place, item in enumerate(self._items)
                 if place >= low and item.key is not None and order[item.key] > order[key])
        return low, next(later, len(self._items))

    def _insert(self, item: _Item, released: NotebookNode) -> None:
        """Checks and answers go to the end of their gap, after what the learner put there; the rest to its start."""
        low, high = self._gap(released.id)
        if sources.is_check(released) and (solution := self._item(of_check(released.id))):
            low = max(low, self._items.index(solution) + 1)
            high = max(high, low)
        is_late = sources.is_check(released) or sources.is_answer(released)
        self._items.insert(high if is_late else low, item)

    def assembled(self) -> NotebookNode:
        """The notebook with the release's ids and kernel; cells that are not released get ids of their own."""
        used = set(self._release.cells)
        for number, item in enumerate(self._items):
            cell = item.cell
            if item.key is not None:
                cell.id = item.key
            else:
                cell.metadata.pop("nbgrader", None)  # stock nbgrader stops at damaged ones
                if not re.fullmatch(r"[\w-]{1,64}", str(cell.get("id", "")), re.ASCII) or cell.id in used:
                    cell.id = f"own-{number:03}"
                used.add(cell.id)
            set_fields(cell)
        metadata = copy.deepcopy(self._release.notebook.metadata)
        return from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata,
                          "cells": [item.cell for item in self._items]})
