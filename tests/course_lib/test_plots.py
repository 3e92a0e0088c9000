"""The pictures show what the trace says, in the figure, in words and in the table."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from course_lib import plots
from course_lib.plots import lanes
from course_lib.plots.style import OKABE_ITO, duration, number, ranges, round_step
from course_lib.trace import Iteration, RequestInfo, Trace, Work

WHITE, WAIT_EDGE = "#ffffff", "#8c8c8c"
REQUESTS = (RequestInfo("long", 0.0, 9, 1), RequestInfo("chat", 0.0, 3, 4))


def trace_of(*batches: list[tuple], requests: tuple[RequestInfo, ...] = REQUESTS, seconds: float = 1.0) -> Trace:
    """One iteration of `seconds` for each batch of (request_id, start_pos, num_tokens, samples_token)."""
    iterations = (
        Iteration(index, index * seconds, (index + 1) * seconds, 0.0, tuple(Work(*work) for work in batch))
        for index, batch in enumerate(batches)
    )
    return Trace(requests, tuple(iterations))


STANDARD = trace_of(
    [("chat", 3, 1, True)], [("long", 0, 9, True)], [("chat", 4, 1, True)], [("chat", 5, 1, True)], seconds=0.25
)
CHUNKED = trace_of(
    [("long", 0, 3, False), ("chat", 3, 1, True)],
    [("long", 3, 3, False), ("chat", 4, 1, True)],
    [("long", 6, 3, True), ("chat", 5, 1, True)],
)
# "b" loses its cache in iteration 2 and gets it back in two chunks.
PREEMPTED = trace_of(
    [("a", 0, 4, True), ("b", 0, 4, True)],
    [("a", 4, 1, True), ("b", 4, 1, True)],
    [("a", 5, 1, True)],
    [("b", 0, 3, False)],
    [("b", 3, 3, True)],
    [("b", 6, 1, True)],
    requests=(RequestInfo("a", 0.0, 4, 3), RequestInfo("b", 0.0, 4, 4)),
)


def texts(picture: plots.Picture) -> list[str]:
    return [text.get_text() for text in picture.figure.findobj(Text) if text.get_visible() and text.get_text()]


def boxes(picture: plots.Picture, kind: str | None = None) -> list[Rectangle]:
    """The boxes of a timeline, in all its panels."""
    found = [shape for axes in picture.figure.axes for shape in axes.findobj(Rectangle) if shape.get_gid()]
    return [shape for shape in found if kind in (None, shape.get_gid())]


def spans(shapes: list[Rectangle]) -> list[tuple[float, float, int]]:
    """(left, right, row) of each box."""
    return sorted((shape.get_x(), shape.get_x() + shape.get_width(), round(shape.get_y() + 0.38)) for shape in shapes)


def test_running_example_carries_its_labels():
    picture = plots.timeline({"standard": STANDARD, "chunked": CHUNKED})
    shown = texts(picture)
    for label in ("P₁", "P₁₁", "P₁₂", "P₁₃", "waits", "standard", "chunked"):
        assert shown.count(label) == 1, label
    for label in ("D₂₁", "D₂₂", "D₂₃", "sequence 1", "sequence 2"):
        assert shown.count(label) == 2, label


def test_one_box_for_each_piece_of_work_where_it_ran():
    picture = plots.timeline(CHUNKED)
    assert spans(boxes(picture, "chunk")) == [(0, 1, 0), (1, 2, 0), (2, 3, 0)]
    assert spans(boxes(picture, "decode")) == [(0, 1, 1), (1, 2, 1), (2, 3, 1)]
    assert boxes(picture, "wait") == []


def test_waiting_is_hatched_and_in_ms_as_long_as_it_took():
    wait = boxes(plots.timeline(STANDARD, x="ms"), "wait")
    assert spans(wait) == [(250.0, 500.0, 1)]
    assert wait[0].get_hatch()


def test_a_wait_of_two_iterations_is_one_hatched_box():
    batches = [("chat", 3, 1, True)], [("long", 0, 4, False)], [("long", 4, 5, True)], [("chat", 4, 1, True)]
    for x, expected in (("iterations", (1, 3, 1)), ("ms", (500.0, 1500.0, 1)), ("s", (0.5, 1.5, 1))):
        picture = plots.timeline(trace_of(*map(list, batches), seconds=0.5), x=x)
        assert spans(boxes(picture, "wait")) == [expected]


def test_ms_axis_starts_with_the_first_iteration_and_marks_each_border():
    late = Trace(STANDARD.requests, STANDARD.iterations[1:])
    axes = plots.timeline(late, x="ms").figure.axes[0]
    assert axes.get_xlim() == pytest.approx((0, 750))
    assert sorted(line.get_xdata()[0] for line in axes.get_lines()) == pytest.approx([0, 250, 500, 750])


@pytest.mark.parametrize(
    "batches, max_tokens, expected",
    [
        # its first work is a decode step, so it was generating before: it waits from the start
        ([[("long", 0, 9, True)], [("chat", 3, 1, True)]], 2, [(0, 0)]),
        # no token is out yet, so nothing is idle
        ([[("long", 0, 9, True)], [("chat", 0, 3, True)]], 1, []),
        # between two chunks of its own prompt nothing is out either
        ([[("chat", 0, 2, False)], [("long", 0, 9, True)], [("chat", 2, 1, True)]], 1, []),
        # from the prompt's end to the first decode step counts
        ([[("chat", 0, 3, True)], [("long", 0, 9, True)], [("chat", 3, 1, True)]], 2, [(1, 1)]),
        # one token is missing when the trace ends
        ([[("chat", 0, 3, True)], [("long", 0, 4, False)], [("long", 4, 5, True)]], 2, [(1, 2)]),
        # two separate waits
        ([[("chat", 0, 3, True)], [("long", 0, 4, False)], [("chat", 3, 1, True)], [("long", 4, 5, True)],
          [("chat", 4, 1, True)]], 3, [(1, 1), (3, 3)]),
    ],
)  # fmt: skip
def test_waits(batches, max_tokens, expected):
    requests = (RequestInfo("long", 0.0, 9, 1), RequestInfo("chat", 0.0, 3, max_tokens))
    waits = lanes.waits(trace_of(*batches, requests=requests))
    assert [(wait.first, wait.last) for wait in waits if wait.request_id == "chat"] == expected


def test_prefill_after_a_preemption_looks_different_and_is_primed():
    picture = plots.timeline(PREEMPTED)
    again, chunks = boxes(picture, "recompute"), boxes(picture, "chunk")
    assert spans(again) == [(3, 4, 1), (4, 5, 1)]
    assert spans(boxes(picture, "wait")) == [(2, 3, 1)]
    hatches = {shape.get_hatch() for shape in (*again, *chunks, *boxes(picture, "wait"))}
    assert len(hatches) == 3, "chunk, recompute and wait need three different hatches (or none)"
    assert {"P₂", "P₂₁′", "P₂₂′", "D₂₁", "D₂₂"} <= set(texts(picture))


def test_numbers_names_first_decode_and_idle_times_are_the_callers():
    picture = plots.timeline(
        STANDARD,
        numbers={"long": 7, "chat": 3},
        names={"chat": "the chat"},
        first_decode={"chat": 5},
        idle_times={"chat": 0.25},
    )
    assert {"P₇", "D₃₅", "D₃₆", "D₃₇", "the chat", "sequence 7", "idle 250 ms"} <= set(texts(picture))
    assert picture.header[-1] == "idle" and [row[-1] for row in picture.rows] == ["", "250 ms"]


def test_prologue_is_left_out_and_the_rest_numbered_from_0():
    whole = trace_of([("chat", 0, 3, True)], [("long", 0, 9, True)], [("chat", 3, 1, True)])
    picture = plots.timeline(whole, prologue=1)
    assert spans(boxes(picture)) == [(0, 1, 0), (0, 1, 1), (1, 2, 1)]
    assert "D₂₁" in texts(picture) and "P₂" not in texts(picture)


def test_summary_and_table_state_what_the_trace_says():
    picture = plots.timeline({"standard": STANDARD, "chunked": CHUNKED})
    assert picture.summary == (
        "standard: 4 iterations; a generating sequence waits in 1 of them; the largest computes 9 tokens. "
        "chunked: 3 iterations; a generating sequence waits in none of them; the largest computes 4 tokens."
    )
    in_ms = plots.timeline({"standard": STANDARD, "chunked": CHUNKED}, x="ms").summary
    assert "waits in 1 of them; the longest takes 250 ms (9 tokens)." in in_ms
    assert "waits in none of them; the longest takes 1 s (4 tokens)." in in_ms
    assert picture.rows == (
        ("standard", "sequence 1", "1 (1)", "0", "0"),
        ("standard", "sequence 2", "0", "3 (0, 2–3)", "1 (1)"),
        ("chunked", "sequence 1", "3 (0–2)", "0", "0"),
        ("chunked", "sequence 2", "0", "3 (0–2)", "0"),
    )


def test_summary_and_table_tell_one_long_wait_from_as_many_short_ones():
    prompt, steps = [("long", 3 * j, 3, j == 2) for j in range(3)], [("chat", 3 + j, 1, True) for j in range(3)]
    back_to_back = trace_of(*[[work] for work in (steps[0], *prompt, *steps[1:])])
    in_turns = trace_of(*[[work] for pair in zip(prompt, steps, strict=True) for work in pair])
    picture = plots.timeline({"standard": back_to_back, "in turns": in_turns})
    assert "standard: 6 iterations; a generating sequence waits in 3 of them, at most 3 in a row;" in picture.summary
    assert "in turns: 6 iterations; a generating sequence waits in 3 of them, at most 1 in a row;" in picture.summary
    assert [row[-1] for row in picture.rows] == ["0", "3 (1–3), at most 3 in a row",
                                                 "0", "3 (0, 2, 4), at most 1 in a row"]


@pytest.mark.parametrize("num_steps", [40, 200])
def test_labels_that_do_not_fit_are_dropped_and_the_legend_stays(num_steps):
    batches = [[("chat", 0, 3, True)], *([("chat", 3 + step, 1, True)] for step in range(num_steps))]
    picture = plots.timeline(trace_of(*batches, requests=(RequestInfo("chat", 0.0, 3, num_steps + 1),)))
    assert len(boxes(picture, "decode")) == num_steps
    assert not [text for text in texts(picture) if text.startswith("D")]
    assert {text.get_text() for text in picture.figure.legends[0].get_texts()} == {"prefill chunk", "decode step"}


def test_two_digits_are_set_apart():
    assert [lanes.label_of("D", 2, 9), lanes.label_of("D", 2, 10), lanes.label_of("P", 12, None)] == [
        "D₂₉",
        "D₂,₁₀",
        "P₁₂",
    ]


def all_pictures() -> list[plots.Picture]:
    rows = [SimpleNamespace(budget=b, throughput=100 + b, p99_tbt=b / 1000) for b in (64, 128, 256)]
    return [
        plots.timeline({"standard": STANDARD, "chunked": CHUNKED}),
        plots.timeline(PREEMPTED, x="ms"),
        plots.chunk_bars([348.0], [104.0, 121.0, 140.0]),
        plots.cache_grid([[0, 0, 1, None], [0, 0, 1, None]]),
        plots.gap_distribution({"standard": [0.01, 0.01, 0.9], "chunked": [0.02, 0.03, 0.04]}),
        plots.trade_off(rows, slo=0.2, chosen=128),
        plots.service_curves({"unit-fair": {"a": [(0, 0), (1, 9)]}, "token-fair": {"a": [(0, 0), (2, 9)]}}),
    ]


def test_every_picture_says_in_html_and_text_what_it_shows():
    for picture in all_pictures():
        html = picture._repr_html_()
        alt = re.search(r'<img alt="([^"]+)" src="data:image/png;base64,iVBOR', html)
        assert alt and alt[1] == picture.summary
        assert f"<figcaption>{picture.summary}</figcaption>" in html
        assert html.count("<tr>") == len(picture.rows) + 1
        assert "<details>" not in html
        assert all(len(row) == len(picture.header) for row in picture.rows)
        bundle = picture._repr_mimebundle_()
        assert set(bundle) == {"text/html", "text/plain"}
        assert bundle["text/plain"].startswith(f"{picture.title}\n{picture.summary}\n")
        assert all(cell in bundle["text/plain"] for row in picture.rows for cell in row)


def test_colours_are_okabe_and_itos():
    palette = {color.lower() for color in OKABE_ITO}
    for picture in all_pictures():
        shapes = [shape for axes in picture.figure.axes for shape in axes.findobj(Rectangle) if shape is not axes.patch]
        lines = [line for axes in picture.figure.axes for line in axes.get_lines()]
        used = {to_hex(shape.get_facecolor()) for shape in shapes} | {to_hex(line.get_color()) for line in lines}
        assert used <= palette | {WHITE, "#d9d9d9"}, picture.title


def test_text_from_the_caller_is_escaped_and_long_tables_are_folded():
    gaps = {f'policy <{index}> "x"': [0.01] for index in range(9)}
    html = plots.gap_distribution(gaps)._repr_html_()
    assert "policy <" not in html and "policy &lt;0&gt; &quot;x&quot;" in html
    assert "<details>" in html


@pytest.mark.parametrize("name, start", [("picture.png", b"\x89PNG"), ("picture.svg", b"<?xml")])
def test_save_writes_what_the_suffix_says(tmp_path, name, start):
    plots.chunk_bars([2.0], [1.0, 1.5]).save(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_the_callers_own_style_neither_shows_nor_changes():
    with matplotlib.rc_context({"text.color": "white", "axes.labelcolor": "white", "font.size": 30}):
        before = dict(matplotlib.rcParams)
        picture = plots.timeline(CHUNKED)
        picture.png()
        assert dict(matplotlib.rcParams) == before
    label = picture.figure.axes[-1].xaxis.label
    assert (to_hex(label.get_color()), label.get_fontsize()) == ("#000000", 12)


def test_pyplot_is_not_imported(repository: Path):
    code = (
        "import sys; from course_lib import plots; plots.chunk_bars([2.0], [1.0, 1.5])._repr_html_(); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=repository).returncode == 0


def test_chunk_bars_lie_end_to_end():
    picture = plots.chunk_bars([300.0], [100.0, 110.0, 120.0])
    bars = [shape for shape in picture.figure.axes[0].patches if isinstance(shape, Rectangle)]
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(0, 300), (0, 100), (100, 110), (210, 120)]
    assert {"P₁", "P₁₁", "P₁₂", "P₁₃", "110"} <= set(texts(picture))
    assert picture.rows == (("standard", "1", "300", "300"), ("chunked", "3", "120", "330"))


def test_cache_grid_numbers_and_colours_each_cell():
    picture = plots.cache_grid([[0, 0, 1, None], [0, 1, 1, None]])
    cells = {(cell.get_x(), cell.get_y()): cell for cell in picture.figure.axes[0].patches}
    assert len(cells) == 8
    assert [text.get_text() for text in picture.figure.axes[0].texts] == ["0", "0", "1", "0", "1", "1"]
    assert cells[1, 0].get_facecolor() != cells[1, 1].get_facecolor() == cells[2, 0].get_facecolor()
    assert cells[3, 0].get_hatch() and not cells[2, 0].get_hatch()
    assert picture.rows == (
        ("0", "0–1", "0"),
        ("0", "0", "1"),
        ("1", "2", "0"),
        ("1", "1–2", "1"),
        ("not written", "3", "0–1"),
    )


def test_long_cache_carries_one_number_a_stretch():
    axes = plots.cache_grid([[position // 32 for position in range(128)]]).figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2", "3"]


def test_gap_statistics_are_nearest_ranks_or_the_callers():
    gaps = {"standard": [index / 1000 for index in range(200, 0, -1)]}
    assert plots.gap_distribution(gaps).rows == (("standard", "200", "100", "198", "200"),)
    given = {"standard": {"median": 0.1005, "p99": 0.199, "max": 0.2}}
    assert plots.gap_distribution(gaps, statistics=given).rows == (("standard", "200", "100", "199", "200"),)


def test_gap_curve_counts_the_share_of_gaps():
    line = plots.gap_distribution({"standard": [0.02, 0.01, 0.04, 0.03]}).figure.axes[0].get_lines()[0]
    assert list(line.get_xdata()) == pytest.approx([10, 10, 20, 30, 40])
    assert list(line.get_ydata()) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_trade_off_draws_points_slo_and_choice():
    rows = [SimpleNamespace(budget=b, throughput=t, p99_tbt=p) for b, t, p in [(128, 9.0, 0.2), (64, 8.0, 0.1)]]
    picture = plots.trade_off(rows, slo=0.15, chosen=64)
    points, slo, choice = picture.figure.axes[0].get_lines()
    assert list(points.get_xdata()) == [100, 200] and list(points.get_ydata()) == [8, 9]
    assert slo.get_xdata()[0] == 150
    assert (choice.get_xdata()[0], choice.get_ydata()[0]) == (100, 8)
    assert [text.get_text() for text in picture.figure.axes[0].texts] == ["64", "128"]
    assert picture.rows == (("64", "8", "100", "yes"), ("128", "9", "200", "no"))


def test_service_curves_stand_side_by_side_on_the_same_axes():
    curves = {"unit-fair": {"a": [(0, 0), (1, 9), (3, 9)]}, "token-fair": {"a": [(0, 0), (2, 9)]}}
    picture = plots.service_curves(curves, names={"a": "document"})
    left, right = picture.figure.axes
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("unit-fair", "token-fair")
    assert left.get_xlim() == right.get_xlim() and left.get_ylim() == right.get_ylim()
    assert [row[-1] for row in picture.rows] == ["1", "2"]
    later = plots.service_curves({"first": {"a": [(0, 0), (1, 9)]}, "second": {"a": [(0, 0), (5, 30)]}})
    assert later.figure.axes[0].get_xlim()[1] >= 5 and later.figure.axes[0].get_ylim()[1] >= 30
    assert [text.get_text() for text in picture.figure.legends[0].get_texts()] == ["document"]


EMPTY = Trace(REQUESTS, ())
ROW = SimpleNamespace(budget=8, throughput=1.0, p99_tbt=1.0)


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: plots.timeline(EMPTY), "no iterations.*run"),
        (lambda: plots.timeline({"standard": EMPTY}), "'standard' has no iterations"),
        (lambda: plots.timeline({}), "traces is empty"),
        (lambda: plots.timeline(CHUNKED, x="min"), "\"iterations\", \"ms\" or \"s\", got 'min'"),
        (lambda: plots.timeline(CHUNKED, numbers={"x": 1}), r"numbers names the request 'x'.*\['long', 'chat'\]"),
        (lambda: plots.timeline(CHUNKED, names={"x": "y"}), "names names the request 'x'"),
        (lambda: plots.timeline(CHUNKED, first_decode={"x": 1}), "first_decode names the request 'x'"),
        (lambda: plots.timeline(CHUNKED, idle_times={"x": 1.0}), "idle_times names the request 'x'"),
        (lambda: plots.timeline({"a": CHUNKED}, idle_times={"b": {}}), r"idle_times names the trace 'b'.*\['a'\]"),
        (lambda: plots.timeline({"a": CHUNKED}, idle_times={"a": 1.0}), "idle_times must be a dict .*, got 1.0"),
        (lambda: plots.timeline(CHUNKED, prologue=3), "prologue must be 0..2, got 3"),
        (lambda: plots.chunk_bars([], [1.0]), "standard must be a list of at least one number"),
        (lambda: plots.chunk_bars([1.0], [0.0]), r"chunked\[0\] must be a positive number, got 0.0"),
        (lambda: plots.cache_grid([]), "one list per layer"),
        (lambda: plots.cache_grid([[0], [0, 1]]), r"lengths \[1, 2\]"),
        (lambda: plots.gap_distribution({}), "at least one gap"),
        (lambda: plots.gap_distribution({"a": []}), "{'a': 0}"),
        (lambda: plots.gap_distribution({"a": [0.0]}), "log_x=False"),
        (lambda: plots.gap_distribution({"a": [1.0]}, statistics={"b": {}}), "statistics names the policy 'b'"),
        (lambda: plots.gap_distribution({"a": [1.0]}, statistics={"a": {"p99": 1.0}}), r"got \['p99'\]"),
        (lambda: plots.trade_off([]), "rows is empty"),
        (lambda: plots.trade_off([ROW], chosen=9), r"chosen is 9.*\[8\]"),
        (lambda: plots.service_curves({}), "each policy needs requests"),
        (lambda: plots.service_curves({"a": {"b": []}}), "at least one"),
    ],
)  # fmt: skip
def test_bad_input_is_explained(draw, message):
    with pytest.raises((TypeError, ValueError), match=message):
        draw()


def test_numbers_read_well():
    assert [number(value) for value in (0, 0.1234, 1.5, 12.34, 99.96, 1234.5)] == [
        "0",
        "0.123",
        "1.5",
        "12.3",
        "100",
        "1,234",
    ]
    assert [duration(value) for value in (0.0, 0.0123, 1.5)] == ["0 s", "12.3 ms", "1.5 s"]
    assert [round_step(value) for value in (0.3, 1, 1.5, 3, 7, 12, 30)] == [1, 1, 2, 5, 10, 20, 50]
    assert ranges([5, 0, 1, 2]) == "0–2, 5" and ranges(range(0, 20, 2)) == "0, 2, 4, 6, 8, 10, …"
