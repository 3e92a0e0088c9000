"""What an editor like Colab may drop, put back into every notebook; and each told from the others by its cells."""

import copy

import nbformat
import pytest
from nbformat import NotebookNode

from autograder import sources
from autograder.cells import Release
from autograder.course import Course
from autograder.kinship import Kinship
from autograder.repair import repair

FIRST_LINES = ("# exercise:", "# check:", "<!-- answer:")


def untouched(notebook: str, course: Course) -> NotebookNode:
    """The notebook in notebooks/, which test_release.py holds to be the release."""
    return nbformat.read(course.notebooks / notebook / f"{notebook}.ipynb", as_version=4)


def solved(notebook: str, course: Course) -> NotebookNode:
    """The same, with every exercise solved."""
    written = {cell.id: cell.source for cell in sources.read(notebook, course).cells
               if sources.is_solution(cell) or sources.is_answer(cell)}
    whole = untouched(notebook, course)
    for cell in whole.cells:
        cell.source = written.get(cell.id, cell.source)
    return whole


@pytest.fixture(scope="module")
def kinship() -> Kinship:
    return Kinship(Course())


def stripped(notebook: NotebookNode, first_lines: bool) -> NotebookNode:
    """Without metadata and with other cell ids; without id comments, too, if `first_lines`."""
    bare = copy.deepcopy(notebook)
    bare.metadata = nbformat.from_dict({"colab": {"provenance": []}, "kernelspec": {"name": "python3"}})
    for number, cell in enumerate(bare.cells):
        cell.id, cell.metadata = f"c{number}", nbformat.from_dict({"id": f"c{number}"})
        if first_lines and cell.source.startswith(FIRST_LINES):
            cell.source = cell.source.partition("\n")[2]
    return bare


@pytest.mark.parametrize("solution", ["solved", "untouched"])
def test_nothing_of_a_whole_notebook_is_repaired(course: Course, notebook: str, solution: str) -> None:
    handed_in = (solved if solution == "solved" else untouched)(notebook, course)
    assert repair(handed_in, Release(untouched(notebook, course))) == (handed_in, [])


def test_a_solved_notebook_without_metadata_is_what_it_was(course: Course, notebook: str) -> None:
    whole = solved(notebook, course)
    repaired, sentences = repair(stripped(whole, first_lines=False), Release(untouched(notebook, course)))
    assert [(cell.source, cell.cell_type, cell.metadata.get("nbgrader")) for cell in repaired.cells] == [
        (cell.source, cell.cell_type, cell.metadata.get("nbgrader")) for cell in whole.cells]
    assert sentences == [] or "Without nbgrader's metadata" in sentences[0]


def test_without_first_lines_too_every_answer_is_found(course: Course, notebook: str) -> None:
    whole = solved(notebook, course)
    repaired, _ = repair(stripped(whole, first_lines=True), Release(untouched(notebook, course)))

    def answers(one: NotebookNode) -> list[tuple[str | None, str]]:
        return [(sources.grade_id(cell), cell.source.partition("\n")[2] if cell.source.startswith(FIRST_LINES)
                 else cell.source) for cell in one.cells if sources.grade_id(cell)]

    assert answers(repaired) == answers(whole)


def test_a_notebook_is_told_by_its_cells_under_any_name(course: Course, notebook: str, kinship: Kinship) -> None:
    bare = stripped(solved(notebook, course), first_lines=False)
    for named in (None, notebook, *(name for name in course.names() if name != notebook)):
        assert kinship.of_content(bare, named) == notebook


def test_names_of_exercises_are_used_once(course: Course) -> None:
    names = [sources.grade_id(cell) for notebook in course.names() for cell in sources.read(notebook, course).cells
             if sources.grade_id(cell)]
    assert sorted(set(names)) == sorted(names)
