"""The export, read back by a small validator of the Chrome trace event format."""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.cost_model import CPU_DEFAULT, ONE_SECOND
from course_lib.engine import SimulatedExecutor, run
from course_lib.perfetto import chrome_trace, save_chrome_trace
from course_lib.scheduler import PlannedScheduler, PrefillFirstScheduler, SchedulerConfig
from course_lib.trace import Iteration, RequestInfo, Trace, Work
from course_lib.workload import mixed_workload, running_example

NEEDED = {"M": {"name", "ph", "pid", "args"}, "X": {"name", "ph", "ts", "dur", "pid", "tid"},
          "i": {"name", "ph", "ts", "pid", "tid", "s"}, "C": {"name", "ph", "ts", "pid", "args"}}
NAMING = {"process_name": "name", "thread_name": "name", "thread_sort_index": "sort_index"}
ROUNDING = 0.002  # microseconds


def validate(text: str) -> list[dict[str, Any]]:
    """The events of a Chrome trace in JSON text; an AssertionError where it is not one. Knows nothing of ours."""
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    data = json.loads(text, parse_constant=refuse)
    assert isinstance(data, dict) and data.get("displayTimeUnit") in ("ms", "ns")
    events = data["traceEvents"]
    for event in events:
        assert isinstance(event["name"], str) and event["name"]
        assert NEEDED[event["ph"]] <= set(event), event
        assert all(type(event[key]) is int for key in ("pid", "tid") if key in event)
        for key in {"ts", "dur"} & set(event):
            assert isinstance(event[key], int | float) and math.isfinite(event[key]) and event[key] >= 0
        if event["ph"] == "M":
            assert NAMING[event["name"]] in event["args"]
        if event["ph"] == "i":
            assert event["s"] in ("g", "p", "t")
        if event["ph"] == "C":
            assert event["args"] and all(isinstance(value, int | float) for value in event["args"].values())
    timed = [event for event in events if event["ph"] != "M"]
    assert events[len(events) - len(timed):] == timed, "metadata comes first"
    assert all(one["ts"] <= other["ts"] for one, other in pairwise(timed)), "time order"
    tracks = {(event["pid"], event["tid"]) for event in timed if event["ph"] in "Xi"}
    for track in tracks:
        slices = [event for event in timed if event["ph"] == "X" and (event["pid"], event["tid"]) == track]
        for one, other in pairwise(slices):
            assert one["ts"] + one["dur"] <= other["ts"] + ROUNDING, "slices of one track overlap without nesting"
    assert tracks <= {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    return events


def exported(trace: Trace, **options: Any) -> list[dict[str, Any]]:
    return validate(json.dumps(chrome_trace(trace, **options)))


def simulated() -> Trace:
    return run(PrefillFirstScheduler(SchedulerConfig()), mixed_workload(), SimulatedExecutor(CPU_DEFAULT))


def chunked_example() -> Trace:
    plans = [{"1": 8, "2": 1}, {"1": 8, "2": 1}, {"1": 8, "2": 1}, {"1": 1}, {"1": 1}]
    scheduler = PlannedScheduler(SchedulerConfig(), plans, prologue=[{"2": 8}])
    return run(scheduler, running_example(), SimulatedExecutor(ONE_SECOND)).after(1)


PREEMPTED = Trace(
    (RequestInfo("a", 0.0, 4, 3), RequestInfo("b", 0.5, 4, 2)),
    (
        Iteration(0, 0.0, 1.0, 0.1, (Work("a", 0, 4, True),)),
        Iteration(1, 1.0, 3.0, 0.25, (Work("b", 0, 4, True),), ("a",)),
        Iteration(2, 3.0, 4.0, 0.0, (Work("a", 0, 5, True), Work("b", 4, 1, True))),
        Iteration(3, 6.0, 6.5, 0.0, (Work("a", 5, 1, True),)),
    ),
)


@pytest.mark.parametrize("trace", [simulated(), chunked_example(), PREEMPTED], ids=["mixed", "example", "preempted"])
def test_export_is_a_chrome_trace(trace: Trace) -> None:
    assert exported(trace)


durations = st.tuples(st.floats(0, 10, allow_subnormal=False), st.floats(0, 10, allow_subnormal=False))


@settings(deadline=None, max_examples=50)
@given(st.lists(durations, min_size=1, max_size=20))
def test_any_clock_gives_slices_that_do_not_overlap(steps: list[tuple[float, float]]) -> None:
    clock, iterations = 0.0, []
    for index, (pause, seconds) in enumerate(steps):
        start = clock + pause
        clock = start + seconds
        iterations.append(Iteration(index, start, clock, 0.0, (Work("a", index, 1, False),)))
    exported(Trace((RequestInfo("a", 0.0, 100, 1),), tuple(iterations)))


def test_every_piece_of_work_is_a_slice_on_its_request_s_track() -> None:
    trace = simulated()
    events = exported(trace)
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == {0: "iterations"} | {order: f"request {request.request_id}"
                                         for order, request in enumerate(trace.requests, start=1)}
    found = {(names[event["tid"]], event["ts"], event["dur"], event["args"]["start_pos"], event["args"]["num_tokens"])
             for event in events if event["ph"] == "X" and event["tid"] > 0}
    expected = {(f"request {work.request_id}", round(1e6 * step.start, 3),
                 round(round(1e6 * step.end, 3) - round(1e6 * step.start, 3), 3), work.start_pos, work.num_tokens)
                for step in trace.iterations for work in step.work}
    assert found == expected


def test_names_are_those_of_the_pictures() -> None:
    events = exported(chunked_example(), numbers={"1": 1, "2": 2})
    rows = {track: [event["name"] for event in events if event["ph"] == "X" and event["tid"] == track]
            for track in (1, 2)}
    assert rows == {1: ["P₁₁", "P₁₂", "P₁₃", "D₁₁", "D₁₂"], 2: ["D₂₁", "D₂₂", "D₂₃"]}
    assert {event["cat"] for event in events if event["name"].startswith("D")} == {"decode"}


def test_preemption_is_an_instant_and_its_recompute_a_kind_of_its_own() -> None:
    events = exported(PREEMPTED)
    assert [(event["name"], event["ts"], event["tid"]) for event in events if event["ph"] == "i"] == [
        ("arrives", 0, 1), ("arrives", 5e5, 2), ("preempted", 1e6, 1)]
    assert [event["cat"] for event in events if event["ph"] == "X" and event["tid"] == 1] == [
        "prefill", "recompute", "decode"]


def test_iterations_have_a_track_and_a_counter_that_falls_to_zero_when_idle() -> None:
    events = exported(PREEMPTED)
    iterations = [event for event in events if event["ph"] == "X" and event["tid"] == 0]
    assert [(event["name"], event["ts"], event["dur"], event["args"]["num_tokens"]) for event in iterations] == [
        ("iteration 0", 0, 1e6, 4), ("iteration 1", 1e6, 2e6, 4), ("iteration 2", 3e6, 1e6, 6),
        ("iteration 3", 6e6, 5e5, 1)]
    assert iterations[1]["args"]["scheduling_us"] == 250_000
    assert [(event["ts"], event["args"]["num_tokens"]) for event in events if event["ph"] == "C"] == [
        (0, 4), (1e6, 4), (3e6, 6), (4e6, 0), (6e6, 1), (6.5e6, 0)]


def test_saved_file_holds_the_same(tmp_path: Path) -> None:
    trace = chunked_example()
    save_chrome_trace(trace, str(tmp_path / "trace.json"))
    text = (tmp_path / "trace.json").read_text(encoding="utf-8")
    assert validate(text) == chrome_trace(trace)["traceEvents"]
    assert "P₁₂" in text


@pytest.mark.parametrize("step", [
    Iteration(0, 0.0, 1.0, 0.0, (Work("b", 0, 1, False),)),
    Iteration(0, 0.0, 1.0, 0.0, (Work("a", 0, 1, False),), ("b",)),
])
def test_unlisted_request_is_named(step: Iteration) -> None:
    with pytest.raises(ValueError, match=r"does not list the request 'b' that it names; listed: \['a'\]"):
        chrome_trace(Trace((RequestInfo("a", 0.0, 4, 1),), (step,)))


@pytest.mark.parametrize("change", [
    "event.pop('dur')", "event.update(dur=-1)", "event.update(ph='Q')", "event.update(dur=float('nan'))",
    "event.update(tid='one')", "event.update(tid=99)", "event.update(dur=event['dur'] + 1)", "event.update(ts=1e9)",
])
def test_validator_can_fail(change: str) -> None:
    data = chrome_trace(chunked_example())
    event = next(event for event in data["traceEvents"] if event["ph"] == "X")
    exec(change, {"event": event})
    with pytest.raises((AssertionError, KeyError)):
        validate(json.dumps(data))
