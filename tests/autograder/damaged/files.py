"""Files that learners handed in otherwise than asked: under other names, in zips, or nothing that can be graded."""

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook


@dataclass(frozen=True)
class Kind:
    """`hand_in` fills a learner's folder, given the text of a right notebook 01_demo.

    `status` is the beginning of the row's status; `says` is on the feedback page. Right answers earn 5.
    """

    name: str
    hand_in: Callable[[Path, str], None]
    says: str
    status: str = "refused"


RIGHT = "needs manual grading: say_why"
GRADED = "halves: 3 of 3 points"


def _file(name: str, content: str | bytes | None = None) -> Callable[[Path, str], None]:
    def hand_in(folder: Path, right: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        given = right if content is None else content
        path.write_bytes(given.encode() if isinstance(given, str) else given)

    return hand_in


def _json_of(**changes: object) -> Callable[[Path, str], None]:
    return lambda folder, right: _file("01_demo.ipynb", json.dumps(json.loads(right) | changes))(folder, right)


def _zip(name: str, members: dict[str, str | None]) -> Callable[[Path, str], None]:
    def hand_in(folder: Path, right: str) -> None:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, right if content is None else content)

    return hand_in


def _symbolic_link(folder: Path, right: str) -> None:
    (folder.parent.parent / "elsewhere.ipynb").write_text(right)
    (folder / "01_demo.ipynb").symlink_to(folder.parent.parent / "elsewhere.ipynb")


def _linked_folder(folder: Path, right: str) -> None:
    (folder.parent.parent / "elsewhere").mkdir()
    _file("01_demo.ipynb")(folder.parent.parent / "elsewhere", right)
    (folder / "01_demo").symlink_to(folder.parent.parent / "elsewhere", target_is_directory=True)


def _hard_link(folder: Path, right: str) -> None:
    (folder.parent.parent / "elsewhere-2.ipynb").write_text(right)
    os.link(folder.parent.parent / "elsewhere-2.ipynb", folder / "01_demo.ipynb")


def _oversized(folder: Path, right: str) -> None:
    with open(folder / "01_demo.ipynb", "w") as file:
        file.truncate(21 * 2**20)


def _bomb(folder: Path, right: str) -> None:
    _zip("01_demo.zip", {"01_demo.ipynb": " " * (30 * 2**20)})(folder, right)


def _encrypted(folder: Path, right: str) -> None:
    _zip("01_demo.zip", {"01_demo.ipynb": None})(folder, right)
    data = bytearray((folder / "01_demo.zip").read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (folder / "01_demo.zip").write_bytes(data)


def _two(folder: Path, right: str) -> None:
    _file("01_demo (1).ipynb")(folder, right)
    _file("01_demo (2).ipynb", right.replace("Twice zero", "Two zeros").replace("twice zero", "2 * 0"))(folder, right)


def _the_same_twice(folder: Path, right: str) -> None:
    _file("01_demo (1).ipynb")(folder, right)
    _file("01_demo (2).ipynb")(folder, right)


def _needs_a_module(folder: Path, right: str) -> None:
    notebook = nbformat.reads(right, as_version=4)
    notebook.cells.insert(4, new_code_cell("import math, my_helpers as helpers"))
    _file("01_demo.ipynb", nbformat.writes(notebook))(folder, right)
    _file("my_helpers.py", "x = 1")(folder, right)


def _module_beside(folder: Path, right: str) -> None:
    _file("01_demo.ipynb")(folder, right)
    _file("torch.py", "raise SystemExit")(folder, right)


def _damaged_outputs(folder: Path, right: str) -> None:
    notebook = json.loads(right)
    notebook["nbformat_minor"] = 0
    for cell in notebook["cells"]:
        del cell["id"]
        cell["metadata"]["tags"] = cell["metadata"].get("tags", []) + [7]
        if cell["cell_type"] == "code":
            cell |= {"outputs": [{"output_type": "unheard of"}], "prompt_number": 3}
            del cell["execution_count"]
    _file("01_demo.ipynb", json.dumps(notebook))(folder, right)


def _scratch_beside(folder: Path, right: str) -> None:
    _file("01_demo.ipynb")(folder, right)
    _file("Untitled.ipynb", nbformat.writes(new_notebook(cells=[new_code_cell("1 + 1")])))(folder, right)


def _other_encoding(folder: Path, right: str) -> None:
    _file("01_demo.ipynb", right.encode("utf-8-sig"))(folder, right)


EMPTY = nbformat.writes(new_notebook(cells=[new_code_cell("1 + 1")]))

KINDS = [
    Kind("a_browsers_copy", _file("01_demo (1).ipynb"), "handed in as 01_demo (1).ipynb", RIGHT),
    Kind("colabs_copy", _file("Copy of 01_demo.ipynb"), "handed in as Copy of 01_demo.ipynb", RIGHT),
    Kind("upper_case", _file("01 DEMO/01 Demo.ipynb"), "handed in as 01 Demo.ipynb", RIGHT),
    Kind("any_name", _file("homework/final version.ipynb"), "handed in as final version.ipynb", RIGHT),
    Kind("another_ones_name", _file("02_next/02_next.ipynb"), "handed in as 02_next.ipynb", RIGHT),
    Kind("named_as_text", _file("01_demo.ipynb.txt"), "handed in as 01_demo.ipynb.txt", RIGHT),
    Kind("deep", _file("a/b/01_demo.ipynb"), GRADED, RIGHT),
    Kind("in_a_zip", _zip("01_demo.zip", {"a/01_demo.ipynb": None, "__MACOSX/._01_demo.ipynb": "x"}), GRADED, RIGHT),
    Kind("the_same_twice", _the_same_twice, "Graded is 01_demo (1).ipynb, not 01_demo (2).ipynb", RIGHT),
    Kind("scratch_beside", _scratch_beside, "Graded is 01_demo.ipynb, not Untitled.ipynb", RIGHT),
    Kind("module_beside", _module_beside, "only the notebook is graded: torch.py", RIGHT),
    Kind("damaged_outputs", _damaged_outputs, "Damaged metadata", RIGHT),
    Kind("other_encoding", _other_encoding, GRADED, RIGHT),
    Kind("not_json", _file("01_demo.ipynb", '{"cells": ['), "it is not JSON"),
    Kind("a_zip_renamed", _zip("01_demo.ipynb", {"x": "y"}), "it is a zip archive"),
    Kind("a_web_page", _file("01_demo.ipynb", "<!DOCTYPE html><html></html>"), "it is a web page (HTML)"),
    Kind("nested_json", _file("01_demo.ipynb", "[" * 100_000), "it is not JSON"),
    Kind("binary", _file("01_demo.ipynb", bytes(range(256))), "it is not JSON"),
    Kind("empty", _file("01_demo.ipynb", ""), "is empty (0 bytes)"),
    Kind("not_a_notebook", _file("01_demo.ipynb", '{"a": 1}'), "JSON of another kind"),
    Kind("no_cells", _json_of(cells=[]), "has no cells"),
    Kind("cells_without_text", _json_of(cells=[{"cell_type": "code", "source": 7}]), "its cell 1 holds no text"),
    Kind("too_many_cells", _json_of(cells=[{"cell_type": "code", "source": ""}] * 1001), "has 1001 cells"),
    Kind("format_3", _json_of(nbformat=3), "notebook format 3; format 4 is needed"),
    Kind("format_5", _json_of(nbformat=5), "notebook format 5; format 4 is needed"),
    Kind("another_notebook", _file("01_demo.ipynb", EMPTY), "holds no cell of 01_demo"),
    Kind("two_versions", _two, "2 different notebooks for 01_demo were handed in"),
    Kind("symbolic_link", _symbolic_link, "is a link to another file"),
    Kind("linked_folder", _linked_folder, "is a link to another file"),
    Kind("hard_link", _hard_link, "is a hard link to a file elsewhere"),
    Kind("oversized", _oversized, "has 21 MB; at most 20 MB are allowed"),
    Kind("no_notebook", _file("01_demo.pdf", "%PDF"), "no notebook among the files handed in (01_demo.pdf)"),
    Kind("needs_a_module", _needs_a_module, "imports my_helpers.py"),
    Kind("corrupt_zip", _file("01_demo.zip", b"PK\x03\x04 and no more"), "cannot be unpacked (it is damaged"),
    Kind("zip_leads_out", _zip("01_demo.zip", {"../../01_demo.ipynb": None}), "a path that leads out of it"),
    Kind("zip_in_zip", _zip("01_demo.zip", {"inner.zip": "PK"}), "is a zip in a zip"),
    Kind("zip_bomb", _bomb, "it has 30 MB; at most 20 MB are allowed"),
    Kind("encrypted_zip", _encrypted, "is encrypted"),
    Kind("unheard_of", _file("thesis.ipynb", '{"cells": ['), "it is not JSON"),
]
