"""The widgets, headless: what buttons do to the list that is printed, and what a slider moves."""

import html
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from course_lib.widgets import Explorer, Ordering, explorer, ordering


def shown(widget: Ordering) -> list[str]:
    return [html.unescape(row.children[-1].value) for row in widget.children[:-1]]


def test_the_list_to_paste_is_python() -> None:
    widget = ordering(["P12", 'say "D21"', "P₁₁"], "order_two")
    namespace: dict = {}
    exec(widget.text.value, namespace)
    assert namespace["order_two"] == widget.order == ["P12", 'say "D21"', "P₁₁"]


def test_up_and_down_move_an_entry() -> None:
    widget = ordering(["a", "b", "c"])
    widget.press("c", "up")
    assert widget.text.value == 'order = ["a", "c", "b"]'
    widget.press("c", "up")
    assert widget.text.value == 'order = ["c", "a", "b"]'
    widget.press("c", "up")  # at the top already
    widget.press("b", "down")  # at the bottom
    assert widget.order == shown(widget) == ["c", "a", "b"]
    widget.press("c", "down")
    widget.press("c", "down")
    assert widget.order == shown(widget) == ["a", "b", "c"]


def test_the_focus_goes_along_with_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    widget = ordering(["a", "b", "c"])
    focused = []
    for place, buttons in enumerate(widget.buttons):
        for action, button in buttons.items():
            monkeypatch.setattr(button, "focus", lambda where=(place, action): focused.append(where), raising=False)
    widget.press("c", "up")
    widget.press("c", "up")
    widget.press("c", "up")
    widget.press("b", "up")
    assert focused == [(1, "up"), (0, "up"), (1, "up")]


def test_entries_are_left_out_and_put_back() -> None:
    widget = ordering(["a", "b", "c"], leave_out=True)
    widget.press("a", "out / in")
    assert widget.text.value == 'order = ["b", "c"]'
    assert shown(widget) == ["b", "c", "left out: a"]
    widget.press("a", "up")  # moves nothing that is out
    widget.press("c", "down")  # nor anything behind it
    assert shown(widget) == ["b", "c", "left out: a"]
    widget.press("a", "out / in")
    assert widget.text.value == 'order = ["b", "c", "a"]'


def test_neighbours_share_an_iteration_and_places_keep_their_iteration() -> None:
    widget = ordering(["P11", "D21", "D22", "P12"], share_iterations=True)
    assert widget.order == [["P11"], ["D21"], ["D22"], ["P12"]]
    widget.press("D21", "join / part")
    widget.press("P12", "join / part")
    assert widget.text.value == 'order = [["P11", "D21"], ["D22", "P12"]]'
    assert shown(widget)[1:3] == ["iteration 0: D21", "iteration 1: D22"]
    widget.press("D22", "up")
    assert widget.order == [["P11", "D22"], ["D21", "P12"]]
    widget.press("P12", "join / part")
    assert widget.order == [["P11", "D22"], ["D21"], ["P12"]]
    widget.press("P11", "join / part")  # nothing stands above it
    assert widget.order == [["P11", "D22"], ["D21"], ["P12"]]


def test_each_button_says_what_it_moves() -> None:
    widget = ordering(["a", "b"], leave_out=True, share_iterations=True)
    assert [list(buttons) for buttons in widget.buttons] == [["up", "down", "join / part", "out / in"]] * 2
    assert list(ordering(["a"]).buttons[0]) == ["up", "down"]
    widget.press("b", "up")
    for label, buttons in zip("ba", widget.buttons, strict=True):
        for action, button in buttons.items():
            assert button.description == action and f" {label} " in button.tooltip


def test_labels_are_shown_as_text_not_as_markup() -> None:
    widget = ordering(["q < k & v"])
    assert widget.children[0].children[-1].value == "q &lt; k &amp; v"
    assert widget.text.value == 'order = ["q < k & v"]'


@pytest.mark.parametrize("labels", [[], ["a", "a"]])
def test_labels_must_differ(labels: list[str]) -> None:
    with pytest.raises(ValueError, match="at least one text, each another"):
        ordering(labels)


def test_only_this_module_loads_ipywidgets() -> None:
    code = ("import sys, course_lib, course_lib.orders, course_lib.checks; assert 'ipywidgets' not in sys.modules;"
            "import course_lib.widgets; assert 'ipywidgets' in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


@dataclass
class Row:
    budget: int
    throughput: float
    p99_tbt: float


class Drawn:
    def __init__(self, budget: int) -> None:
        self.budget = budget

    def _repr_html_(self) -> str:
        return f"<p>picture of {self.budget}</p>"


def knob(log: list[int]) -> Explorer:
    def picture(budget: int) -> Drawn:
        log.append(budget)
        return Drawn(budget)

    return explorer([Row(512, 70.25, 0.15), Row(128, 44.0, 0.06), Row(2048, 77.0, 0.54)], picture)


def test_the_slider_moves_both_numbers_and_the_picture() -> None:
    widget = knob([])
    assert widget.slider.options == (128, 512, 2048) and widget.slider.value == 512
    for budget, numbers in [(512, "70.2 tokens/s, P99 time between tokens 150 ms"),
                            (2048, "77.0 tokens/s, P99 time between tokens 540 ms"),
                            (128, "44.0 tokens/s, P99 time between tokens 60 ms")]:
        widget.slider.value = budget
        assert widget.line.value == f"<b>budget {budget}: {numbers}</b>"
        assert widget.picture.value == f"<p>picture of {budget}</p>"
        assert f"budget {budget}: {numbers}" in repr(widget)


def test_moving_the_slider_draws_nothing_anew() -> None:
    log: list[int] = []
    widget = knob(log)
    assert sorted(log) == [128, 512, 2048]
    widget.slider.value = 128
    widget.slider.value = 2048
    assert len(log) == 3


def test_an_explorer_needs_rows() -> None:
    with pytest.raises(ValueError, match="rows is empty"):
        explorer([], Drawn)


@pytest.mark.parametrize("widget, kept", [
    (lambda: ordering(["b", "a"], "order_two"), 'It begins with order_two = ["b", "a"]\n'),
    (lambda: knob([]), "What it shows:\nbudget 128: 44.0 tokens/s, P99 time between tokens 60 ms\nbudget 512: "),
])
def test_a_text_is_kept_for_a_notebook_without_a_kernel(widget: Callable, kept: str, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    shown_as: list[dict] = []
    monkeypatch.setattr("course_lib.widgets.display", lambda data, raw: shown_as.append(data))
    widget()._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in shown_as[0]
    out = capsys.readouterr().out
    assert "running kernel: run this cell again" in out and kept in out
