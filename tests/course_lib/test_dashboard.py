"""The dashboard shows every plan, the promises and the decisions."""

import math
from types import SimpleNamespace

import pytest
from matplotlib.lines import Line2D

from course_lib.plots import Picture, decision_dashboard


def outcome(plan: str, throughput: float, p99_tbt: float, median_ttft: float) -> SimpleNamespace:
    return SimpleNamespace(plan=plan, throughput=throughput, p99_tbt=p99_tbt, median_ttft=median_ttft)


ROWS = {"day": [outcome("whole", 90, 2.0, 0.4), outcome("chunks", 80, 0.15, 0.5), outcome("tiny", 50, 0.1, 3.0)],
        "night": [outcome("whole", 90, 2.0, 0.4), outcome("chunks", 85, 0.3, 0.5)]}
SLOS = {"day": SimpleNamespace(p99_tbt=0.2, median_ttft=1.0),
        "night": SimpleNamespace(p99_tbt=0.2, median_ttft=math.inf)}
TODAY = {"day": "whole", "night": "whole"}
CHOSEN = {"day": "chunks", "night": None}


def drawn(picture: Picture, marker: str) -> list[list[tuple[float, float]]]:
    """The points with this marker, panel by panel."""
    return [[(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.findobj(Line2D)
             if line.get_marker() == marker and len(line.get_xdata()) == 1] for axes in picture.figure.axes]


def test_every_plan_is_a_point_in_both_panels():
    points = drawn(decision_dashboard(ROWS, SLOS, chosen=CHOSEN, today=TODAY), "o")
    assert points[0] == [(2000, 90), (150, 80), (100, 50)]
    assert points[1] == [(0.4, 90), (0.5, 80), (3.0, 50)]
    assert [len(panel) for panel in points] == [3, 3, 2, 2]


def test_only_plans_that_keep_both_promises_are_filled():
    picture = decision_dashboard(ROWS, SLOS, chosen=CHOSEN, today=TODAY)
    filled = [line.get_ydata()[0] for line in picture.figure.axes[0].findobj(Line2D)
              if line.get_marker() == "o" and line.get_markerfacecolor() != "white"]
    assert filled == [80]


def test_today_and_the_choice_are_marked_and_no_choice_is_none():
    picture = decision_dashboard(ROWS, SLOS, chosen=CHOSEN, today=TODAY)
    assert drawn(picture, "*") == [[(150, 80)], [(0.5, 80)], [], []]
    assert drawn(picture, "D") == [[(2000, 90)], [(0.4, 90)], [(2000, 90)], [(0.4, 90)]]


def test_a_promise_without_limit_has_no_line():
    picture = decision_dashboard(ROWS, SLOS, chosen=CHOSEN, today=TODAY)
    limits = [[line.get_xdata()[0] for line in axes.get_lines()
               if line.get_linestyle() == "--" and len(line.get_xdata())] for axes in picture.figure.axes]
    assert limits == [[200], [1.0], [200], []]


def test_words_and_table_say_the_same():
    picture = decision_dashboard(ROWS, SLOS, chosen=CHOSEN, today=TODAY)
    assert "day: 1 of 3 plans keep both promises" in picture.summary
    assert "night: 0 of 2 plans keep both promises" in picture.summary and "none chosen" in picture.summary
    assert picture.rows[1] == ("day", "chosen", "chunks", "80", "150", "0.5", "yes")
    assert picture.rows[3][:3] == ("night", "chosen", "no plan keeps both promises")
    assert all(len(row) == len(picture.header) for row in picture.rows)


@pytest.mark.parametrize(("change", "message"), [
    ({"outcomes": {}}, "needs outcomes"), ({"outcomes": {**ROWS, "night": []}}, "needs outcomes"),
    ({"slos": {"day": SLOS["day"]}}, "slos must have the cases"), ({"chosen": {"day": None}}, "chosen must have"),
    ({"today": {"day": "huge", "night": "whole"}}, "today.*huge"),
    ({"today": {"day": None, "night": "whole"}}, "today"),
    ({"chosen": {"day": "huge", "night": None}}, "chosen.*huge"),
])
def test_what_does_not_fit_together_is_refused(change: dict, message: str):
    arguments = {"outcomes": ROWS, "slos": SLOS, "chosen": CHOSEN, "today": TODAY} | change
    with pytest.raises(ValueError, match=message):
        decision_dashboard(**arguments)
