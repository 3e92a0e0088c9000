"""Reads the file that a learner handed in, and refuses what is not a notebook, with a sentence for the learner."""

import json
import stat
from pathlib import Path
from typing import Any

from nbformat import NotebookNode, from_dict

MAX_BYTES = 20 * 2**20  # pictures included; a solved notebook of this course has about 1 MB
MAX_CELLS = 1000

# How files begin that were handed in under the wrong name.
BEGINNINGS = {b"PK\x03\x04": "a zip archive", b"%PDF": "a PDF", b"<": "a web page (HTML)", b"\x89PNG": "a picture"}


class Refused(ValueError):
    """A submission that cannot be graded: what was found, and what the learner has to do."""


def read(path: Path, name: str | None = None) -> NotebookNode:
    """The notebook in `path` in format 4.5 without its outputs, which grading makes anew; damage in them is harmless.

    `name` is what the learner called the file, where it lies under another name. Raises Refused for links, files that
    are empty or over MAX_BYTES, and whatever is not a notebook of format 4.
    """
    name = name or path.name
    try:
        found = path.lstat()
    except OSError as error:
        raise Refused(f"{name} cannot be read ({error.strerror}): hand it in again.") from None
    if stat.S_ISLNK(found.st_mode):
        raise Refused(f"{name} is a link to another file: hand in the notebook itself.")
    if not stat.S_ISREG(found.st_mode):
        raise Refused(f"{name} is not an ordinary file: hand in the notebook itself.")
    if found.st_size == 0:
        raise Refused(f"{name} is empty (0 bytes): save the notebook again, look whether it opens, and hand it in.")
    if found.st_size > MAX_BYTES:
        raise Refused(f"{name} has {found.st_size / 2**20:.0f} MB; at most {MAX_BYTES >> 20} MB are allowed: clear its "
                      "outputs (Kernel, Restart Kernel and Clear Outputs), save, and hand it in again.")
    return _notebook(_json(path, name), name)


def _json(path: Path, name: str) -> Any:
    try:
        data = path.read_bytes()
        return json.loads(data)
    except OSError as error:
        raise Refused(f"{name} cannot be read ({error.strerror}): hand it in again.") from None
    except (ValueError, RecursionError) as error:
        kind = next((kind for start, kind in BEGINNINGS.items() if data.lstrip().startswith(start)), None)
        what = f"it is {kind}" if kind else f"it is not JSON: {error}"
        raise Refused(f"{name} is not a notebook that Jupyter can read ({what}): download it again as a notebook "
                      "(.ipynb), look whether it opens in Jupyter, and hand it in.") from None


def _notebook(content: Any, name: str) -> NotebookNode:
    if not isinstance(content, dict) or not isinstance(content.get("nbformat"), int):
        raise Refused(f"{name} is not a notebook (it is JSON of another kind): hand in the file that ends in .ipynb.")
    if content["nbformat"] != 4:
        raise Refused(f"{name} is in notebook format {content['nbformat']}; format 4 is needed: open it in JupyterLab, "
                      "save it, and hand it in again.")
    cells = content.get("cells")
    if not isinstance(cells, list) or not cells:
        raise Refused(f"{name} has no cells: hand in the notebook that you worked in.")
    if len(cells) > MAX_CELLS:
        raise Refused(f"{name} has {len(cells)} cells; at most {MAX_CELLS} are allowed: delete those of your own.")
    metadata = content.get("metadata")
    return from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata if isinstance(metadata, dict) else {},
                      "cells": [_cell(cell, index, name) for index, cell in enumerate(cells)]})


def _cell(cell: Any, index: int, name: str) -> dict:
    """A cell that is sure to be valid, but for its id, which may be missing or used twice."""
    source = cell.get("source", "") if isinstance(cell, dict) else None
    lines = source if isinstance(source, list) else [source]
    if not all(isinstance(line, str) for line in lines):
        raise Refused(f"{name} is damaged: its cell {index + 1} holds no text. Open it in JupyterLab, copy the text of "
                      "your answers into a fresh copy of the notebook, and hand that in.")
    kind = cell.get("cell_type")
    metadata = cell.get("metadata")
    # Half of a character's code, as broken converters write it, is no text that could be saved.
    text = "".join(lines).encode(errors="replace").decode()
    clean = {"id": str(cell.get("id", "")), "cell_type": kind if kind in ("code", "markdown") else "raw",
             "metadata": metadata if isinstance(metadata, dict) else {}, "source": text}
    if kind == "code":
        clean |= {"outputs": [], "execution_count": None}
    elif isinstance(cell.get("attachments"), dict):
        clean["attachments"] = cell["attachments"]
    return clean
