"""From a trace to what its timeline shows: one box per piece of work, and the stretches in which a sequence waits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from course_lib.trace import RequestInfo, Trace, Work

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Box:
    """One piece of work; `position` counts in `trace.iterations`. A recompute repeats tokens lost to a preemption."""

    request_id: str
    position: int
    kind: Literal["chunk", "recompute", "decode"]
    label: str


@dataclass(frozen=True)
class Wait:
    """A run of iterations, `first` to `last` inclusive, that pass over a request which already has output."""

    request_id: str
    first: int
    last: int

    @property
    def positions(self) -> range:
        """The iterations waited, as positions in `trace.iterations`."""
        return range(self.first, self.last + 1)


def boxes(trace: Trace, numbers: Mapping[str, int], first_decode: Mapping[str, int]) -> list[Box]:
    """The boxes of all requests. `numbers`: the i of P_ij and D_ij. `first_decode`: the j of the first decode step."""
    found = []
    for request in trace.requests:
        i = numbers[request.request_id]
        furthest, chunk, step = 0, 0, first_decode.get(request.request_id, 1)
        for position, work in _work_of(trace, request.request_id):
            end = work.start_pos + work.num_tokens
            if is_decode(work, request) and work.start_pos >= furthest:
                kind, label, step = "decode", label_of("D", i, step), step + 1
            else:
                chunk = 1 if work.start_pos == 0 else chunk + 1
                whole = work.start_pos == 0 and end >= request.num_prompt_tokens and work.samples_token
                kind = "recompute" if work.start_pos < furthest else "chunk"
                label = label_of("P", i, None if whole else chunk) + "′" * (kind == "recompute")
            found.append(Box(request.request_id, position, kind, label))
            furthest = max(furthest, end)
    return found


def waits(trace: Trace) -> list[Wait]:
    """Where a request with at least one token out, and more to come, is in no batch.

    A request whose first work is a decode step had its first token before the trace began, so it can wait from the
    start. One that has not reached `max_tokens` when the trace ends waits to the end.
    """
    found = []
    for request in trace.requests:
        work = _work_of(trace, request.request_id)
        since = _generating_since(trace, request, work)
        if since is None:
            continue
        last_position, last = work[-1]
        finished = last.start_pos + last.num_tokens >= request.num_prompt_tokens + request.max_tokens - 1
        until = last_position if finished else len(trace.iterations) - 1
        busy = {position for position, _ in work}
        run: list[int] = []
        for position in range(since, until + 2):
            if position <= until and position not in busy:
                run.append(position)
            elif run:
                found.append(Wait(request.request_id, run[0], run[-1]))
                run = []
    return found


def in_a_row(found: Sequence[Wait]) -> str:
    """How long the longest of these waits is, as a clause, where more than one iteration is waited."""
    lengths = [len(wait.positions) for wait in found]
    return f", at most {max(lengths)} in a row" if sum(lengths) > 1 else ""


def is_decode(work: Work, request: RequestInfo) -> bool:
    """One token, and it lies behind the prompt."""
    return work.num_tokens == 1 and work.start_pos >= request.num_prompt_tokens


def label_of(letter: str, i: int, j: int | None) -> str:
    """P₁₂; P₁ where `j` is None; with a comma where two digits would be ambiguous."""
    indices = f"{i}" if j is None else f"{i},{j}" if max(i, j) > 9 else f"{i}{j}"
    return letter + indices.translate(SUBSCRIPTS)


def _work_of(trace: Trace, request_id: str) -> list[tuple[int, Work]]:
    return [
        (position, work)
        for position, iteration in enumerate(trace.iterations)
        for work in iteration.work
        if work.request_id == request_id
    ]


def _generating_since(trace: Trace, request: RequestInfo, work: list[tuple[int, Work]]) -> int | None:
    if work and is_decode(work[0][1], request):
        arrived = [p for p, iteration in enumerate(trace.iterations) if iteration.start >= request.arrival_time]
        return min([work[0][0], *arrived])
    return next((position + 1 for position, item in work if item.samples_token), None)
