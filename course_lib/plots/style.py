"""Colours, sizes and small helpers that all pictures share."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

# Okabe and Ito's palette: eight colours that stay apart under the common colour vision deficiencies.
BLACK, ORANGE, SKY_BLUE, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
OKABE_ITO = (BLACK, ORANGE, SKY_BLUE, GREEN, YELLOW, BLUE, VERMILION, PURPLE)
LINE_COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK)  # yellow lines vanish on white
LINE_STYLES = ("-", "--", "-.", ":")

WIDTH = 6.6  # inches; with 12 pt text still legible when a phone shows the picture 390 pixels wide
SMALLEST_TEXT = 10  # points; a label that fits at no larger size is left out, the table has it
DPI = 150
GRID_GREY, WAIT_GREY, TEXT_GREY = "#D9D9D9", "#8C8C8C", "#404040"

_RC = {
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "hatch.linewidth": 0.9,
}


def drawing_style() -> AbstractContextManager[None]:
    """Our settings while drawing; the caller's own rcParams (a dark style, say) come back afterwards."""
    return matplotlib.style.context(["default", _RC])


def new_figure(height: float, title: str) -> Figure:
    """A white figure of the common width, `height` in inches; call it inside `drawing_style()`."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def curve_look(order: int) -> tuple[str, str]:
    """Colour and line style of the curve with this number; both change, so that either alone tells curves apart."""
    return LINE_COLORS[order % len(LINE_COLORS)], LINE_STYLES[order % len(LINE_STYLES)]


def number_axis(axes: Axes, label: str, log: bool) -> None:
    """An x axis with plain numbers on its ticks, from 0 or logarithmic, and a light grid."""
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel(label)
    axes.grid(color=GRID_GREY, linewidth=0.8)
    axes.set_axisbelow(True)


def fit_labels(
    figure: Figure, labels: Sequence[tuple[Text, Artist]], sizes: Sequence[float] = (SMALLEST_TEXT, 11, 13, 16)
) -> None:
    """Removes the labels larger than their boxes at the smallest size; the rest get the largest at which all fit.

    `sizes`: points, smallest first.
    """

    def fits(text: Text, box: Artist) -> bool:
        extent, room = text.get_window_extent(), boxes[box]
        return extent.width <= room.width - 6 and extent.height <= room.height

    figure.draw_without_rendering()  # only now do the boxes have a place on the canvas
    boxes = {box: box.get_window_extent() for _, box in labels}
    for text, box in labels:
        text.set_fontsize(sizes[0])
        if not fits(text, box):
            text.remove()
    kept = [(text, box) for text, box in labels if text.figure is not None]
    for smaller, size in zip(sizes, sizes[1:], strict=False):
        for text, _ in kept:
            text.set_fontsize(size)
        if not all(fits(text, box) for text, box in kept):
            for text, _ in kept:
                text.set_fontsize(smaller)
            return


def round_step(at_least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, … that is no smaller than `at_least`."""
    step = 1
    while step < at_least:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return step


def number(value: float) -> str:
    """Three significant digits, never an exponent: 0.123, 12.3, 1,234."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"
    return text.rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best: 1.5 s, 12.3 ms, 0 s."""
    if seconds == 0:
        return "0 s"
    return f"{number(seconds)} s" if abs(seconds) >= 1 else f"{number(1000 * seconds)} ms"


def count(amount: int, noun: str) -> str:
    """1 iteration, 2 iterations."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def ranges(numbers: Iterable[int], most: int = 6) -> str:
    """Whole numbers as ranges: 0-3, 5; after `most` of them an ellipsis."""
    spans: list[list[int]] = []
    for value in sorted(set(numbers)):
        if spans and value == spans[-1][1] + 1:
            spans[-1][1] = value
        else:
            spans.append([value, value])
    texts = [str(first) if first == last else f"{first}–{last}" for first, last in spans[:most]]
    return ", ".join(texts + ["…"] * (len(spans) > most))
