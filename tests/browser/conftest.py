"""Fixtures of the browser tests: one JupyterLab and one Chromium for all of them, a fresh page for each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.lab import PATIENCE_SECONDS, Lab, NotebookPage, copy_working_tree

CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]

expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All browser tests go to one worker, so that a run starts one server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="package")
def lab(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a copy of the course."""
    root = tmp_path_factory.mktemp("course")
    copy_working_tree(repository, root)
    lab = Lab(root, home=tmp_path_factory.mktemp("home"))
    lab.start()
    yield lab
    lab.stop()


# Not for the whole session: while it lives, playwright keeps an event loop running in this thread, and a later test
# on the same worker could start none of its own.
@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """Debian's or the system's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def open_notebook(browser: Browser, lab: Lab, repository: Path) -> Iterator[Callable[[str], NotebookPage]]:
    """`open_notebook(path)` opens a notebook of the course in a page of its own; its kernel ends with the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_SECONDS * 1000)

    def open_path(path: str) -> NotebookPage:
        return NotebookPage.open(context.new_page(), lab, path, repository / "build" / "screenshots")

    yield open_path
    context.close()
    lab.stop_kernels()
