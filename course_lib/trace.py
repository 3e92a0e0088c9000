"""What happened in a run: one event log from which everything is drawn, measured and exported."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from course_lib.validate import check_int, check_type, checked_record


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What was asked for. `arrival_time` in seconds on the run's clock."""

    request_id: str
    arrival_time: float
    num_prompt_tokens: int
    max_tokens: int


class Work(NamedTuple):
    """What one iteration did for one request: tokens `start_pos` to `start_pos + num_tokens - 1`.

    `samples_token` is true when this brought the request up to its last token, so that a new one came out. (A tuple,
    as is Iteration: a run makes a great many of them, and a tuple is made in half of a frozen dataclass's time.)
    """

    request_id: str
    start_pos: int
    num_tokens: int
    samples_token: bool


class Iteration(NamedTuple):
    """One forward pass over one batch, from `start` to `end` in seconds; the scheduler's own time stands apart."""

    index: int
    start: float
    end: float
    scheduling_seconds: float
    work: tuple[Work, ...]
    preempted: tuple[str, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Tokens computed in this iteration, prefill chunks and decode steps together."""
        return sum(work.num_tokens for work in self.work)


@dataclass(frozen=True, slots=True)
class Trace:
    """All requests of a run and all its iterations, in time order."""

    requests: tuple[RequestInfo, ...]
    iterations: tuple[Iteration, ...]

    def after(self, num_iterations: int) -> "Trace":
        """This trace without its first `num_iterations` iterations, renumbered, its clock starting at 0 again.
        Drops a prologue that only brings requests to their starting state."""
        if not self.iterations:
            raise ValueError("the trace has no iterations; pass what a finished run(...) returned")
        check_int("num_iterations", num_iterations, 0, len(self.iterations) - 1)
        kept = self.iterations[num_iterations:]
        offset = kept[0].start
        iterations = tuple(iteration._replace(index=index, start=iteration.start - offset, end=iteration.end - offset)
                           for index, iteration in enumerate(kept))
        requests = tuple(replace(request, arrival_time=max(0.0, request.arrival_time - offset))
                         for request in self.requests)
        return Trace(requests, iterations)

    def to_json(self) -> str:
        """This trace as JSON text; `from_json` gives an equal trace back."""
        iterations = [iteration._asdict() | {"work": [work._asdict() for work in iteration.work]}
                      for iteration in self.iterations]
        return json.dumps({"requests": [asdict(request) for request in self.requests], "iterations": iterations})

    @classmethod
    def from_json(cls, text: str) -> "Trace":
        """A trace from the text that `to_json` made. ValueError when it is not JSON, or when a field is missing,
        unknown or of another type; times and counts start at 0. Whether they agree with each other is not looked at."""
        try:
            data = json.loads(text)
            requests = tuple(checked_record(RequestInfo, request) for request in data["requests"])
            iterations = tuple(_iteration(iteration) for iteration in data["iterations"])
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"this is not a trace ({error}); from_json reads what Trace.to_json wrote") from error
        return cls(requests, iterations)

    def save(self, path: str | Path) -> None:
        """Writes the trace as JSON."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Trace":
        """Reads what `save` wrote."""
        return cls.from_json(Path(path).read_bytes())


def _iteration(data: Mapping[str, Any]) -> Iteration:
    work = tuple(checked_record(Work, item) for item in data["work"])
    for request_id in data["preempted"]:
        check_type("preempted", request_id, str, "a list of texts")
    return checked_record(Iteration, {**data, "work": work, "preempted": tuple(data["preempted"])})
