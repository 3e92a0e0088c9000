"""The outputs of a cell, from the messages of an untrusted kernel."""

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output

SHOWN_TYPES = {"text/plain", "image/png", "image/jpeg"}  # HTML may hold scripts, which the instructor's browser runs
# The course's pictures come as HTML; of it, the image and its text are kept.
PICTURE = re.compile(r'<img alt="([^"]{0,5000})" src="data:image/png;base64,([A-Za-z0-9+/=]+)"')


class Outputs:
    """Collects a cell's outputs, up to a number of characters."""

    def __init__(self, room: int) -> None:
        self.cells: list[NotebookNode] = []
        self._room = room
        self._clear = False

    def add(self, message: dict) -> None:
        """Takes one message of the iopub channel; kinds that a page cannot show are passed over."""
        kind = message["msg_type"]
        if kind == "clear_output":
            self._clear = True
        elif kind == "stream":
            self._append("stream", name="stderr" if content_of(message, "name", str, "") == "stderr" else "stdout",
                         text=content_of(message, "text", str, ""))
        elif kind in ("display_data", "execute_result"):
            data = content_of(message, "data", dict, {})
            shown = {name: data[name] for name in SHOWN_TYPES & data.keys() if type(data[name]) is str}
            found = picture(data)
            if found and "image/png" not in shown:
                shown["image/png"], alt = found
                self._append(kind, data=shown, metadata={"image/png": {"alt": alt}})
            elif shown:
                self._append(kind, data=shown)
        elif kind == "error":
            lines = [line for line in content_of(message, "traceback", list, []) if type(line) is str]
            self._append("error", ename=content_of(message, "ename", str, "")[:200],
                         evalue=content_of(message, "evalue", str, "")[:2000], traceback=lines[:100])

    def _append(self, kind: str, **fields: Any) -> None:
        if self._clear:
            self.cells.clear()
            self._clear = False
        fields = json.loads(storable(json.dumps(fields, ensure_ascii=False)))
        size = len(json.dumps(fields))
        if size > self._room:
            if kind != "stream" or self._room <= 0:
                return
            fields["text"] = fields["text"][: self._room] + "\n[the rest of the output is not shown]\n"
        self._room -= size
        last = self.cells[-1] if self.cells else {}
        if kind == "stream" and last.get("name") == fields["name"]:
            last["text"] += fields["text"]
        else:
            self.cells.append(new_output(kind, **fields))


def storable(text: str) -> str:
    """The text with a question mark for what no file can hold: halves of characters, as in "\\ud800"."""
    return text.encode("utf-8", "replace").decode()


def picture(data: Mapping[str, Any]) -> tuple[str, str] | None:
    """The PNG in base64 and the alternative text of a picture that `course_lib.plots` made, if `data` is one."""
    text = data.get("text/html")
    found = PICTURE.search(text) if type(text) is str else None
    return (found[2], html.unescape(found[1])) if found else None


def content_of(message: dict, key: str, kind: type, default: Any) -> Any:
    """A field of the message's content if it is of this type, else `default`."""
    content = message.get("content")
    value = content.get(key) if isinstance(content, dict) else None
    return value if type(value) is kind else default


def is_idle(message: dict) -> bool:
    """Whether the kernel says that it has done all that the message's request asked for."""
    return message["msg_type"] == "status" and content_of(message, "execution_state", str, "") == "idle"
