"""The engine: schedule, execute, book, until every request is finished."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from course_lib.kv_cache import KVCache
from course_lib.model import SequenceChunk, ToyTransformer
from course_lib.request import Request
from course_lib.scheduler import Scheduler, SchedulerOutput
from course_lib.trace import Iteration, RequestInfo, Trace, Work
from course_lib.validate import check_number, check_type, checked_list


class PlanError(ValueError):
    """A scheduler's plan cannot be executed. It is refused before anything is computed."""


class Execution(NamedTuple):
    """What one iteration gave: a candidate next token for every scheduled request, and how long it took."""

    sampled: dict[str, int]
    seconds: float


@runtime_checkable
class Executor(Protocol):
    """Carries out the plan of an iteration: a real model, or a simulation."""

    def execute(self, output: SchedulerOutput, requests: Mapping[str, Request]) -> Execution:
        """Computes the scheduled tokens of each request."""
        ...

    def release(self, request_id: str) -> None:
        """Frees what is held for a finished request."""
        ...


class ModelExecutor:
    """Runs plans on a ToyTransformer with greedy sampling; owns one KV cache for each request."""

    def __init__(self, model: ToyTransformer) -> None:
        check_type("model", model, ToyTransformer, "a ToyTransformer")
        self.model = model
        self.caches: dict[str, KVCache] = {}

    def execute(self, output: SchedulerOutput, requests: Mapping[str, Request]) -> Execution:
        """One forward pass over the whole batch, timed until the device is done. A preempted request's cache is
        dropped first. RuntimeError when a request and its cache disagree about `num_computed_tokens`."""
        try:
            scheduled = [(requests[name], num_tokens) for name, num_tokens in output.num_scheduled_tokens.items()]
        except (AttributeError, KeyError, TypeError) as error:
            raise _unknown(output, requests, error) from None
        for request_id in output.preempted_req_ids:
            self.release(request_id)
        batch = [self._chunk(request, num_tokens) for request, num_tokens in scheduled]
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
        start = time.perf_counter()
        tokens = self.model(batch).argmax(dim=-1).tolist()  # tolist() waits for the device
        seconds = time.perf_counter() - start
        return Execution(dict(zip(output.num_scheduled_tokens, tokens, strict=True)), seconds)

    def release(self, request_id: str) -> None:
        """Drops the request's cache, if there is one."""
        self.caches.pop(request_id, None)

    def _chunk(self, request: Request, num_tokens: int) -> SequenceChunk:
        start = request.num_computed_tokens
        cache = self.caches.get(request.request_id)
        if cache is None:
            cache = self.model.new_cache(request.num_prompt_tokens + request.max_tokens)
            self.caches[request.request_id] = cache
        if cache.num_computed_tokens != start:
            raise RuntimeError(f"request {request.request_id!r} counts {start} computed tokens, its cache holds "
                               f"{cache.num_computed_tokens}; only update_from_output may change the count")
        return SequenceChunk(request.token_ids(start, start + num_tokens), cache)


class SimulatedExecutor:
    """Computes nothing: says how long an iteration would take, and samples token 0. Deterministic."""

    def __init__(self, seconds: Callable[[list[tuple[int, int]]], float]) -> None:
        """`seconds`: from the (start_pos, num_tokens) of each scheduled request to the iteration's duration,
        a `CostModel` for example."""
        check_type("seconds", seconds, Callable, "a function of spans that returns seconds, such as a CostModel")
        self.seconds = seconds

    def execute(self, output: SchedulerOutput, requests: Mapping[str, Request]) -> Execution:
        """The duration of the planned iteration."""
        try:
            spans = [(requests[name].num_computed_tokens, num_tokens)
                     for name, num_tokens in output.num_scheduled_tokens.items()]
        except (AttributeError, KeyError, TypeError) as error:
            raise _unknown(output, requests, error) from None
        return Execution(dict.fromkeys(output.num_scheduled_tokens, 0), self.seconds(spans))

    def release(self, request_id: str) -> None:
        """Nothing is held."""


def run(scheduler: Scheduler, requests: Iterable[Request], executor: Executor) -> Trace:
    """Serves `requests` to the end and returns what happened.

    The clock starts at 0 s and moves by what each iteration took; an iteration starts when the one before it
    ends, or at the next arrival when nothing is unfinished. The scheduler's own time is recorded apart.
    A scheduler that plans nothing waits: the clock moves to the next arrival. Its budget is its own affair, and a plan
    over it is executed (PrefillFirstScheduler makes such plans).
    PlanError when a plan cannot be executed, or when nothing is planned, work is left and nobody is still to arrive;
    ValueError when two requests share an id, by which the trace could not tell them apart.
    """
    check_type("scheduler", scheduler, Scheduler, "a Scheduler")
    check_type("executor", executor, Executor, "a ModelExecutor or SimulatedExecutor, or have its two methods")
    requests = checked_list("requests", requests, Request, "Requests")
    arrivals = deque(sorted(requests, key=lambda request: request.arrival_time))
    for request_id, count in Counter(request.request_id for request in arrivals).items():
        if count > 1:
            raise ValueError(f"request ids must differ, but {request_id!r} stands twice; rename one of them")
    infos = tuple(RequestInfo(request.request_id, request.arrival_time, request.num_prompt_tokens, request.max_tokens)
                  for request in arrivals)
    active: dict[str, Request] = {}
    iterations: list[Iteration] = []
    clock = 0.0
    while (is_busy := scheduler.has_unfinished_requests()) or arrivals:
        if not is_busy:
            clock = max(clock, arrivals[0].arrival_time)
        while arrivals and arrivals[0].arrival_time <= clock:
            request = arrivals.popleft()
            scheduler.add_request(request)
            executor.release(request.request_id)  # what a run that broke off may have left under the same id
            active[request.request_id] = request
        before = time.perf_counter()
        output = scheduler.schedule()
        scheduling_seconds = time.perf_counter() - before
        if not isinstance(output, SchedulerOutput):
            raise PlanError(f"schedule() must return a SchedulerOutput, got {output!r}")
        if not output.num_scheduled_tokens:
            if not arrivals:
                raise PlanError(f"the scheduler planned nothing, but these requests are unfinished: {list(active)}")
            for request_id in output.preempted_req_ids:
                executor.release(request_id)
            clock = arrivals[0].arrival_time
            continue
        work = _checked_work(output, scheduler.running)
        execution = executor.execute(output, active)
        check_number("the executor's seconds", execution.seconds, 0)
        end = clock + execution.seconds
        iterations.append(Iteration(len(iterations), clock, end, scheduling_seconds, work,
                                    tuple(output.preempted_req_ids)))
        clock = end
        for request_id in scheduler.update_from_output(output, execution.sampled):
            executor.release(request_id)
            del active[request_id]
    return Trace(infos, tuple(iterations))


def _unknown(output: SchedulerOutput, requests: Mapping[str, Request], error: Exception) -> KeyError:
    """What to raise where a plan and the requests do not fit."""
    check_type("output", output, SchedulerOutput, "a SchedulerOutput")
    check_type("requests", requests, Mapping, "a dict from request id to Request")
    return KeyError(f"the plan names {error}, and `requests` only has {list(requests)}")


def _checked_work(output: SchedulerOutput, running: list[Request]) -> tuple[Work, ...]:
    """The record of an iteration's work, request by request; PlanError when it cannot be computed."""
    by_id = {request.request_id: request for request in running}
    work = []
    for request_id, num_tokens in output.num_scheduled_tokens.items():
        request = by_id.get(request_id)
        if request is None:
            raise PlanError(f"the plan names {request_id!r}, which is not running; running are {list(by_id)}. "
                            "A waiting request must be moved to `running` before it is planned")
        start = request.num_computed_tokens
        left = request.num_tokens - start
        if type(num_tokens) is not int or not 1 <= num_tokens <= left:
            raise PlanError(f"the plan gives {request_id!r} {num_tokens!r} tokens; it has {left} left to compute, "
                            f"so it may be given an int in 1..{left}")
        work.append(Work(request_id, start, num_tokens, num_tokens == left))
    return tuple(work)
