"""The reference for functions on traces, against what the engine books and against a trace done by hand."""

import pytest

from autograder.random_traces import (
    Kind,
    gaps,
    interesting_trace,
    random_trace,
    simulated_trace,
    token_iterations,
    trace_amid_a_prompt,
    waits,
)
from course_lib.trace import Iteration, RequestInfo, Trace, Work

BY_HAND = Trace(
    (RequestInfo("1", 0.0, 2, 4), RequestInfo("2", 0.5, 6, 2)),
    (
        Iteration(0, 1.0, 2.0, 0.0, (Work("1", 0, 2, True),)),
        Iteration(1, 2.0, 5.0, 0.0, (Work("2", 0, 4, False),)),
        Iteration(2, 5.0, 7.0, 0.0, (Work("1", 2, 1, True), Work("2", 4, 2, True))),
        Iteration(3, 7.0, 8.0, 0.0, (Work("2", 6, 1, True),), preempted=("1",)),
        Iteration(4, 8.5, 9.0, 0.0, (Work("1", 0, 3, False),)),
        Iteration(5, 9.0, 9.5, 0.0, (Work("1", 3, 1, True),)),
        Iteration(6, 9.5, 10.0, 0.0, (Work("1", 4, 1, True),)),
    ),
)


def test_tokens_gaps_and_waits_by_hand() -> None:
    first, second = (token_iterations(BY_HAND, info) for info in BY_HAND.requests)
    assert [step.index for step in first] == [0, 2, 5, 6]
    assert gaps(first) == [5.0, 2.5, 0.5] and waits(first) == [3.0, 2.0, 0.0]
    assert [step.index for step in second] == [2, 3]
    assert gaps(second) == [1.0] and waits(second) == [0.0]


@pytest.mark.parametrize("kind", [Kind(), Kind(preemption=True), Kind(idle_server=True), Kind(cut_off=True),
                                  Kind(preemption=True, idle_server=True, max_tokens=(1, 2))])
def test_reference_agrees_with_samples_token(kind: Kind) -> None:
    """Two ways to find the tokens: which positions are computed first, and what is marked as giving a token."""
    for trace in [random_trace(kind) for _ in range(50)] + [simulated_trace(), trace_amid_a_prompt()]:
        for info in trace.requests:
            marked = [step for step in trace.iterations for work in step.work
                      if work.request_id == info.request_id and work.samples_token]
            assert token_iterations(trace, info) == marked
        ends = [0.0, *(step.end for step in trace.iterations)]
        assert all(end <= step.start < step.end for end, step in zip(ends, trace.iterations, strict=False))
        assert all(info.arrival_time <= step.start for step in trace.iterations for work in step.work
                   for info in trace.requests if info.request_id == work.request_id)


def test_an_interesting_trace_shows_what_its_kind_allows() -> None:
    for _ in range(20):
        trace = interesting_trace(Kind(preemption=True, idle_server=True))
        assert any(step.preempted for step in trace.iterations)
        assert any(one.end < other.start for one, other in zip(trace.iterations, trace.iterations[1:], strict=False))
        assert [info for info in trace.requests if not token_iterations(trace, info)] == [trace.requests[-1]]
