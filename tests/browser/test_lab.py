"""The course in a real browser: notebooks open, run and draw, and nbgrader's Validate button works."""

from collections.abc import Callable

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.lab import Lab, NotebookPage

OpenNotebook = Callable[[str], NotebookPage]
SMALL = "notebooks/99_small/99_small.ipynb"
FIRST_NOTEBOOK = "notebooks/00_start_here/00_start_here.ipynb"


@pytest.fixture
def small_notebook(lab: Lab) -> str:
    """The path of a fresh notebook: an import of the course's library, a figure, a slider, an exercise, its check."""
    exercise = {"grade": False, "grade_id": "double", "locked": False, "schema_version": 3, "solution": True}
    check = {"grade": True, "grade_id": "double_check", "locked": True, "points": 1, "schema_version": 3}
    cells = [
        new_code_cell("import matplotlib.pyplot as plt\nimport ipywidgets\nimport course_lib"),
        new_code_cell("# show: figure\nplt.plot([1, 4, 9])\nplt.show()"),
        new_code_cell("# show: slider\nipywidgets.IntSlider(value=3)"),
        new_code_cell(
            "# exercise: double\ndef double(number):\n    raise NotImplementedError('<not written yet>')",
            metadata={"nbgrader": exercise | {"task": False}},
        ),
        new_code_cell(
            "# check: double\nassert double(4) == 8, f'double(4) must be 8, got {double(4)}'\nprint('double: passed')",
            metadata={"nbgrader": check | {"solution": False, "task": False}},
        ),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (lab.root / SMALL).parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata=kernel), lab.root / SMALL)
    return SMALL


def test_runs_every_cell_and_draws(open_notebook: OpenNotebook, small_notebook: str) -> None:
    notebook = open_notebook(small_notebook)
    notebook.edit("# exercise: double", "# exercise: double\ndef double(number):\n    return 2 * number\n")
    assert notebook.run_all()
    assert notebook.text("# check: double") == "double: passed\n"
    notebook.image("# show: figure")
    slider = notebook.cell("# show: slider").locator(".widget-slider")
    slider.locator(".noUi-handle").press("ArrowRight")
    expect(slider.locator(".widget-readout")).to_have_text("4")
    notebook.screenshot("small_notebook")


def test_an_unwritten_exercise_stops_the_run_at_its_check(open_notebook: OpenNotebook, small_notebook: str) -> None:
    notebook = open_notebook(small_notebook)
    assert not notebook.run_all()
    assert notebook.text("# check: double") == "NotImplementedError: <not written yet>\n"


def test_validate_button_says_what_failed_and_what_passed(open_notebook: OpenNotebook, small_notebook: str) -> None:
    notebook = open_notebook(small_notebook)
    notebook.edit("# exercise: double", "# exercise: double\ndef double(number):\n    return number\n")
    notebook.save()
    assert "double(4) must be 8, got 4" in notebook.validate()
    notebook.edit("# exercise: double", "# exercise: double\ndef double(number):\n    return 2 * number\n")
    notebook.save()
    message = notebook.validate()
    notebook.screenshot("validate")
    assert "Success" in message


def test_lab_opens_on_the_first_notebook(lab: Lab) -> None:
    assert lab.landing_page() == f"/lab/tree/{FIRST_NOTEBOOK}"
