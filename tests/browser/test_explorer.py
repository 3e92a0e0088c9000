"""The chunk-size explorer of notebook 06 in a real browser, from the keyboard."""

from collections.abc import Callable

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from tests.browser.lab import Lab, NotebookPage

OpenNotebook = Callable[[str], NotebookPage]
PATH = "notebooks/99_explorer/99_explorer.ipynb"
SOURCE = """\
# show: explorer
from dataclasses import dataclass
from course_lib.cost_model import ONE_SECOND
from course_lib.engine import SimulatedExecutor, run
from course_lib.plots import timeline
from course_lib.scheduler import PlannedScheduler, SchedulerConfig
from course_lib.widgets import explorer
from course_lib.workload import running_example

@dataclass
class Row:
    budget: int
    throughput: float
    p99_tbt: float

def picture(budget):
    chunks = [{"1": min(budget, 24 - start)} for start in range(0, 24, budget)]
    plans = [{"2": 8}, *chunks, *[{"1": 1, "2": 1}] * 2, {"2": 1}]
    trace = run(PlannedScheduler(SchedulerConfig(), plans), running_example(), SimulatedExecutor(ONE_SECOND))
    return timeline(trace, title=f"Token budget {budget}")

explorer([Row(8, 0.5, 2.0), Row(12, 0.6, 3.0), Row(24, 0.7, 4.0)], picture)
"""


@pytest.fixture
def explorer_notebook(lab: Lab) -> str:
    """The path of a fresh notebook with an explorer in its only cell."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    (lab.root / PATH).parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell(SOURCE)], metadata=kernel), lab.root / PATH)
    return PATH


def test_arrow_keys_move_numbers_and_timeline(open_notebook: OpenNotebook, explorer_notebook: str) -> None:
    notebook = open_notebook(explorer_notebook)
    assert notebook.run_all()
    cell = notebook.cell("# show: explorer")
    image = cell.locator(".widget-html img")
    expect(cell.get_by_text("budget 12: 0.6 tokens/s, P99 time between tokens 3000 ms", exact=True)).to_be_visible()
    before = image.get_attribute("src")
    cell.locator(".widget-slider .noUi-handle").press("ArrowRight")
    expect(cell.get_by_text("budget 24: 0.7 tokens/s, P99 time between tokens 4000 ms", exact=True)).to_be_visible()
    expect(image).not_to_have_attribute("src", before)
    assert image.get_attribute("alt")
    cell.locator(".widget-slider .noUi-handle").press("ArrowLeft")
    expect(image).to_have_attribute("src", before)
    notebook.screenshot("explorer")
