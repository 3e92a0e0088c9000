"""The trace as JSON, and without its prologue."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.trace import Iteration, RequestInfo, Trace, Work

seconds = st.floats(0, 1e6)
counts = st.integers(0, 10**6)
infos = st.builds(RequestInfo, st.text(), seconds, counts, counts)
works = st.builds(Work, st.text(), counts, counts, st.booleans())
iterations = st.builds(Iteration, counts, seconds, seconds, seconds, st.lists(works).map(tuple),
                       st.lists(st.text()).map(tuple))
traces = st.builds(Trace, st.lists(infos).map(tuple), st.lists(iterations, max_size=5).map(tuple))

EXAMPLE = Trace(
    (RequestInfo("a", 0.0, 4, 2), RequestInfo("b", 1.5, 2, 1)),
    (
        Iteration(0, 0.0, 1.0, 0.1, (Work("a", 0, 4, True),)),
        Iteration(1, 1.0, 3.0, 0.2, (Work("a", 4, 1, True),)),
        Iteration(2, 3.0, 4.5, 0.3, (Work("b", 0, 2, True),), ("c",)),
    ),
)


@settings(deadline=None, max_examples=50)
@given(traces)
def test_json_gives_an_equal_trace_back(trace: Trace) -> None:
    assert Trace.from_json(trace.to_json()) == trace


def test_files_give_an_equal_trace_back(tmp_path: Path) -> None:
    EXAMPLE.save(tmp_path / "trace.json")
    assert Trace.load(tmp_path / "trace.json") == EXAMPLE


def edited(change: str) -> str:
    """EXAMPLE as JSON, changed by a statement on `data`."""
    data = json.loads(EXAMPLE.to_json())
    exec(change)
    return json.dumps(data)


@pytest.mark.parametrize("text", [
    "", "{", "null", "5", "[]", "{}", '"requests"', '{"requests": []}', '{"requests": 5, "iterations": []}',
    edited("del data['requests'][0]['arrival_time']"),
    edited("data['requests'][0]['colour'] = 'red'"),
    edited("data['requests'][0] = 'a'"),
    edited("data['iterations'][1] = []"),
    edited("del data['iterations'][1]['work']"),
    edited("data['iterations'][1]['work'] = None"),
    edited("del data['iterations'][1]['work'][0]['num_tokens']"),
    edited("del data['iterations'][1]['preempted']"),
])
def test_broken_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"this is not a trace \(.+\); from_json reads what Trace.to_json wrote"):
        Trace.from_json(text)


def test_iteration_counts_its_tokens() -> None:
    work = (Work("a", 0, 7, False), Work("b", 3, 1, True))
    assert Iteration(0, 0.0, 1.0, 0.0, work).num_tokens == 8


def test_after_drops_iterations_and_starts_the_clock_again() -> None:
    assert EXAMPLE.after(1) == Trace(
        (RequestInfo("a", 0.0, 4, 2), RequestInfo("b", 0.5, 2, 1)),
        (
            Iteration(0, 0.0, 2.0, 0.2, (Work("a", 4, 1, True),)),
            Iteration(1, 2.0, 3.5, 0.3, (Work("b", 0, 2, True),), ("c",)),
        ),
    )
    assert EXAMPLE.after(0) == EXAMPLE
    assert EXAMPLE.after(1).after(1) == EXAMPLE.after(2)


@pytest.mark.parametrize("num_iterations", [-1, 3])
def test_after_needs_an_iteration_to_keep(num_iterations: int) -> None:
    with pytest.raises(ValueError, match=rf"num_iterations must be 0\.\.2, got {num_iterations}"):
        EXAMPLE.after(num_iterations)
