"""Notebooks that were damaged on their way: what was done to a solved 01_demo, and what the learner must be told.

Each must earn the 5 automatic marks of the solved notebook, unless it says otherwise.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

WRONG = "# exercise: halves\ndef halves(numbers):\n    return [7]"
HALF_WRONG = """# exercise: halves
def halves(numbers):
    return [-(-number // 2) for number in numbers]"""


@dataclass(frozen=True)
class Kind:
    """`damage` changes a solved notebook; `says` is part of a repair's sentence, empty where nothing was repaired."""

    name: str
    damage: Callable[[NotebookNode], None]
    says: str
    score: float = 5


def cell(notebook: NotebookNode, name: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == name)


def place(notebook: NotebookNode, name: str) -> int:
    return next(index for index, cell in enumerate(notebook.cells) if cell.id == name)


def _copy_of(notebook: NotebookNode, name: str, source: str | None = None, **nbgrader: object) -> NotebookNode:
    copied = copy.deepcopy(cell(notebook, name))
    copied.source = copied.source if source is None else source
    copied.id = f"copy-of-{name.replace('_', '-')}"
    copied.metadata.nbgrader.update(nbgrader)
    return copied


def _copied_check(notebook: NotebookNode) -> None:
    notebook.cells.insert(4, _copy_of(notebook, "halves_check"))


def _copied_with_a_new_id(notebook: NotebookNode) -> None:
    notebook.cells.insert(place(notebook, "halves"), _copy_of(notebook, "halves", WRONG, grade_id="cell-2f1a"))


def _copied_before_solving(notebook: NotebookNode) -> None:
    stub = '# exercise: halves\ndef halves(numbers):\n    raise NotImplementedError("<not written yet>")'
    notebook.cells.insert(place(notebook, "halves") + 1, _copy_of(notebook, "halves", stub))


def _two_answers(notebook: NotebookNode) -> None:
    notebook.cells.insert(place(notebook, "halves") + 1, _copy_of(notebook, "halves", HALF_WRONG))


def _answer_in_a_copy_at_the_end(notebook: NotebookNode) -> None:
    notebook.cells.append(_copy_of(notebook, "halves"))
    cell(notebook, "halves").source = "# exercise: halves\n"


def _helper_in_a_copy(notebook: NotebookNode) -> None:
    notebook.cells.insert(place(notebook, "halves"), _copy_of(notebook, "halves", "def half(n):\n    return n // 2"))
    solution = cell(notebook, "halves")
    solution.source = solution.source.replace("[number // 2 ", "[half(number) ")


def _deleted_check(notebook: NotebookNode) -> None:
    del notebook.cells[place(notebook, "halves_check")]


def _deleted_checks_and_solutions(notebook: NotebookNode) -> None:
    notebook.cells = [cell for cell in notebook.cells if not cell.id.startswith(("guess_longest", "why_even_check"))]


def _deleted_setup(notebook: NotebookNode) -> None:
    del notebook.cells[1:4]


def _broken_given(notebook: NotebookNode) -> None:
    given = next(cell for cell in notebook.cells if "given" in cell.metadata.get("tags", []))
    given.source = given.source.replace("return 2 *", "return 2 * *")


def _edited_check(notebook: NotebookNode) -> None:
    cell(notebook, "halves_check").source = "# check: halves\nassert True"


def _answer_in_the_check(notebook: NotebookNode) -> None:
    cell(notebook, "halves_check").source = cell(notebook, "halves").source + "\n" + "# check: halves\nhalves([2])"
    cell(notebook, "halves").source = "# exercise: halves\n"


def _renamed_check(notebook: NotebookNode) -> None:
    cell(notebook, "halves_check").metadata.nbgrader.grade_id = "my_test"


def _ids_swapped(notebook: NotebookNode) -> None:
    one, other = cell(notebook, "halves_check"), cell(notebook, "why_even_check")
    one.metadata.nbgrader, other.metadata.nbgrader = other.metadata.nbgrader, one.metadata.nbgrader


def _retyped(notebook: NotebookNode) -> None:
    for name, kind in (("halves_check", "raw"), ("halves", "markdown"), ("say_why", "code")):
        changed = cell(notebook, name)
        changed.cell_type = kind
        for field in ("outputs", "execution_count"):
            changed.pop(field, None)
        if kind == "code":
            changed.outputs, changed.execution_count = [], None


def _unlocked(notebook: NotebookNode) -> None:
    cell(notebook, "halves_check").metadata.nbgrader.update(locked=False, points=300)


def _solution_locked(notebook: NotebookNode) -> None:
    cell(notebook, "halves").metadata.nbgrader.update(locked=True, solution=False)


def _all_metadata_lost(notebook: NotebookNode) -> None:
    for index, one in enumerate(notebook.cells):
        one.metadata = NotebookNode(id=f"cOLab{index}")
        one.id = f"cOLab{index}"
    notebook.metadata = NotebookNode(colab={"provenance": []}, kernelspec={"name": "python3"})


def _metadata_and_first_lines_lost(notebook: NotebookNode) -> None:
    _all_metadata_lost(notebook)
    for one in notebook.cells:
        if one.source.startswith(("# exercise:", "# check:", "<!-- answer:")):
            one.source = one.source.partition("\n")[2]


def _old_schema(notebook: NotebookNode) -> None:
    for one in notebook.cells:
        one.metadata.get("nbgrader", {}).pop("schema_version", None)
    notebook.cells.append(new_code_cell("1 + 1", metadata={"nbgrader": {"grade": True}}))


def _foreign_cell(notebook: NotebookNode) -> None:
    mine = {"grade": True, "solution": False, "locked": True, "points": 50, "grade_id": "bonus", "schema_version": 3,
            "task": False, "cell_type": "code"}
    notebook.cells.append(new_code_cell("50.0", metadata={"nbgrader": mine}))


def _no_kernel(notebook: NotebookNode) -> None:
    notebook.metadata = NotebookNode()


def _check_first(notebook: NotebookNode) -> None:
    notebook.cells.insert(0, notebook.cells.pop(place(notebook, "halves_check")))


def _setup_last(notebook: NotebookNode) -> None:
    notebook.cells += [notebook.cells.pop(1) for _ in range(3)]


def _split(notebook: NotebookNode) -> None:
    solution = cell(notebook, "halves")
    first, _, rest = solution.source.partition("\n")
    solution.source = f"{first}\nimport math"
    notebook.cells.insert(place(notebook, "halves") + 1, new_code_cell(rest))


def _merged(notebook: NotebookNode) -> None:
    cell(notebook, "halves").source += "\n\n" + cell(notebook, "guess_longest").source
    del notebook.cells[place(notebook, "guess_longest")]


def _own_cells(notebook: NotebookNode) -> None:
    notebook.cells.insert(place(notebook, "halves_check"), new_code_cell("halves([2])"))
    notebook.cells.append(new_markdown_cell("A note of mine."))


def _same_cell_ids(notebook: NotebookNode) -> None:
    for one in notebook.cells[:4]:
        one.id = "same"


KINDS = [
    Kind("copied_check", _copied_check, "Read-only, there more than once, and counted once: `halves_check`."),
    Kind("copied_with_a_new_id", _copied_with_a_new_id, "There more than once: `halves`. Graded is cell 6"),
    Kind("copied_before_solving", _copied_before_solving, "There more than once: `halves`. Graded is cell 5"),
    Kind("two_answers", _two_answers, "There more than once: `halves`. Graded is cell 6", 3),
    Kind("answer_in_a_copy_at_the_end", _answer_in_a_copy_at_the_end, "and moved back: `halves_check`."),
    Kind("helper_in_a_copy", _helper_in_a_copy, ""),
    Kind("deleted_check", _deleted_check, "Missing, and put back as released: `halves_check`."),
    Kind("deleted_more", _deleted_checks_and_solutions, "`guess_longest`, `guess_longest_check`, `why_even_check`", 4),
    Kind("deleted_setup", _deleted_setup, "Missing, and put back as released: `# Finds course_lib"),
    Kind("broken_given", _broken_given, "edited so that it could not run, and put back: `def double"),
    Kind("edited_check", _edited_check, "Read-only, edited, and put back: `halves_check`."),
    Kind("answer_in_the_check", _answer_in_the_check, "Missing, and put back as released: `halves_check`."),
    Kind("renamed_check", _renamed_check, "(name, points, lock), which were put back: `halves_check`."),
    Kind("ids_swapped", _ids_swapped, "which were put back: `halves_check`, `why_even_check`."),
    Kind("retyped", _retyped, "Changed in their type, which was put back: `halves`, `halves_check`, `say_why`."),
    Kind("unlocked", _unlocked, "(name, points, lock), which were put back: `halves_check`."),
    Kind("solution_locked", _solution_locked, "(name, points, lock), which were put back: `halves`."),
    Kind("all_metadata_lost", _all_metadata_lost, "Without nbgrader's metadata"),
    Kind("first_lines_lost", _metadata_and_first_lines_lost, "recognised by the names that it defines: `halves`"),
    Kind("old_schema", _old_schema, "which were put back: `halves`, `halves_check`"),
    Kind("foreign_cell", _foreign_cell, ""),
    Kind("no_kernel", _no_kernel, "did not say which kernel runs it"),
    Kind("check_first", _check_first, "and moved back: `halves_check`."),
    Kind("setup_last", _setup_last, "and moved back: `# Finds course_lib"),
    Kind("split", _split, ""),
    Kind("merged", _merged, "Missing, and put back as released: `guess_longest`."),
    Kind("own_cells", _own_cells, ""),
    Kind("same_cell_ids", _same_cell_ids, ""),
]
