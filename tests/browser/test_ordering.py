"""The ordering widget in a real browser, from the keyboard alone."""

from collections.abc import Callable

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.lab import Lab, NotebookPage

NOTEBOOK = "notebooks/99_ordering/99_ordering.ipynb"


def test_an_entry_is_moved_from_the_keyboard(open_notebook: Callable[[str], NotebookPage], lab: Lab) -> None:
    source = '# show: ordering\nfrom course_lib.widgets import ordering\nordering(["P11", "D21", "P12"], "my_order")'
    (lab.root / NOTEBOOK).parent.mkdir(parents=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata=kernel), lab.root / NOTEBOOK)
    notebook = open_notebook(NOTEBOOK)
    assert notebook.run("# show: ordering")
    cell = notebook.cell("# show: ordering")
    to_paste, press = cell.get_by_role("textbox", name="To paste:"), notebook.page.keyboard.press

    cell.get_by_title("Move P12 one place up").focus()
    press("Space")
    expect(to_paste).to_have_value('my_order = ["P11", "P12", "D21"]')
    # The focus has gone along: the next key moves the same entry on.
    expect(cell.get_by_title("Move P12 one place up")).to_be_focused()
    press("Enter")
    expect(to_paste).to_have_value('my_order = ["P12", "P11", "D21"]')
    press("Tab")
    expect(cell.get_by_title("Move P12 one place down")).to_be_focused()
    press("Space")
    expect(to_paste).to_have_value('my_order = ["P11", "P12", "D21"]')
