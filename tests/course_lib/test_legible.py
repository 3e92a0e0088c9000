"""All pictures: text large enough, inside the figure, apart from other text, in contrast, and never colour alone."""

import itertools
import math
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from course_lib import plots
from course_lib.plots import grid, style, timelines
from course_lib.trace import Iteration, RequestInfo, Trace, Work
from tests.course_lib.test_dashboard import CHOSEN, ROWS, SLOS, TODAY
from tests.course_lib.test_plots import CHUNKED, PREEMPTED, STANDARD, all_pictures

TEXT, GRAPHIC = 4.5, 3.0  # WCAG 2.1: contrast of text, and of what one needs to see to understand a graphic


def many_steps() -> Trace:
    """Six requests of a chunk and thirty decode steps each, most boxes too narrow for a label."""
    requests = tuple(RequestInfo(str(order), 0.0, 8, 31) for order in range(6))
    batches = [[Work(request.request_id, 0, 8, True) for request in requests]]
    batches += [[Work(request.request_id, 8 + step, 1, True) for request in requests] for step in range(30)]
    seconds = itertools.accumulate((0.09 if index == 0 else 0.004 for index in range(len(batches))), initial=0.0)
    return Trace(requests, tuple(Iteration(index, start, start + (0.09 if index == 0 else 0.004), 0.0, tuple(batch))
                                 for (index, batch), start in zip(enumerate(batches), seconds, strict=False)))


PICTURES = {
    **{f"{order} {picture.title}": picture for order, picture in enumerate(all_pictures())},
    "idle": plots.timeline({"a": STANDARD, "b": CHUNKED}, x="ms", idle_times={"a": {"chat": 0.25}, "b": {"chat": 0.0}}),
    "many steps": plots.timeline({"one": many_steps(), "two": many_steps(), "three": many_steps()}, x="ms"),
    "long grid": plots.cache_grid([[position // 32 for position in range(128)]] * 4),
    "many chunks": plots.chunk_bars([800.0], [4.0 + index for index in range(32)]),
    "dashboard": plots.decision_dashboard(ROWS, SLOS, chosen=CHOSEN, today=TODAY),
}


def visible_texts(picture: plots.Picture) -> Iterator[tuple[Text, Bbox]]:
    """Each text that is seen, and its place on the canvas."""
    picture.figure.draw_without_rendering()
    unseen = set()
    for axes in picture.figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    unseen |= {tick.label1, tick.label2}
    for text in picture.figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in unseen:
            yield text, text.get_window_extent()


def contrast(one: object, other: object) -> float:
    """WCAG 2.1's ratio of two colours, 1 to 21."""
    def luminance(color: object) -> float:
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.fixture(params=PICTURES)
def picture(request: pytest.FixtureRequest) -> plots.Picture:
    return PICTURES[request.param]


def test_no_text_is_smaller_than_the_smallest(picture: plots.Picture) -> None:
    small = {text.get_text(): text.get_fontsize() for text, _ in visible_texts(picture)
             if text.get_fontsize() < style.SMALLEST_TEXT}
    assert not small


def test_every_text_is_inside_the_figure(picture: plots.Picture) -> None:
    width, height = picture.figure.get_size_inches() * picture.figure.dpi
    outside = [text.get_text() for text, box in visible_texts(picture)
               if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1]
    assert not outside


def test_no_two_texts_overlap(picture: plots.Picture) -> None:
    found = [(text.get_text(), box) for text, box in visible_texts(picture)]
    clashes = [(one, other) for (one, first), (other, second) in itertools.combinations(found, 2)
               if (both := Bbox.intersection(first, second)) is not None and min(both.width, both.height) > 1.5]
    assert not clashes


def test_the_legend_covers_no_axes(picture: plots.Picture) -> None:
    picture.figure.draw_without_rendering()
    for legend in picture.figure.legends:
        for axes in picture.figure.axes:
            assert not legend.get_window_extent().overlaps(axes.get_window_extent())
    assert not [axes for axes in picture.figure.axes if axes.get_legend()]


def test_every_axis_says_what_it_counts(picture: plots.Picture) -> None:
    picture.figure.draw_without_rendering()
    for axes in picture.figure.axes:
        assert axes.get_xlabel() or not axes.get_subplotspec().is_last_row()
        words = [label.get_text().strip("%") for label in axes.get_yticklabels() if label.get_text()]
        counts = words and all(word.replace(".", "").isdigit() for word in words)  # else the ticks are names
        assert axes.get_ylabel() or not counts or not axes.get_subplotspec().is_first_col()


def test_labels_stand_out_from_their_boxes() -> None:
    for kind, color in timelines.TEXT_COLORS.items():
        assert contrast(color, timelines.STYLES[kind]["facecolor"]) >= TEXT, kind
    for fill, color in grid.FILLS:
        assert contrast(color, fill) >= TEXT, fill
    assert contrast(style.TEXT_GREY, "white") >= TEXT and contrast("white", style.BLUE) >= TEXT


def test_lines_and_waits_stand_out_from_white() -> None:
    assert contrast(style.WAIT_GREY, "white") >= GRAPHIC
    for color in (style.BLUE, style.VERMILION, style.GREEN):  # the first three curves of a picture
        assert contrast(color, "white") >= GRAPHIC, color


def test_pairs_of_colour_and_line_style_differ_in_both() -> None:
    for one, other in itertools.combinations([style.curve_look(order) for order in range(4)], 2):
        assert one[0] != other[0] and one[1] != other[1]
    looks = [style.curve_look(order) for order in range(math.lcm(4, 7))]
    assert len(set(looks)) == len(looks)


def test_kinds_of_boxes_differ_without_their_colours() -> None:
    picture = plots.timeline({"one": STANDARD, "two": PREEMPTED})
    looks = {}
    for axes in picture.figure.axes:
        for shape in axes.findobj(Rectangle):
            if shape.get_gid():
                looks.setdefault(shape.get_gid(), set()).add((shape.get_hatch(), round(shape.get_height(), 3)))
    assert set(looks) == set(timelines.STYLES)
    assert all(len(look) == 1 for look in looks.values())
    assert len(set.union(*looks.values())) == len(looks), looks


def test_colours_of_neighbouring_boxes_differ_in_lightness_too() -> None:
    assert contrast(timelines.STYLES["chunk"]["facecolor"], timelines.STYLES["decode"]["facecolor"]) > 2
    fills = [fill for fill, _ in grid.FILLS]
    assert min(contrast(one, other) for one, other in itertools.pairwise([*fills, fills[0]])) > 1.2


def test_trade_off_with_crowded_points_keeps_its_labels_apart() -> None:
    crowd = [(32, 20, 0.02), (64, 60, 0.08), (128, 95, 0.8), (256, 96, 0.84), (512, 97, 0.88)]
    rows = [SimpleNamespace(budget=budget, throughput=rate, p99_tbt=tbt) for budget, rate, tbt in crowd]
    test_no_two_texts_overlap(plots.trade_off(rows, slo=0.21, chosen=256))
