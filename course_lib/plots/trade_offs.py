"""Throughput against latency, one point a token budget."""

from collections.abc import Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from course_lib.plots.picture import Picture
from course_lib.plots.style import BLACK, BLUE, ORANGE, VERMILION, count, drawing_style, new_figure, number, number_axis
from course_lib.validate import check_number, checked_rows

SIDES = (  # offset in points and alignment of a point's label
    (0, 11, "center", "bottom"),
    (-9, 6, "right", "bottom"),
    (9, -6, "left", "top"),
    (0, -11, "center", "top"),
    (12, 0, "left", "center"),
    (-12, 0, "right", "center"),
    (14, 14, "left", "bottom"),
)


class SweepRow(Protocol):
    """One measured token budget: `throughput` in output tokens per second, `p99_tbt` in seconds."""

    budget: int
    throughput: float
    p99_tbt: float


def trade_off(
    rows: Sequence[SweepRow],
    *,
    slo: float | None = None,
    chosen: int | None = None,
    log_x: bool = True,
    title: str = "Throughput against latency",
) -> Picture:
    """Draws throughput over P99 TBT, one point a token budget, joined in order of the budget.

    `slo`: the longest P99 TBT allowed, in seconds. `chosen`: the budget to mark. ValueError for no rows, a
    `chosen` that is not a row's budget, or a P99 TBT of 0 with `log_x`.
    """
    ordered = sorted(checked_rows("rows", rows, ("budget", "throughput", "p99_tbt")), key=lambda row: row.budget)
    if slo is not None:
        check_number("slo", slo, positive=True, hint="it counts in seconds")
    if chosen is not None and chosen not in [row.budget for row in ordered]:
        raise ValueError(f"chosen is {chosen}, but the budgets are {[row.budget for row in ordered]}; use one of those")
    if log_x and min(row.p99_tbt for row in ordered) <= 0:
        raise ValueError("a p99_tbt of 0 s or less has no place on a log axis; use log_x=False")
    with drawing_style():
        figure = new_figure(4.2, title)
        axes = figure.subplots()
        x, y = [1000 * row.p99_tbt for row in ordered], [row.throughput for row in ordered]
        axes.plot(x, y, "-o", color=BLUE, lw=2, markersize=7, label="one token budget each")
        number_axis(axes, "P99 time between tokens (ms)", log_x)
        axes.set_ylabel("output tokens per second")
        axes.margins(0.12)
        if slo is not None:
            axes.axvline(1000 * slo, color=VERMILION, linestyle="--", lw=2, label=f"SLO {number(1000 * slo)} ms")
        if chosen is not None:
            at = [row.budget for row in ordered].index(chosen)
            style = {"markersize": 20, "color": ORANGE, "markeredgecolor": BLACK, "zorder": 3}
            axes.plot(x[at], y[at], "*", linestyle="none", label=f"chosen: {chosen}", **style)
        figure.legend(loc="outside lower center", ncols=3)
        _label_points(figure, axes, list(zip(x, y, strict=True)), [str(row.budget) for row in ordered])
    table = tuple(
        (str(row.budget), number(row.throughput), number(1000 * row.p99_tbt))
        + (() if slo is None else ("yes" if row.p99_tbt <= slo else "no",))
        for row in ordered
    )
    parts = [f"{count(len(ordered), 'token budget')} from {ordered[0].budget} to {ordered[-1].budget}"]
    if slo is not None:
        parts.append(f"{sum(row.p99_tbt <= slo for row in ordered)} of them meet the SLO of {number(1000 * slo)} ms")
    if chosen is not None:
        parts.append(f"chosen: {chosen}, with {number(y[at])} tokens/s and a P99 TBT of {number(x[at])} ms")
    header = ("token budget", "tokens/s", "P99 TBT (ms)") + (() if slo is None else ("meets the SLO",))
    return Picture(figure, title, "; ".join(parts) + ".", header, table)


def _label_points(figure: Figure, axes: Axes, points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
    """Writes each label beside its point, on the side where it covers least."""
    figure.draw_without_rendering()  # only now do the points have a place on the canvas
    lines = [line.get_transform().transform_path(line.get_path()) for line in axes.get_lines()]
    inside = axes.get_window_extent()
    taken = [Bbox.from_bounds(x - 14, y - 14, 28, 28) for x, y in axes.transData.transform(points)]
    for order, (point, label) in enumerate(zip(points, labels, strict=True)):
        others = taken[:order] + taken[order + 1 :]
        texts = [
            axes.annotate(label, point, (dx, dy), textcoords="offset points", ha=ha, va=va, fontsize=11)
            for dx, dy, ha, va in SIDES
        ]
        extents = [text.get_window_extent().padded(2) for text in texts]
        clashes = [
            (extent.x0 < inside.x0)
            + (extent.y1 > inside.y1)
            + sum(extent.overlaps(other) for other in others)
            + sum(line.intersects_bbox(extent, filled=False) for line in lines)
            for extent in extents
        ]
        chosen = clashes.index(min(clashes))
        for side, text in enumerate(texts):
            if side != chosen:
                text.remove()
        taken.append(extents[chosen])
