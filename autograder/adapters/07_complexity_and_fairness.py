"""Adapters of notebook 07: build the objects, run the learner's code, return plain data. Believed about nothing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from course_lib.request import Request, RequestStatus
from course_lib.scheduler import SchedulerConfig, SchedulerOutput

Learner = Mapping[str, Any]
Ask = Callable[[dict], dict]


def guess_tokens(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The prediction."""
    return {"value": learner["guess_tokens"]}


def halve_chunks(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The chosen letter."""
    return {"value": learner["halve_chunks"]}


def fair_cycle(learner: Learner, payload: dict, ask: Ask) -> dict:
    """Cycle after cycle: before each, the grader says who is active and how far everybody has come."""
    cycles, changed = [], False
    for cycle in payload["cycles"]:
        active = [_request(state) for state in cycle]
        before = [_state(request) for request in active]
        cycles.append(_pairs(learner["fair_cycle"](active, payload["chunk_size"])))
        changed = changed or [_state(request) for request in active] != before
    return {"cycles": cycles, "changed": changed}


def blocks_needed(learner: Learner, payload: dict, ask: Ask) -> dict:
    """A number of blocks for each case."""
    return {"blocks": [_plain_int(learner["blocks_needed"](*case)) for case in payload["cases"]]}


def preempt_tail(learner: Learner, payload: dict, ask: Ask) -> dict:
    """Preempts some times in a row and says what has become of the queues, the requests and the pool."""
    scheduler = learner["PooledScheduler"](SchedulerConfig(**payload["config"]))
    everybody = {state["request_id"]: _request(state) for state in payload["running"] + payload["waiting"]}
    for state in payload["running"]:
        request = everybody[state["request_id"]]
        scheduler.running.append(request)
        scheduler.hold(request, state["blocks"])
    for state in payload["waiting"]:
        everybody[state["request_id"]].status = RequestStatus.WAITING
        scheduler.waiting.append(everybody[state["request_id"]])
    returned = [learner["preempt_tail"](scheduler) for _ in range(payload["times"])]
    return {
        "returned": [getattr(request, "request_id", None) for request in returned],
        "running": [request.request_id for request in scheduler.running],
        "waiting": [request.request_id for request in scheduler.waiting],
        "num_computed_tokens": {key: _plain_int(request.num_computed_tokens) for key, request in everybody.items()},
        "outputs": {key: list(request.output_token_ids) for key, request in everybody.items()},
        "free": scheduler.num_free_blocks,
        "held": {key: blocks for key, blocks in scheduler.blocks_held.items() if blocks},
    }


def PreemptiveScheduler(learner: Learner, payload: dict, ask: Ask) -> dict:
    """Runs the scheduler: the grader says who arrives, and after each plan what was sampled."""
    scheduler = learner["PreemptiveScheduler"](SchedulerConfig(**payload["config"]))
    live: dict[str, Request] = {}
    while not (reply := ask({"next": True}))["stop"]:
        for arrival in reply["arrivals"]:
            request = Request(arrival["request_id"], [1] * arrival["num_prompt_tokens"], arrival["max_tokens"])
            live[request.request_id] = request
            scheduler.add_request(request)
        output = scheduler.schedule()
        if not isinstance(output, SchedulerOutput):
            raise TypeError(f"schedule() must return a SchedulerOutput, got {output!r}")
        reply = ask({
            "plan": _pairs(output.num_scheduled_tokens),
            "preempted": [str(request_id) for request_id in output.preempted_req_ids],
            "waiting": [request.request_id for request in scheduler.waiting],
            "running": [request.request_id for request in scheduler.running],
            "num_computed_tokens": {key: _plain_int(request.num_computed_tokens) for key, request in live.items()},
            "outputs": {key: list(request.output_token_ids) for key, request in live.items()},
        })
        if reply["stop"]:
            break
        for request_id in scheduler.update_from_output(output, reply["sampled"]):
            del live[request_id]
    return {}


def _request(state: Mapping[str, Any]) -> Request:
    """A request amid a run."""
    request = Request(state["request_id"], [1] * state["num_prompt_tokens"], state["max_tokens"])
    request.num_computed_tokens = state["num_computed_tokens"]
    request.output_token_ids = [7 + number for number in range(state["num_output_tokens"])]
    request.status = RequestStatus.FINISHED if request.is_finished else RequestStatus.RUNNING
    return request


def _state(request: Request) -> tuple:
    return request.num_computed_tokens, request.num_output_tokens, request.status


def _pairs(plan: Mapping[str, int] | Iterable) -> list[list]:
    if not isinstance(plan, Mapping):
        raise TypeError(f"a plan is a dict, request id -> number of tokens, got {plan!r}")
    if not all(isinstance(request_id, str) for request_id in plan):
        raise TypeError(f"the keys of a plan are request ids, got {list(plan)}")
    return [[request_id, _plain_int(num_tokens)] for request_id, num_tokens in plan.items()]


def _plain_int(value: Any) -> Any:
    """A Python int for what counts as one (a numpy integer, say); anything else as it is, for the check to refuse."""
    return value.__index__() if hasattr(value, "__index__") else value
