"""What happened in a run: one event log from which everything is drawn, measured and exported."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RequestInfo:
    """What was asked for. `arrival_time` in seconds on the run's clock."""

    request_id: str
    arrival_time: float
    num_prompt_tokens: int
    max_tokens: int


@dataclass(frozen=True)
class Work:
    """What one iteration did for one request: tokens `start_pos` to `start_pos + num_tokens - 1`.

    `samples_token` is true when this brought the request up to its last token, so that a new one came out.
    """

    request_id: str
    start_pos: int
    num_tokens: int
    samples_token: bool


@dataclass(frozen=True)
class Iteration:
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


@dataclass(frozen=True)
class Trace:
    """All requests of a run and all its iterations, in time order."""

    requests: tuple[RequestInfo, ...]
    iterations: tuple[Iteration, ...]

    def after(self, num_iterations: int) -> "Trace":
        """This trace without its first `num_iterations` iterations, renumbered, its clock starting at 0 again.
        Drops a prologue that only brings requests to their starting state."""
        if not 0 <= num_iterations < len(self.iterations):
            raise ValueError(f"num_iterations must lie in 0..{len(self.iterations) - 1}, got {num_iterations}")
        kept = self.iterations[num_iterations:]
        offset = kept[0].start
        iterations = tuple(replace(iteration, index=index, start=iteration.start - offset, end=iteration.end - offset)
                           for index, iteration in enumerate(kept))
        requests = tuple(replace(request, arrival_time=max(0.0, request.arrival_time - offset))
                         for request in self.requests)
        return Trace(requests, iterations)

    def to_json(self) -> str:
        """This trace as JSON text; `from_json` gives an equal trace back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Trace":
        """A trace from the text that `to_json` made. ValueError when it is not JSON, or when a field is missing or
        unknown; the values themselves are believed."""
        try:
            data = json.loads(text)
            requests = tuple(RequestInfo(**request) for request in data["requests"])
            iterations = tuple(_iteration(iteration) for iteration in data["iterations"])
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is not a trace ({error}); from_json reads what Trace.to_json wrote") from error
        return cls(requests, iterations)

    def save(self, path: str | Path) -> None:
        """Writes the trace as JSON."""
        Path(path).write_text(self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "Trace":
        """Reads what `save` wrote."""
        return cls.from_json(Path(path).read_text())


def _iteration(data: Mapping[str, Any]) -> Iteration:
    work = tuple(Work(**item) for item in data["work"])
    return Iteration(**{**data, "work": work, "preempted": tuple(data["preempted"])})
