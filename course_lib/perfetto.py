"""A trace in Chrome's trace event format, for https://ui.perfetto.dev and chrome://tracing.

Profilers of real engines write this format too, torch.profiler among them: what is learned from one is read off the
others. Every event is a dict; `ph` says what it is: "X" something that took time, "i" an instant, "C" a counter,
"M" the name of a track. Times are microseconds. (Trace Event Format, Google.)
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_lib.plots.lanes import boxes
from course_lib.trace import Trace
from course_lib.validate import check_mapping, check_type

PROCESS = 1
ITERATIONS = 0  # the track of the iterations; request i, in the trace's order, has the track i = 1, 2, ...
CATEGORIES = {"chunk": "prefill", "recompute": "recompute", "decode": "decode"}


def chrome_trace(trace: Trace, numbers: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The trace as the JSON object that Perfetto reads: `{"traceEvents": [...], "displayTimeUnit": "ms"}`.

    One track holds the iterations, with a counter `num_tokens`; each request has one of its own, with its prefill
    chunks and decode steps by their names P_ij and D_ij, its arrival and its preemptions. `numbers`: request id to
    the i of P_ij, else the order in `trace.requests`. Metadata comes first, then all events in time order.
    ValueError when the trace names a request that it does not list.
    """
    check_type("trace", trace, Trace, "a Trace")
    tracks = {request.request_id: order for order, request in enumerate(trace.requests, start=1)}
    named = {name for step in trace.iterations for name in (*(work.request_id for work in step.work), *step.preempted)}
    if unknown := sorted(named - set(tracks)):
        raise ValueError(f"the trace does not list the request {unknown[0]!r} that it names; listed: {list(tracks)}")
    check_mapping("numbers", numbers or {}, int)
    if missing := [name for name in tracks if name not in (numbers or tracks)]:
        raise ValueError(f"numbers has no number for the request {missing[0]!r}, only for {list(numbers)}; add it")
    names = [_metadata("process_name", ITERATIONS, name="chunked prefill course")]
    for track, name in [(ITERATIONS, "iterations"), *((track, f"request {name}") for name, track in tracks.items())]:
        names += [_metadata("thread_name", track, name=name), _metadata("thread_sort_index", track, sort_index=track)]
    events = _iterations(trace) + _arrivals_and_preemptions(trace, tracks) + _work(trace, tracks, numbers or tracks)
    events.sort(key=lambda event: event["ts"])
    return {"traceEvents": names + events, "displayTimeUnit": "ms"}


def save_chrome_trace(trace: Trace, path: str | Path, numbers: Mapping[str, int] | None = None) -> None:
    """Writes `chrome_trace(trace, numbers)` as JSON: a file for Perfetto's "Open trace file"."""
    Path(path).write_text(json.dumps(chrome_trace(trace, numbers), ensure_ascii=False), encoding="utf-8")


def _iterations(trace: Trace) -> list[dict[str, Any]]:
    events = []
    for step in trace.iterations:
        args = {"num_tokens": step.num_tokens, "num_requests": len(step.work),
                "scheduling_us": round(1e6 * step.scheduling_seconds, 3)}
        events.append(_complete(f"iteration {step.index}", "iteration", ITERATIONS, step.start, step.end, args))
        events.append(_counter(step.start, step.num_tokens))
    # The counter holds its value until the next one: an idle server computes nothing.
    starts = {step.start for step in trace.iterations}
    return events + [_counter(step.end, 0) for step in trace.iterations if step.end not in starts]


def _arrivals_and_preemptions(trace: Trace, tracks: Mapping[str, int]) -> list[dict[str, Any]]:
    moments = [("arrives", request.request_id, request.arrival_time) for request in trace.requests]
    moments += [("preempted", name, step.start) for step in trace.iterations for name in step.preempted]
    return [{"name": what, "cat": "request", "ph": "i", "s": "t", "ts": _microseconds(seconds), "pid": PROCESS,
             "tid": tracks[name]} for what, name, seconds in moments]


def _work(trace: Trace, tracks: Mapping[str, int], numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    events = []
    for box in boxes(trace, numbers, first_decode={}):
        step = trace.iterations[box.position]
        work = next(work for work in step.work if work.request_id == box.request_id)
        args = {"start_pos": work.start_pos, "num_tokens": work.num_tokens, "samples_token": work.samples_token,
                "iteration": step.index}
        events.append(_complete(box.label, CATEGORIES[box.kind], tracks[box.request_id], step.start, step.end, args))
    return events


def _complete(name: str, category: str, track: int, start: float, end: float, args: dict[str, Any]) -> dict[str, Any]:
    begin = _microseconds(start)
    return {"name": name, "cat": category, "ph": "X", "ts": begin, "dur": round(_microseconds(end) - begin, 3),
            "pid": PROCESS, "tid": track, "args": args}


def _counter(seconds: float, num_tokens: int) -> dict[str, Any]:
    return {"name": "num_tokens", "ph": "C", "ts": _microseconds(seconds), "pid": PROCESS, "tid": ITERATIONS,
            "args": {"num_tokens": num_tokens}}


def _metadata(what: str, track: int, **args: Any) -> dict[str, Any]:
    return {"name": what, "ph": "M", "ts": 0, "pid": PROCESS, "tid": track, "args": args}


def _microseconds(seconds: float) -> float:
    return round(1e6 * seconds, 3)
