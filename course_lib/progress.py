"""How far you are: a table of contents of the notebooks, and which visible checks have passed.

Every visible check leaves a line in a small file beside the notebooks' folders, `.progress/NN_name.json`. Nothing needs
it: delete it and you lose the table's memory, not your work. Where there is no such place (on Colab, in the grader),
nothing is written. `contents()` reads these files and the notebooks as they were last saved.
"""

import html
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import NoneType

from course_lib.validate import check_type

FOLDER = ".progress"
EXERCISE = re.compile(r"# exercise: (\w+)")
ANSWER = re.compile(r"<!-- answer: (\w+) -->")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
UNWRITTEN = "*Write your answer here.*"


def record(name: str, passed: bool) -> None:
    """Notes that the check of exercise `name` was run just now. Silent where there is no place, or no room, for it."""
    here = Path.cwd()
    if os.environ.get("NBGRADER_EXECUTION") == "autograde" or not (here / f"{here.name}.ipynb").exists():
        return
    path = here.parent / FOLDER / f"{here.name}.json"
    tries = _tries(path) | {name: {"passed": passed, "tried": f"{datetime.now():%Y-%m-%d %H:%M}"}}
    try:
        path.parent.mkdir(exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(tries, indent=1))
        beside.replace(path)
    except OSError:
        pass  # a check must not fail because a disk is full or read-only


@dataclass(frozen=True)
class Entry:
    """An exercise or written answer, its section's heading, its state in words, when its check last ran ("": never)."""

    name: str
    section: str
    state: str
    tried: str
    is_done: bool


@dataclass(frozen=True)
class Notebook:
    """One notebook: its title, its address seen from the notebook that shows the table, and its entries."""

    title: str
    link: str
    entries: tuple[Entry, ...]

    @property
    def done(self) -> str:
        """How many entries are done, of how many."""
        return f"{sum(entry.is_done for entry in self.entries)} of {len(self.entries)}" if self.entries else "none"

    @property
    def tried(self) -> str:
        """When a check of this notebook last ran; "" if none ever did."""
        return max((entry.tried for entry in self.entries), default="")


@dataclass(frozen=True, repr=False)
class Contents:
    """The table. Jupyter shows it as HTML with links; `print` shows it as text."""

    notebooks: tuple[Notebook, ...]
    when: str

    def __str__(self) -> str:
        if not self.notebooks:
            return "There are no notebooks beside this one (on Colab each is opened by itself), so there is no table."
        lines = [f"Done so far, {self.when}. Run this cell again to see it anew."]
        for notebook in self.notebooks:
            lines.append(f"{notebook.title}: {notebook.done} done")
            lines += [f"    {entry.name}: {_state(entry)}" for entry in notebook.entries]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.notebooks:
            return f"<p>{html.escape(str(self))}</p>"
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>'
                       for name in ("Notebook", "Done", "Last tried", "Exercises"))
        return (f"<table><caption>Done so far, {self.when}. Run this cell again to see it anew.</caption>"
                f"<thead><tr>{head}</tr></thead><tbody>{''.join(map(_html_row, self.notebooks))}</tbody></table>")


def contents(folder: str | Path | None = None) -> Contents:
    """The notebooks `NN_name/NN_name.ipynb` in `folder`, with what is done in each.

    Default: the folder above the notebook's own, where the working directory is one; else the working directory.
    An exercise is done when its check passed the last time it ran; a written answer, when something is written.
    """
    check_type("folder", folder, (str, Path, NoneType), "the path of a folder")
    if folder is not None and not Path(folder).is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; give the one that holds the notebooks' folders")
    here = Path.cwd()
    if folder is None:
        folder = here.parent if (here / f"{here.name}.ipynb").exists() else here
    paths = [path for path in sorted(Path(folder).glob("[0-9]*/*.ipynb")) if path.stem == path.parent.name]
    return Contents(tuple(_read(path, here) for path in paths), f"{datetime.now():%Y-%m-%d %H:%M}")


def _read(path: Path, here: Path) -> Notebook:
    tries = _tries(path.parents[1] / FOLDER / f"{path.stem}.json")
    title, section, entries = path.stem, "", []
    try:
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text("utf-8"))["cells"]]
    except (OSError, ValueError, KeyError, TypeError):
        cells, title = [], f"{path.stem} (this file cannot be read as a notebook)"
    for kind, source in cells:
        for level, heading in HEADING.findall(source) if kind == "markdown" else ():
            title, section = (heading, "") if level == "#" else (title, heading)
        if kind == "code" and (found := EXERCISE.match(source)):
            entries.append(_checked(found[1], section, tries.get(found[1])))
        if kind == "markdown" and (found := ANSWER.match(source)):
            state = "open" if UNWRITTEN in source else "written, for a person to read"
            entries.append(Entry(found[1], section, state, "", is_done=state != "open"))
    return Notebook(title, Path(os.path.relpath(path, here)).as_posix(), tuple(entries))


def _checked(name: str, section: str, last: dict | None) -> Entry:
    if last is None:
        return Entry(name, section, "open", "", is_done=False)
    state = "passed" if last["passed"] else "not passed yet"
    return Entry(name, section, state, last["tried"], last["passed"])


def _tries(path: Path) -> dict[str, dict]:
    """Exercise -> {"passed": bool, "tried": "YYYY-MM-DD HH:MM"}; nothing where the file is missing or broken."""
    try:
        tries = json.loads(path.read_text())
        return {name: {"passed": bool(last["passed"]), "tried": str(last["tried"])} for name, last in tries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _state(entry: Entry) -> str:
    return f"{entry.state}, last tried {entry.tried}" if entry.tried else entry.state


def _html_row(notebook: Notebook) -> str:
    items = "".join(f"<li><code>{entry.name}</code> ({html.escape(entry.section)}): {html.escape(_state(entry))}</li>"
                    for entry in notebook.entries)
    number = f"{len(notebook.entries)} exercise{'s' * (len(notebook.entries) != 1)}"
    cells = (notebook.done, notebook.tried or "never",
             f"<details><summary>{number}</summary><ul>{items}</ul></details>" if items else "")
    link = f'<a href="{html.escape(notebook.link)}">{html.escape(notebook.title)}</a>'
    return (f'<tr><th scope="row" style="text-align:left;font-weight:normal">{link}</th>'
            + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>")
