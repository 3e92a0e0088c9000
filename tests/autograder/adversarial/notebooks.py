"""Submissions whose notebook was edited, not only the solution in it."""

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tests.autograder.adversarial.kind import ALL, REST, RIGHT, WRONG, Kind

FAILED = "halves: 0 of 3 points."


def _check(notebook: NotebookNode) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == "halves_check")


def _constant(notebook: NotebookNode) -> None:
    _check(notebook).source = "3.0"


def _unlocked(notebook: NotebookNode) -> None:
    _check(notebook).metadata.nbgrader.update(locked=False)
    _check(notebook).source = "3.0"


def _points(notebook: NotebookNode) -> None:
    _check(notebook).metadata.nbgrader.points = 300


def _outputs(notebook: NotebookNode) -> None:
    _check(notebook).outputs = [new_output("execute_result", {"text/plain": "3.0"})]


def _copied(notebook: NotebookNode) -> None:
    copy = new_code_cell("3.0", metadata=_check(notebook).metadata)
    notebook.cells.append(copy)


def _kernel(notebook: NotebookNode) -> None:
    notebook.metadata.kernelspec = {"name": "bash", "display_name": "bash", "language": "bash"}


def _raises(notebook: NotebookNode) -> None:
    _check(notebook).metadata.tags = ["raises-exception", "skip-execution"]


def _script(notebook: NotebookNode) -> None:
    image = "An image: <img src=x onerror=\"document.title='RE' + 'ACHED'\">"
    notebook.cells.append(new_markdown_cell(image))
    notebook.cells[-2].source += f"\n\n{image}"  # the written answer, which the feedback page shows
    notebook.cells.append(new_code_cell("from IPython.display import HTML, Javascript, SVG\n"
                                        "display(HTML('<script>REACHED</script>'), Javascript('REACHED'))"))


KINDS = [
    Kind("check_edited", WRONG, REST, FAILED, edit=_constant),
    Kind("check_unlocked", WRONG, REST, FAILED, edit=_unlocked),
    Kind("points_edited", RIGHT, ALL, "halves: 3 of 3 points.", edit=_points),
    Kind("outputs_edited", WRONG, REST, FAILED, edit=_outputs),
    Kind("check_copied", WRONG, REST, FAILED, edit=_copied),
    Kind("kernel_edited", RIGHT, ALL, "halves: 3 of 3 points.", edit=_kernel),
    Kind("check_tagged", WRONG, REST, FAILED, edit=_raises),
    Kind("scripts", RIGHT, ALL, "halves: 3 of 3 points.", edit=_script),
]
