"""The ordering widget, headless: what its buttons do to the list that it prints."""

import subprocess
import sys

import pytest

from course_lib.widgets import Ordering, ordering


def choose(widget: Ordering, text: str) -> None:
    widget.list_box.value = text


def test_the_list_to_paste_is_python() -> None:
    widget = ordering(["P12", 'say "D21"', "P₁₁"], "order_two")
    namespace: dict = {}
    exec(widget.text.value, namespace)
    assert namespace["order_two"] == widget.order == ["P12", 'say "D21"', "P₁₁"]


def test_up_and_down_move_the_chosen_entry_and_keep_it_chosen() -> None:
    widget = ordering(["a", "b", "c"])
    choose(widget, "c")
    widget.up.click()
    assert widget.text.value == 'order = ["a", "c", "b"]'
    widget.up.click()
    assert widget.text.value == 'order = ["c", "a", "b"]'
    widget.up.click()  # at the top already
    assert widget.order == ["c", "a", "b"] and widget.list_box.value == "c"
    choose(widget, "a")
    widget.down.click()
    widget.down.click()
    assert widget.order == ["c", "b", "a"] and widget.list_box.value == "a"


def test_entries_are_left_out_and_put_back() -> None:
    widget = ordering(["a", "b", "c"], leave_out=True)
    choose(widget, "a")
    widget.out.click()
    assert widget.text.value == 'order = ["b", "c"]'
    assert widget.list_box.options == ("b", "c", "left out: a") and widget.list_box.value == "left out: a"
    widget.up.click()  # moves nothing that is out
    choose(widget, "c")
    widget.down.click()  # nor anything behind it
    assert widget.order == ["b", "c"]
    choose(widget, "left out: a")
    widget.out.click()
    assert widget.text.value == 'order = ["b", "c", "a"]'


def test_neighbours_share_an_iteration_and_places_keep_their_iteration() -> None:
    widget = ordering(["P11", "D21", "D22", "P12"], share_iterations=True)
    assert widget.order == [["P11"], ["D21"], ["D22"], ["P12"]]
    for text in ("iteration 1: D21", "iteration 2: P12"):
        choose(widget, text)
        widget.join.click()
    assert widget.text.value == 'order = [["P11", "D21"], ["D22", "P12"]]'
    choose(widget, "iteration 1: D22")
    widget.down.click()
    widget.up.click()
    widget.up.click()
    assert widget.order == [["P11", "D22"], ["D21", "P12"]]
    choose(widget, "iteration 1: P12")
    widget.join.click()
    assert widget.order == [["P11", "D22"], ["D21"], ["P12"]]
    choose(widget, "iteration 0: P11")
    widget.join.click()  # nothing stands above it
    assert widget.order == [["P11", "D22"], ["D21"], ["P12"]]


def test_only_the_buttons_that_work_are_shown_and_each_says_what_it_does() -> None:
    def buttons(widget: Ordering) -> list:
        return list(widget.children[1].children)

    assert [button.description for button in buttons(ordering(["a"]))] == ["Move up", "Move down"]
    everything = buttons(ordering(["a"], leave_out=True, share_iterations=True))
    assert [button.description for button in everything] == ["Move up", "Move down", "Join / part",
                                                             "Leave out / put back"]
    assert all(button.tooltip for button in everything)


@pytest.mark.parametrize("labels", [[], ["a", "a"]])
def test_labels_must_differ(labels: list[str]) -> None:
    with pytest.raises(ValueError, match="at least one text, each another"):
        ordering(labels)


def test_only_this_module_loads_ipywidgets() -> None:
    code = ("import sys, course_lib, course_lib.orders, course_lib.checks; assert 'ipywidgets' not in sys.modules;"
            "import course_lib.widgets; assert 'ipywidgets' in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
