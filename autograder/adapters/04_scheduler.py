"""Adapters of notebook 04: build the objects, run the learner's code, return plain data. Believed about nothing."""

from collections.abc import Callable, Mapping
from typing import Any

from course_lib.request import Request
from course_lib.scheduler import SchedulerConfig, SchedulerOutput

Learner = Mapping[str, Any]
Ask = Callable[[dict], dict]


def guess_gap(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The prediction."""
    return {"value": learner["guess_gap"]}


def why_no_wait(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The chosen letter."""
    return {"value": learner["why_no_wait"]}


def plan_running(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The plan for requests amid a run, as [request id, tokens] pairs, and how far the requests are afterwards."""
    running = []
    for state in payload["running"]:
        request = Request(state["request_id"], [1] * state["num_prompt_tokens"], max_tokens=100)
        request.num_computed_tokens = state["num_computed_tokens"]
        request.output_token_ids = [1] * state["num_output_tokens"]
        running.append(request)
    plan = learner["plan_running"](running, SchedulerConfig(**payload["config"]))
    return {"plan": _pairs(plan), "num_computed_tokens": [request.num_computed_tokens for request in running]}


def StallFreeScheduler(learner: Learner, payload: dict, ask: Ask) -> dict:
    """Runs the scheduler; before each iteration the grader says who arrives, after it whether to go on."""
    scheduler = learner["StallFreeScheduler"](SchedulerConfig(**payload["config"]))
    reply = ask({"start": True})
    while not reply["stop"]:
        for arrival in reply["arrivals"]:
            prompt = [1] * arrival["num_prompt_tokens"]
            scheduler.add_request(Request(arrival["request_id"], prompt, arrival["max_tokens"]))
        output = scheduler.schedule()
        if not isinstance(output, SchedulerOutput):
            raise TypeError(f"schedule() must return a SchedulerOutput, got {output!r}")
        reply = ask({
            "plan": _pairs(output.num_scheduled_tokens),
            "waiting": [request.request_id for request in scheduler.waiting],
            "running": [request.request_id for request in scheduler.running],
            "num_computed_tokens": [request.num_computed_tokens for request in scheduler.running],
        })
        scheduler.update_from_output(output, dict.fromkeys(output.num_scheduled_tokens, 0))
    return {}


def token_iterations(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The iterations in which tokens come out."""
    iterations = learner["token_iterations"](payload["num_prompt_tokens"], payload["max_tokens"], payload["plans"])
    return {"iterations": [_plain_int(index) for index in iterations]}


def _pairs(plan: Mapping[str, int]) -> list[list]:
    if not isinstance(plan, Mapping):
        raise TypeError(f"a plan is a dict, request id -> number of tokens, got {plan!r}")
    return [[request_id, _plain_int(num_tokens)] for request_id, num_tokens in plan.items()]


def _plain_int(value: Any) -> Any:
    """A Python int for what counts as one (a numpy integer, say); anything else as it is, for the check to refuse."""
    return value.__index__() if hasattr(value, "__index__") else value
