"""Which iteration wrote which part of the KV cache."""

from collections.abc import Sequence
from itertools import groupby
from types import NoneType

from matplotlib.patches import Rectangle

from course_lib.plots.picture import Picture
from course_lib.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILION,
    WAIT_GREY,
    YELLOW,
    count,
    drawing_style,
    fit_labels,
    new_figure,
    ranges,
    round_step,
)
from course_lib.validate import checked_list

# Neighbours in this order differ in lightness, too.
FILLS = ((BLUE, "white"), (ORANGE, "black"), (GREEN, "black"), (YELLOW, "black"))
FILLS += ((VERMILION, "black"), (SKY_BLUE, "black"), (PURPLE, "black"))
MAX_CELLS_NUMBERED = 24  # positions; in a longer cache each stretch of equal cells carries one number


def cache_grid(
    written_in: Sequence[Sequence[int | None]], *, title: str = "Which iteration wrote each cell of the KV cache"
) -> Picture:
    """Draws the cache as layers by positions, each cell coloured and numbered by the iteration that wrote it.

    `written_in[layer][position]` is that iteration's number, None where nothing was written (hatched); layer 0 is drawn
    at the bottom, since the computation climbs. ValueError for an empty grid or layers of different lengths.
    """
    layers = [checked_list(f"written_in[{index}]", layer, (int, NoneType), "ints and None")
              for index, layer in enumerate(checked_list("written_in", written_in, object, "lists, one a layer"))]
    lengths = {len(layer) for layer in layers}
    if not layers or lengths == {0} or len(lengths) > 1:
        raise ValueError(
            f"written_in must hold one list per layer, all equally long and not empty, got lengths "
            f"{[len(layer) for layer in layers]}; use written_in[layer][position]"
        )
    num_positions = lengths.pop()
    iterations = sorted({cell for layer in layers for cell in layer if cell is not None})
    fills = {iteration: FILLS[order % len(FILLS)] for order, iteration in enumerate(iterations)}
    with drawing_style():
        figure = new_figure(1.4 + 0.36 * len(layers), title)
        axes = figure.subplots()
        labels = []
        for layer, cells in enumerate(layers):
            for first, last, iteration in _stretches(cells):
                fill, text_color = fills.get(iteration, ("white", "black"))
                hatch = "////" if iteration is None else None
                edge = WAIT_GREY if iteration is None else "white"
                box = Rectangle((first, layer), last + 1 - first, 1, facecolor=fill, edgecolor=edge, hatch=hatch)
                axes.add_patch(box)
                if iteration is not None:
                    x, y = (first + last + 1) / 2, layer + 0.5
                    text = axes.text(x, y, str(iteration), color=text_color, ha="center", va="center_baseline")
                    labels.append((text, box))
        axes.set_xlim(0, num_positions)
        axes.set_ylim(0, len(layers))
        rows = range(len(layers))
        axes.set_yticks([layer + 0.5 for layer in rows], [f"layer {layer}" for layer in rows])
        shown = range(0, num_positions, round_step(num_positions / 16))
        axes.set_xticks([position + 0.5 for position in shown], [str(position) for position in shown])
        axes.set_xlabel("position in the sequence (number in a cell: iteration)")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        fit_labels(figure, labels)
    empty = sum(cell is None for layer in layers for cell in layer)
    summary = (
        f"{count(num_positions, 'position')} in {count(len(layers), 'layer')}, written by "
        f"{count(len(iterations), 'iteration')}; {count(empty, 'cell')} not written."
    )
    return Picture(figure, title, summary, ("iteration", "positions", "layers"), _table(layers))


def _stretches(cells: list[int | None]) -> list[tuple[int, int, int | None]]:
    """(first, last, iteration): single cells, or in a long cache neighbours that one iteration wrote."""
    if len(cells) <= MAX_CELLS_NUMBERED:
        return [(position, position, iteration) for position, iteration in enumerate(cells)]
    groups = [list(group) for _, group in groupby(enumerate(cells), key=lambda item: item[1])]
    return [(group[0][0], group[-1][0], group[0][1]) for group in groups]


def _table(layers: list[list[int | None]]) -> tuple[tuple[str, str, str], ...]:
    """One row for each iteration and set of positions, with the layers in which it wrote just those."""
    written: dict[tuple[int | None, tuple[int, ...]], list[int]] = {}
    for layer, cells in enumerate(layers):
        for iteration in set(cells):
            positions = tuple(position for position, cell in enumerate(cells) if cell == iteration)
            written.setdefault((iteration, positions), []).append(layer)
    by_iteration = sorted(written.items(), key=lambda item: (item[0][0] is None, item[0][0] or 0, item[1]))
    return tuple(
        ("not written" if iteration is None else str(iteration), ranges(positions), ranges(in_layers))
        for (iteration, positions), in_layers in by_iteration
    )
