"""Notebook 02 as a learner meets it: a failing check, a passing one, every cell run, the pictures there."""

import re
from collections.abc import Callable

from autograder import sources
from tests.browser.lab import NotebookPage

NOTEBOOK = "02_chunked_prefill"
WRONG = """# exercise: split_into_chunks
def split_into_chunks(num_tokens, chunk_size):
    return [range(start, start + chunk_size) for start in range(0, num_tokens - chunk_size + 1, chunk_size)]
"""


def test_solving_notebook_02(open_notebook: Callable[[str], NotebookPage]) -> None:
    notebook = open_notebook(f"notebooks/{NOTEBOOK}/{NOTEBOOK}.ipynb")
    assert not notebook.run_all()  # the first stub stops it
    assert notebook.text("# exercise: guess_ratio").startswith("NotImplementedError")

    notebook.edit("# exercise: split_into_chunks", WRONG)
    solutions = {cell.source.splitlines()[0]: cell.source for cell in sources.read(NOTEBOOK).cells
                 if sources.is_solution(cell)}
    guess = "# exercise: guess_ratio"
    notebook.edit(guess, solutions[guess])
    assert not notebook.run_all()
    message = notebook.text("# check: split_into_chunks")
    notebook.cell("# check: split_into_chunks")
    notebook.screenshot("02_failing_check")
    for part in ("Input:", "split_into_chunks(10, 4)", "Expected:", "Got:", "First difference:", "chunk is missing"):
        assert part in message

    for first_line, solution in solutions.items():
        notebook.edit(first_line, solution)
    assert notebook.run_all()
    assert re.fullmatch(r"split_into_chunks: \d+ checks passed\.\n", notebook.text("# check: split_into_chunks"))
    for picture in ("one wide bar against the chunk bars", "the running example, in iterations",
                    "the running example, in milliseconds"):
        image = notebook.image(f"# picture: {picture}")
        assert image.get_attribute("alt")
        notebook.screenshot("02_" + picture.replace(" ", "_").replace(",", ""))
