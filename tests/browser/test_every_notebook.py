"""Every notebook, solved, in a real browser: all cells run, and every picture is drawn and has a text in its place."""

from collections.abc import Callable

import nbformat
import pytest

from autograder.course import Course
from tests.autograder.helpers import complaints, solved
from tests.browser.lab import Lab, NotebookPage

# Notebook 02 has a test of its own, which also types the solutions in.
NAMES = [name for name in Course().names() if name != "02_chunked_prefill"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_solved_notebook_runs_and_draws(name: str, lab: Lab, open_notebook: Callable[[str], NotebookPage]) -> None:
    path = lab.root / "notebooks" / name / "solved.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(solved(name, Course()), path)
    notebook = open_notebook(str(path.relative_to(lab.root)))
    assert notebook.run_all()
    notebook.save()
    assert complaints(path) == []
    pictures = notebook.page.locator(".jp-OutputArea-output img").all()
    for number, picture in enumerate(pictures):
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
        assert picture.get_attribute("alt")
        notebook.screenshot(f"{name}_{number}")
    assert pictures
