"""Traces drawn at random, and what is true of them by brute force over their event log: the reference of hidden checks.

Nothing here looks at `samples_token`, which learners use: output token k of a request comes out of the iteration that
first computes position num_prompt_tokens - 1 + k.
"""

import random
from dataclasses import dataclass

from course_lib.cost_model import CostModel
from course_lib.engine import SimulatedExecutor, run
from course_lib.request import Request
from course_lib.scheduler import PrefillFirstScheduler, SchedulerConfig
from course_lib.trace import Iteration, RequestInfo, Trace, Work


def token_iterations(trace: Trace, request: RequestInfo) -> list[Iteration]:
    """The iterations that give the request's output tokens."""
    found = []
    for k in range(request.max_tokens):
        position = request.num_prompt_tokens - 1 + k
        computing = [step for step in trace.iterations for work in step.work if work.request_id == request.request_id
                     and work.start_pos <= position < work.start_pos + work.num_tokens]
        found += computing[:1]
    return found


def working_iterations(trace: Trace, request: RequestInfo) -> list[Iteration]:
    """The iterations that do anything for the request."""
    return [step for step in trace.iterations if any(work.request_id == request.request_id for work in step.work)]


def decode_iterations(trace: Trace, request: RequestInfo) -> list[Iteration]:
    """The iterations that compute exactly one token of the request, behind its prompt, and give an output token."""
    given = token_iterations(trace, request)
    return [step for step in given for work in step.work
            if work.request_id == request.request_id and work.num_tokens == 1
            and work.start_pos >= request.num_prompt_tokens]


def waits(steps: list[Iteration]) -> list[float]:
    return [steps[index + 1].start - steps[index].end for index in range(len(steps) - 1)]


def gaps(steps: list[Iteration]) -> list[float]:
    return [steps[index + 1].end - steps[index].end for index in range(len(steps) - 1)]


@dataclass
class _State:
    info: RequestInfo
    num_computed_tokens: int = 0
    num_output_tokens: int = 0


@dataclass(frozen=True)
class Kind:
    """What may happen in a random trace."""

    preemption: bool = False
    idle_server: bool = False
    cut_off: bool = False  # ends before all requests are finished
    max_tokens: tuple[int, ...] = (3, 4, 5, 6)


def random_trace(kind: Kind) -> Trace:
    """A few requests, arriving mid-run, in iterations of any length that skip and chunk them at random."""
    clock = round(random.uniform(1.0, 5.0), 3)
    arrivals = [clock + round(random.uniform(0.0, 6.0), 3) for _ in range(3)]
    infos = [RequestInfo(f"request {index}", arrival, random.randint(3, 12), random.choice(kind.max_tokens))
             for index, arrival in enumerate([clock, *sorted(arrivals)], start=1)]
    infos.append(RequestInfo("never scheduled", infos[-1].arrival_time + 0.5, 4, 3))
    states = [_State(info) for info in infos[:-1]]
    clock += 0.125  # not everything starts at once
    iterations: list[Iteration] = []
    while unfinished := [one for one in states if one.num_output_tokens < one.info.max_tokens]:
        if kind.cut_off and len(iterations) > 8 and any(one.num_output_tokens > 1 for one in unfinished):
            break
        if kind.idle_server and random.random() < 0.25:
            clock += round(random.uniform(0.3, 3.0), 3)
        present = [one for one in unfinished if one.info.arrival_time <= clock]
        if not present:
            clock = min(one.info.arrival_time for one in unfinished)
            continue
        chosen = random.sample(present, k=random.randint(1, len(present)))
        preempted = [one for one in present if one not in chosen and one.num_output_tokens
                     and one.num_computed_tokens and kind.preemption and random.random() < 0.4]
        for one in preempted:
            one.num_computed_tokens = 0
        end = clock + round(random.uniform(0.1, 2.0), 3)
        work = tuple(_work(one) for one in chosen)
        iterations.append(Iteration(len(iterations), clock, end, 0.001, work,
                                    tuple(one.info.request_id for one in preempted)))
        clock = end
    return Trace(tuple(infos), tuple(iterations))


def _work(one: _State) -> Work:
    """One step of a request: the rest of its tokens, or a part of them."""
    start = one.num_computed_tokens
    left = one.info.num_prompt_tokens + one.num_output_tokens - start
    num_tokens = left if random.random() < 0.3 else random.randint(1, left)
    one.num_computed_tokens += num_tokens
    one.num_output_tokens += num_tokens == left
    return Work(one.info.request_id, start, num_tokens, num_tokens == left)


def simulated_trace() -> Trace:
    """What the engine records of prefill-first scheduling: three chats, and a long prompt that arrives among them."""
    lengths = [(random.randint(2, 9), random.randint(4, 8)) for _ in range(3)] + [(random.randint(40, 60), 3)]
    requests = [Request(f"request {index}", [1] * prompt, max_tokens, arrival_time=3.0 + 2.5 * (index == 4))
                for index, (prompt, max_tokens) in enumerate(lengths, start=1)]
    clock = SimulatedExecutor(CostModel(0.3, 0.05, 0.001, 0.002))
    return run(PrefillFirstScheduler(SchedulerConfig()), requests, clock)


def interesting_trace(kind: Kind) -> Trace:
    """A random trace in which what its kind allows makes a difference to somebody."""
    while True:
        trace = random_trace(kind)
        given = [(info, token_iterations(trace, info)) for info in trace.requests]
        waited = max(sum(waits(steps)) for _, steps in given)
        chunked = any(working_iterations(trace, info)[0] is not steps[0] for info, steps in given if steps)
        recomputed = max(sum(step.end - step.start for step in working_iterations(trace, info)
                             if steps and step.start > steps[0].start and step not in steps) for info, steps in given)
        stood = sum(later.start - step.end for step, later in zip(trace.iterations, trace.iterations[1:], strict=False))
        if (waited > 1.0 and chunked and (not kind.preemption or recomputed > 0.5)
                and (not kind.idle_server or stood > 0.3)):
            return trace


def trace_amid_a_prompt() -> Trace:
    """A trace that ends before its first request's prompt is computed; the second was never scheduled."""
    start = random.uniform(1.0, 3.0)
    infos = (RequestInfo("amid its prompt", start, 9, 4), RequestInfo("never scheduled", start + 1.0, 3, 2))
    work = [(Work("amid its prompt", 0, 4, False),), (Work("amid its prompt", 4, 2, False),)]
    return Trace(infos, tuple(Iteration(index, start + index, start + index + 1, 0.0, one)
                              for index, one in enumerate(work)))
