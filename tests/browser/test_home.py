"""What a learner comes back to: the table of what is done, outputs without a kernel, Validate, the dark theme."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from autograder import sources
from autograder.course import Course
from course_lib import progress
from tests.autograder.helpers import solved, untouched
from tests.browser.lab import Lab, NotebookPage

OpenNotebook = Callable[[str], NotebookPage]
START = "00_start_here"
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
SHOWN = ["""\
# show: picture
from course_lib.plots import cache_grid
cache_grid([[0, 0, 1, 2], [0, 0, 1, None]], title="Who wrote it")
""", """\
# show: ordering
from course_lib.widgets import ordering
ordering(["P11", "D21", "P12"], "my_order")
""", """\
# show: contents
from course_lib.progress import contents
contents()
""", """\
# show: failing check
from course_lib import checks
with checks.exercise("double") as check:
    check.call(abs, -4, expect=5)
"""]
# Runs in the page: the smallest contrast (WCAG 2.1) between a text and what lies behind it, in all outputs.
CONTRAST = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = (rgb) => rgb.slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
const behind = (node) => {
    for (; node; node = node.parentElement) {
        const color = parse(getComputedStyle(node).backgroundColor);
        if (color.length === 3 || color[3] > 0.5) return color;
    }
    return [255, 255, 255];
};
const found = [];
for (const output of panel.node.querySelectorAll('.jp-OutputArea-output')) {
    const walker = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !node.getClientRects().length) continue;
        const [one, other] = [parse(getComputedStyle(node).color), behind(node)].map(luminance).sort((a, b) => b - a);
        found.push([(one + 0.05) / (other + 0.05), walker.currentNode.data.trim().slice(0, 60)]);
    }
}
return found.sort((a, b) => a[0] - b[0]);
"""


def write(lab: Lab, name: str, notebook: nbformat.NotebookNode) -> str:
    """Writes a notebook into a folder of its own; its path from the course's root."""
    path = lab.root / "notebooks" / name / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return str(path.relative_to(lab.root))


@pytest.fixture
def shown(lab: Lab) -> str:
    """The path of a notebook that shows one of each: picture, widget, table, failing check."""
    return write(lab, "99_shown", new_notebook(cells=[new_code_cell(source) for source in SHOWN], metadata=KERNEL))


@pytest.fixture
def start(lab: Lab) -> Iterator[Path]:
    """Notebook 00 in the copy of the course, with nothing done yet; as released again afterwards."""
    path = lab.root / "notebooks" / START / f"{START}.ipynb"
    shutil.rmtree(lab.root / "notebooks" / progress.FOLDER, ignore_errors=True)
    before = path.read_text()
    yield path
    path.write_text(before)


def test_the_table_counts_what_passed_and_opens_notebooks(open_notebook: OpenNotebook, lab: Lab, start: Path) -> None:
    page = open_notebook(str(start.relative_to(lab.root)))
    table_cell = "from course_lib.progress import contents"
    exercise, check = "# exercise: iterations_waited", "# check: iterations_waited"
    page.run_all()
    row = page.cell(table_cell).get_by_role("row").filter(has=page.page.get_by_role("link", name="00 Start here"))
    expect(row.get_by_role("cell").nth(0)).to_have_text("0 of 1")
    [solution] = [cell.source for cell in sources.read(START).cells if sources.grade_id(cell) == "iterations_waited"]
    page.edit(exercise, solution)
    assert page.run(exercise) and page.run(check) and page.run(table_cell)
    expect(row.get_by_role("cell").nth(0)).to_have_text("1 of 1")

    summary = row.locator("summary")
    summary.focus()
    page.page.keyboard.press("Enter")  # folded and unfolded without a mouse
    expect(row.get_by_text("iterations_waited")).to_be_visible()
    expect(row.get_by_role("listitem")).to_contain_text("(An exercise, and its check): passed, last tried 20")
    page.screenshot("home_contents")
    page.page.get_by_role("link", name="01 The KV cache").click()
    page.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.context?.path === 'notebooks/01_kv_cache/01_kv_cache.ipynb'")


def test_what_is_seen_again_without_the_old_kernel(open_notebook: OpenNotebook, lab: Lab, shown: str) -> None:
    page = open_notebook(shown)
    assert not page.run_all()  # the last cell is a check that fails
    page.save()
    page.page.close()
    lab.stop_kernels()
    again = open_notebook(shown)
    assert "2 layers" in again.image("# show: picture").get_attribute("alt")
    kept = again.cell("# show: ordering").get_by_text("No buttons above? They need a running kernel")
    expect(kept).to_contain_text('my_order = ["P11", "D21", "P12"]')
    expect(again.cell("# show: contents").get_by_role("link", name="04 A scheduler")).to_be_visible()
    expect(again.cell("# show: failing check").get_by_text("First difference: expected 5, got 4")).to_be_visible()
    again.screenshot("home_without_kernel")
    assert again.run("# show: ordering")
    expect(again.cell("# show: ordering").get_by_title("Move P12 one place up")).to_be_visible()


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])  # the light one last: settings are kept
def test_every_text_is_legible_in_both_themes(theme: str, open_notebook: OpenNotebook, shown: str) -> None:
    page = open_notebook(shown)
    page.evaluate("await window.jupyterapp.commands.execute('apputils:change-theme', {theme: argument});", theme)
    page.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    page.run_all()
    expect(page.cell("# show: ordering").get_by_title("Move P12 one place up")).to_be_visible()
    background = page.image("# show: picture").evaluate("image => getComputedStyle(image).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    found = page.evaluate(CONTRAST)
    page.screenshot("home_" + theme.replace(" ", "_"))
    assert len(found) > 20
    assert [(round(contrast, 2), text) for contrast, text in found if contrast < 4.5] == []


def test_validate_on_a_real_notebook(open_notebook: OpenNotebook, lab: Lab) -> None:
    course = Course()
    page = open_notebook(write(lab, "98_untouched", untouched(START, course)))
    said = page.validate()
    assert "iterations_waited is still None: fill in the cell above and run it" in said and "Traceback" not in said
    page = open_notebook(write(lab, "98_solved", solved(START, course)))
    assert "Success" in page.validate()
