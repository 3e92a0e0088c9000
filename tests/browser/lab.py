"""A JupyterLab started by `make lab`, and a notebook opened in it by a real browser.

Cells are found by the id comment on their first line (`# exercise: split_into_chunks`), for the ids that a page gives
them change. JupyterLab's own model of the notebook (`window.jupyterapp`) says what a cell holds and when a run has
ended; what a learner sees is looked for on the page.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

TOKEN = "browser-test"
PATIENCE_SECONDS = 120  # a busy machine with two cores: long enough to be wrong only when something hangs
SERVER_CONFIG = {"LabApp": {"expose_app_in_browser": True}}
SETTINGS = {"@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false"}}

# Runs in the page. `panel` is the notebook in front, `cells` its cells.
PRELUDE = """
const panel = window.jupyterapp.shell.currentWidget;
const cells = panel.content.widgets;
const source = (cell) => cell.model.sharedModel.getSource();
"""


def copy_working_tree(repository: Path, target: Path) -> None:
    """Copies what git tracks or would track, so that a test never changes a learner's own notebooks.

    The environment is linked, and what it was installed from looks old, so that `make lab` in the copy never installs:
    it would point the environment at the copy.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (repository / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, target / name)
    for name in ("requirements.lock", "pyproject.toml"):
        os.utime(target / name, (0, 0))
    (target / ".venv").symlink_to(sys.prefix)


@dataclass
class Lab:
    """JupyterLab over the course in `root`, started by `start` and ended by `stop`; `home` takes the user's files."""

    root: Path
    home: Path
    url: str = ""
    process: subprocess.Popen | None = field(default=None, repr=False)

    def start(self) -> None:
        """Runs `make lab` headless and returns when the server answers; RuntimeError with its log when it does not."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for name, content in [("config/jupyter_server_config.json", SERVER_CONFIG)] + [
            (f"settings/{name}", content) for name, content in SETTINGS.items()
        ]:
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_text(json.dumps(content))
        # Without the options of the `make test` that this may be part of.
        environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")} | {
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
        }
        with open(self.home / "lab.log", "w") as log:
            self.process = subprocess.Popen(
                ["make", "lab", f"PORT={port}", "BROWSER=no", f"TOKEN={TOKEN}"],
                cwd=self.root,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.request("/api/status")
                return
            except OSError:
                time.sleep(0.2)
        self.stop()
        raise RuntimeError("`make lab` did not start a server:\n" + (self.home / "lab.log").read_text())

    def stop(self) -> None:
        """Ends the server, its kernels and make."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)

    def request(self, path: str, method: str = "GET") -> Any:
        """The JSON reply of the server's REST interface, None where it is empty; OSError when it cannot answer."""
        headers = {"Authorization": f"token {TOKEN}"}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as reply:
            body = reply.read()
        return json.loads(body) if body else None

    def landing_page(self) -> str:
        """The path that the server's root leads to."""
        with urllib.request.urlopen(f"{self.url}/?token={TOKEN}", timeout=PATIENCE_SECONDS) as reply:
            return urllib.parse.urlsplit(reply.url).path

    def stop_kernels(self) -> None:
        """Ends the kernels of all open notebooks, so that none holds memory during the next test."""
        for session in self.request("/api/sessions"):
            self.request(f"/api/sessions/{session['id']}", method="DELETE")


@dataclass
class NotebookPage:
    """A notebook open in the browser; its kernel is ready."""

    page: Page
    screenshots: Path

    @classmethod
    def open(cls, page: Page, lab: Lab, path: str, screenshots: Path) -> NotebookPage:
        """Opens `path`, relative to the course's root, in a workspace of its own."""
        workspace = path.replace("/", "-").replace(".", "-")
        page.goto(f"{lab.url}/lab/workspaces/{workspace}/tree/{path}?token={TOKEN}")
        page.wait_for_function(
            """name => {
                const panel = window.jupyterapp?.shell.currentWidget;
                return panel?.context?.path === name && panel.context.isReady && panel.content.widgets.length > 0
                    && panel.sessionContext.session?.kernel?.status === 'idle';
            }""",
            arg=path,
        )
        return cls(page, screenshots)

    def evaluate(self, body: str, argument: Any = None) -> Any:
        """Runs the JavaScript statements `body`, in which `panel`, `cells`, `source` and `argument` are known."""
        return self.page.evaluate(f"async (argument) => {{ {PRELUDE} {body} }}", argument)

    def index_of(self, first_line: str) -> int:
        """The position of the one cell that begins with `first_line`; LookupError when there is none or several."""
        first_lines = self.evaluate("return cells.map(cell => source(cell).split('\\n')[0].trim());")
        found = [index for index, line in enumerate(first_lines) if line == first_line]
        if len(found) != 1:
            raise LookupError(f"{len(found)} cells begin with {first_line!r}, 1 is needed; cells begin: {first_lines}")
        return found[0]

    def cell(self, first_line: str) -> Locator:
        """The cell that begins with `first_line`, scrolled into view and active."""
        index = self.index_of(first_line)
        self.evaluate(
            "panel.content.activeCellIndex = argument; await panel.content.scrollToItem(argument);"
            "cells[argument].node.scrollIntoView({block: 'center'});",
            index,
        )
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell.jp-mod-active")

    def source(self, first_line: str) -> str:
        """The text of the cell that begins with `first_line`."""
        return self.evaluate("return source(cells[argument]);", self.index_of(first_line))

    def edit(self, first_line: str, text: str) -> None:
        """Replaces the text of the cell that begins with `first_line`, through its editor on the page."""
        index = self.index_of(first_line)
        self.cell(first_line).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Escape")
        got = self.evaluate("return source(cells[argument]);", index)
        assert got == text, f"the editor holds {got!r} after typing {text!r}"

    def run_all(self) -> bool:
        """Runs all cells from the top and returns when the last has ended: True if none raised.

        JupyterLab does not run the cells after the first that raises.
        """
        return self.evaluate("return await window.jupyterapp.commands.execute('notebook:run-all-cells');")

    def run(self, first_line: str) -> bool:
        """Runs one cell and returns when it has ended: True if it did not raise."""
        self.cell(first_line)
        return self.evaluate("return await window.jupyterapp.commands.execute('notebook:run-cell');")

    def outputs(self, first_line: str) -> list[dict[str, Any]]:
        """The outputs of a code cell as nbformat has them."""
        return self.evaluate("return cells[argument].model.outputs.toJSON();", self.index_of(first_line))

    def text(self, first_line: str) -> str:
        """All that a cell printed or returned as text, and the names and messages of its errors."""
        pieces = []
        for output in self.outputs(first_line):
            if output["output_type"] == "error":
                pieces.append(f"{output['ename']}: {output['evalue']}\n")
            pieces.append(joined(output.get("text") or output.get("data", {}).get("text/plain", "")))
        return "".join(pieces)

    def image(self, first_line: str) -> Locator:
        """The first picture that a cell shows; waits until the browser has drawn it."""
        image = self.cell(first_line).locator(".jp-OutputArea-output img").first
        expect(image).to_be_visible()
        self.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image.element_handle())
        return image

    def save(self) -> None:
        """Saves the notebook and returns when the server has it."""
        self.evaluate("await panel.context.save();")

    def validate(self) -> str:
        """Presses nbgrader's Validate button and returns what its dialog says; the dialog is closed again."""
        self.page.get_by_role("button", name="Validate").first.click()
        dialog = self.page.locator(".jp-Dialog", has_text="Validation")
        message = dialog.inner_text(timeout=PATIENCE_SECONDS * 1000)
        dialog.get_by_role("button").last.click()
        return message

    def screenshot(self, name: str) -> Path:
        """Writes build/screenshots/NAME.png for a person to look at."""
        self.screenshots.mkdir(parents=True, exist_ok=True)
        path = self.screenshots / f"{name}.png"
        self.page.screenshot(path=path)
        return path


def joined(text: str | list[str]) -> str:
    """nbformat stores a long text as one string or as a list of lines."""
    return text if isinstance(text, str) else "".join(text)
