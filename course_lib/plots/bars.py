"""One-shot prefill against the same prefill in chunks, as bars in measured time."""

from collections.abc import Sequence

from matplotlib.patches import Rectangle

from course_lib.plots.lanes import label_of
from course_lib.plots.picture import Picture
from course_lib.plots.style import BLUE, SMALLEST_TEXT, count, drawing_style, fit_labels, new_figure, number
from course_lib.validate import checked_list, checked_numbers


def chunk_bars(
    standard: Sequence[float],
    chunked: Sequence[float],
    *,
    unit: str = "ms",
    names: tuple[str, str] = ("standard", "chunked"),
    title: str = "The same prompt, in one iteration and in several",
) -> Picture:
    """Draws the durations of two prefills of one prompt, each iteration a bar, laid end to end.

    `standard` and `chunked`: durations of the iterations, in `unit`; for one-shot prefill that is one number.
    ValueError for an empty list or a duration that is not positive.
    """
    if len(checked_list("names", names, str, "texts")) != 2 or names[0] == names[1]:
        raise ValueError(f"names must be two texts that differ, got {names!r}")
    series = {names[0]: checked_numbers("standard", standard, positive=True),
              names[1]: checked_numbers("chunked", chunked, positive=True)}
    with drawing_style():
        figure = new_figure(2.9, title)
        axes = figure.subplots()
        labels = []
        for row, durations in enumerate(series.values()):
            left = 0.0
            for j, width in enumerate(durations, start=1):
                line = 1.2 if len(durations) <= 40 else 0.3
                bar = Rectangle((left, row - 0.36), width, 0.72, facecolor=BLUE, edgecolor="white", linewidth=line)
                axes.add_patch(bar)
                label = label_of("P", 1, None if len(durations) == 1 else j)
                for text, y in ((label, row - 0.14), (number(width), row + 0.16)):
                    drawn = axes.text(left + width / 2, y, text, ha="center", va="center", color="white", clip_on=True)
                    labels.append((drawn, bar))
                left += width
            axes.text(left, row, f"  {number(left)} {unit}", ha="left", va="center", fontweight="bold")
        axes.set_yticks(range(len(series)), list(series))
        axes.set_ylim(len(series) - 0.45, -0.55)
        axes.set_xlim(0, 1.02 * max(sum(durations) for durations in series.values()))
        axes.set_xlabel(f"time ({unit})")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        fit_labels(figure, labels, sizes=(SMALLEST_TEXT, 12, 14))
    rows = tuple(
        (name, str(len(durations)), number(max(durations)), number(sum(durations)))
        for name, durations in series.items()
    )
    summary = "; ".join(
        f"{name}: {count(len(durations), 'iteration')}, the longest {number(max(durations))} {unit}, "
        f"together {number(sum(durations))} {unit}"
        for name, durations in series.items()
    )
    header = ("prefill", "iterations", f"longest iteration ({unit})", f"sum ({unit})")
    return Picture(figure, title, summary + ".", header, rows)
