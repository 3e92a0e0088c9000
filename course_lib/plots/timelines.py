"""The timeline: one row a sequence, one box a piece of work, hatched where a generating sequence waits."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text

from course_lib.plots import lanes
from course_lib.plots.picture import Picture
from course_lib.plots.style import (
    BLUE,
    GRID_GREY,
    ORANGE,
    SKY_BLUE,
    TEXT_GREY,
    WAIT_GREY,
    count,
    drawing_style,
    duration,
    fit_labels,
    new_figure,
    ranges,
    round_step,
)
from course_lib.trace import Iteration, Trace
from course_lib.validate import check_int, check_mapping, check_type

STYLES = {
    "chunk": {"facecolor": BLUE, "edgecolor": "white"},
    "decode": {"facecolor": ORANGE, "edgecolor": "white"},
    "recompute": {"facecolor": BLUE, "edgecolor": SKY_BLUE, "hatch": "xxx"},
    "wait": {"facecolor": "white", "edgecolor": WAIT_GREY, "hatch": "////"},
}
# Chunks are taller than decode steps: where boxes are too narrow for labels, colour is not the only difference.
HEIGHTS = {"chunk": 0.76, "recompute": 0.76, "decode": 0.56, "wait": 0.56}
TEXT_COLORS = {"chunk": "white", "decode": "black", "recompute": "white", "wait": TEXT_GREY}
LEGEND = {
    "chunk": "prefill chunk",
    "decode": "decode step",
    "recompute": "prefill again, after preemption",
    "wait": "waits for its next token",
}
FEW_ITERATIONS = 40  # with more, thinner lines
MOST_BORDERS = 120  # with more, no lines: they would only grey the picture
LABEL_SHARE = 0.02  # no label fits into a box narrower than this share of the x axis


@dataclass(frozen=True)
class _Panel:
    name: str
    trace: Trace
    boxes: list[lanes.Box]
    waits: list[lanes.Wait]
    idle: Mapping[str, float]


def timeline(
    traces: Trace | Mapping[str, Trace],
    *,
    x: Literal["iterations", "ms", "s"] = "iterations",
    names: Mapping[str, str] | None = None,
    numbers: Mapping[str, int] | None = None,
    first_decode: Mapping[str, int] | None = None,
    idle_times: Mapping[str, float] | Mapping[str, Mapping[str, float]] | None = None,
    prologue: int = 0,
    title: str = "What runs when",
) -> Picture:
    """Draws one trace, or several by name, one above the other on the same x axis.

    `x`: "iterations" draws all iterations equally wide; "ms" or "s" as long as they took, since the first one started.
    `names`: request id to row label, else "sequence i". `numbers`: request id to the i of P_ij and D_ij, else the order
    in `trace.requests`. `first_decode`: request id to the j of its first decode step in the trace, else 1.
    `idle_times`: request id to decoder idle time in seconds, written at the row's end; with several traces, trace name
    to such a mapping. Nothing here computes it. `prologue`: how many first iterations to leave out; the rest is
    numbered from 0. ValueError for an empty trace, an unknown `x` or an unknown request id.
    """
    check_type("traces", traces, (Trace, Mapping), "a Trace, or a dict from a name to each Trace")
    several = not isinstance(traces, Trace)
    by_name = dict(traces) if several else {"": traces}
    idle_by_name = (idle_times or {}) if several else {"": idle_times or {}}
    _check(by_name, x, idle_by_name, prologue)
    by_name = {name: _without(trace, prologue) for name, trace in by_name.items()}
    ids = list(dict.fromkeys(request.request_id for trace in by_name.values() for request in trace.requests))
    for option, given, kind in (("names", names, str), ("numbers", numbers, int), ("first_decode", first_decode, int)):
        _check_ids(option, given or {}, ids, kind)
    numbers = {request_id: order for order, request_id in enumerate(ids, start=1)} | dict(numbers or {})
    names = {request_id: f"sequence {numbers[request_id]}" for request_id in ids} | dict(names or {})
    panels = [
        _Panel(
            name, trace, lanes.boxes(trace, numbers, first_decode or {}), lanes.waits(trace), idle_by_name.get(name, {})
        )
        for name, trace in by_name.items()
    ]

    num_rows = [len(panel.trace.requests) for panel in panels]
    row_height = 0.52 if sum(num_rows) <= 12 else 0.34
    with drawing_style():
        figure = new_figure(1.3 + row_height * sum(num_rows) + 0.42 * len(panels), title)
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=num_rows)[:, 0]
        _set_x_axis(grid[-1], panels, x)
        labels = []
        for axes, panel in zip(grid, panels, strict=True):
            axes.set_title(panel.name)
            _label_rows(axes, panel, names)
            labels += _draw(axes, panel, x)
        shown = {box.kind for panel in panels for box in panel.boxes} | {"wait" for panel in panels if panel.waits}
        handles = [Patch(label=label, **STYLES[kind]) for kind, label in LEGEND.items() if kind in shown]
        figure.legend(handles=handles, loc="outside lower center", ncols=2 if "recompute" in shown else len(handles))
        fit_labels(figure, labels)
        for text, shape in labels:
            if shape.get_gid() == "wait":  # small, so that the hatch stays in sight
                text.set_fontsize(min(11, text.get_fontsize()))
    counted = ("prefill chunks (in iteration)", "decode steps (in iteration)", "waits (in iteration)")
    header = ("schedule",) * several + ("sequence", *counted)
    rows = [((panel.name,) * several + row) for panel in panels for row in _rows(panel, names, idle_times is not None)]
    summary = " ".join(_sentence(panel, x) for panel in panels)
    return Picture(figure, title, summary, header + ("idle",) * (idle_times is not None), tuple(rows))


def _without(trace: Trace, prologue: int) -> Trace:
    if prologue == 0:
        return trace
    shown = enumerate(trace.iterations[prologue:])
    return replace(trace, iterations=tuple(iteration._replace(index=index) for index, iteration in shown))


def _check(
    by_name: Mapping[str, Trace], x: str, idle_by_name: Mapping[str, Mapping[str, float]], prologue: int
) -> None:
    if x not in ("iterations", "ms", "s"):
        raise ValueError(f'x must be "iterations", "ms" or "s", got {x!r}')
    if not by_name:
        raise ValueError("traces is empty; pass a Trace, or a mapping from a name to each Trace")
    for name, trace in by_name.items():
        check_type(f"traces[{name!r}]", trace, Trace, "a Trace")
        if not trace.iterations or not trace.requests:
            which = f"the trace {name!r}" if name else "the trace"
            raise ValueError(f"{which} has no iterations or no requests; pass what a finished run(...) returned")
    fewest = min(len(trace.iterations) for trace in by_name.values())
    check_int("prologue", prologue, 0, fewest - 1, hint="so that iterations are left to draw")
    for name, idle in idle_by_name.items():
        if name not in by_name:
            raise ValueError(f"idle_times names the trace {name!r}, the traces are {list(by_name)}; use one of those")
        _check_ids("idle_times", idle, [request.request_id for request in by_name[name].requests], float)


def _check_ids(option: str, given: Mapping[str, object], ids: list[str], kind: type) -> None:
    check_mapping(option, given, kind)
    for request_id in given:
        if request_id not in ids:
            raise ValueError(f"{option} names the request {request_id!r}, but the requests are {ids}; use one of those")


def _span(trace: Trace, first: Iteration, last: Iteration, x: str) -> tuple[float, float]:
    """Left end and width on the x axis of the iterations from `first` to `last`."""
    if x == "iterations":
        return first.index, last.index + 1 - first.index
    scale = {"ms": 1000, "s": 1}[x]
    return scale * (first.start - trace.iterations[0].start), scale * (last.end - first.start)


def _set_x_axis(axes: Axes, panels: list[_Panel], x: str) -> None:
    spans = [_span(panel.trace, step, step, x) for panel in panels for step in panel.trace.iterations]
    left, right = min(start for start, _ in spans), max(start + width for start, width in spans)
    axes.set_xlim(left, right)
    if x != "iterations":
        return axes.set_xlabel(f"time ({x})")
    axes.set_xlabel("iteration")
    shown = range(int(left), int(right), round_step((right - left) / 12))
    axes.set_xticks([index + 0.5 for index in shown], [str(index) for index in shown])
    for each in axes.figure.axes:
        each.tick_params(axis="x", length=0)


def _label_rows(axes: Axes, panel: _Panel, names: Mapping[str, str]) -> None:
    requests = panel.trace.requests
    axes.set_ylim(len(requests) - 0.5, -0.5)
    axes.set_yticks(range(len(requests)), [names[request.request_id] for request in requests])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for row, request in enumerate(requests):
        if request.request_id in panel.idle:
            text = f"idle {duration(panel.idle[request.request_id])}"
            axes.text(1.015, row, text, transform=axes.get_yaxis_transform(), va="center_baseline", fontsize=11)


def _draw(axes: Axes, panel: _Panel, x: str) -> list[tuple[Text, Artist]]:
    """Adds boxes, waits and iteration borders; returns the labels with the boxes they must fit into."""
    iterations = panel.trace.iterations
    line = 1.2 if len(iterations) <= FEW_ITERATIONS else 0.3 if len(iterations) <= MOST_BORDERS else 0
    if line:
        spans = [_span(panel.trace, iteration, iteration, x) for iteration in iterations]
        for border in sorted({left for left, _ in spans} | {left + width for left, width in spans}):
            axes.axvline(border, color=GRID_GREY, linewidth=0.2 + line / 2, zorder=0)
    shapes = [(box.request_id, box.position, box.position, box.label, box.kind) for box in panel.boxes]
    shapes += [(wait.request_id, wait.first, wait.last, "waits", "wait") for wait in panel.waits]
    row = {request.request_id: order for order, request in enumerate(panel.trace.requests)}
    left_limit, right_limit = axes.get_xlim()
    labels = []
    for request_id, first, last, label, kind in shapes:
        left, width = _span(panel.trace, iterations[first], iterations[last], x)
        bottom, height = row[request_id] - HEIGHTS[kind] / 2, HEIGHTS[kind]
        # The gid lets tests, and readers of a saved SVG, find a box again.
        shape = Rectangle((left, bottom), width, height, linewidth=line, gid=kind, **STYLES[kind])
        shape.set_in_layout(False)  # inside the axes anyway; asking hundreds of boxes for their size takes seconds
        axes.add_artist(shape)
        if width < LABEL_SHARE * (right_limit - left_limit):
            continue
        text = axes.text(left + width / 2, row[request_id], label, ha="center", va="center_baseline", clip_on=True)
        text.set_in_layout(False)
        text.set_color(TEXT_COLORS[kind])
        if "hatch" in STYLES[kind]:  # keeps the hatch from running through the letters
            text.set_bbox({"facecolor": STYLES[kind]["facecolor"], "edgecolor": "none", "pad": 1.5})
        labels.append((text, shape))
    return labels


def _rows(panel: _Panel, names: Mapping[str, str], with_idle: bool) -> list[tuple[str, ...]]:
    def cell(positions: list[int]) -> str:
        indices = [panel.trace.iterations[position].index for position in positions]
        return f"{len(indices)} ({ranges(indices)})" if indices else "0"

    rows = []
    for request_id in (request.request_id for request in panel.trace.requests):
        mine = [box for box in panel.boxes if box.request_id == request_id]
        waits = [wait for wait in panel.waits if wait.request_id == request_id]
        row = (
            names[request_id],
            cell([box.position for box in mine if box.kind != "decode"]),
            cell([box.position for box in mine if box.kind == "decode"]),
            cell([position for wait in waits for position in wait.positions]) + lanes.in_a_row(waits),
        )
        idle = duration(panel.idle[request_id]) if request_id in panel.idle else ""
        rows.append(row + (idle,) * with_idle)
    return rows


def _sentence(panel: _Panel, x: str) -> str:
    iterations = panel.trace.iterations
    num_waited = len({position for wait in panel.waits for position in wait.positions})
    longest = max(iterations, key=lambda iteration: (iteration.end - iteration.start, iteration.num_tokens))
    extreme = f"the longest takes {duration(longest.end - longest.start)} ({count(longest.num_tokens, 'token')})"
    if x == "iterations":
        extreme = f"the largest computes {count(max(iteration.num_tokens for iteration in iterations), 'token')}"
    waits = f"a generating sequence waits in {num_waited or 'none'} of them{lanes.in_a_row(panel.waits)}"
    return f"{panel.name}: " * bool(panel.name) + f"{count(len(iterations), 'iteration')}; {waits}; {extreme}."
