"""What every plotting function returns: a figure that also says in words and in a table what it shows."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from course_lib.plots.style import DPI, drawing_style

MAX_OPEN_ROWS = 8  # a longer table is folded, so that the next cell stays in sight


@dataclass(frozen=True, repr=False, eq=False)
class Picture:
    """A figure, its summary in one or two sentences, and the same facts as a table of `header` and `rows`."""

    figure: Figure
    title: str
    summary: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def png(self) -> bytes:
        """The figure as PNG."""
        buffer = io.BytesIO()
        with drawing_style():
            self.figure.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()

    def save(self, path: str | Path) -> None:
        """Writes the figure; the suffix of `path` chooses the format (.png, .svg, .pdf)."""
        with drawing_style():
            self.figure.savefig(path, dpi=DPI)

    def __str__(self) -> str:
        """Title, summary and table as plain text."""
        table = [self.header, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(self.header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([self.title, self.summary, "", *lines])

    def __repr__(self) -> str:
        return f"<Picture {self.title!r}>"

    def _repr_html_(self) -> str:
        image = base64.b64encode(self.png()).decode("ascii")
        summary = html.escape(self.summary)
        return (
            '<figure style="margin:0.5em 0">'
            f'<img alt="{summary}" src="data:image/png;base64,{image}" width="{self.figure.get_figwidth() * 120:.0f}" '
            'style="max-width:100%;height:auto;background:#fff">'
            f"<figcaption>{summary}</figcaption></figure>{_html_table(self.header, self.rows)}"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": str(self)}


def _html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col" style="text-align:left">{html.escape(cell)}</th>' for cell in header)
    cells = ["".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row) for row in rows]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    table = f'<div style="overflow-x:auto">{table}</div>'  # on a phone the table scrolls, not the page
    if len(rows) > MAX_OPEN_ROWS:
        return f"<details><summary>The same as a table ({len(rows)} rows)</summary>{table}</details>"
    return table
