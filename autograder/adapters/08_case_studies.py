"""Adapters of notebook 08: build workload, clock and promise, run the learner's function, return plain data. Believed
about nothing."""

from collections.abc import Callable, Mapping
from typing import Any

from course_lib.presets import RooflineModel
from course_lib.request import Request

Learner = Mapping[str, Any]
Ask = Callable[[dict], dict]


def guess_budget(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The prediction."""
    return {"value": learner["guess_budget"]}


def new_ridge(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The chosen letter."""
    return {"value": learner["new_ridge"]}


def evaluate(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The figures of one plan on one workload."""
    plan = learner["Recommendation"](*payload["plan"])
    outcome = learner["evaluate"](plan, _workload(payload), RooflineModel(**payload["clock"]))
    return {"plan": _plan(outcome.plan), "throughput": float(outcome.throughput), "p99_tbt": float(outcome.p99_tbt),
            "median_ttft": float(outcome.median_ttft)}


def recommend(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The plan for one workload and promise: on the payload's grid, or on the notebook's own."""
    arguments = [_workload(payload), RooflineModel(**payload["clock"]), learner["SLO"](*payload["slo"])]
    if payload["grid"] is not None:
        arguments.append([learner["Recommendation"](*plan) for plan in payload["grid"]])
    plan = learner["recommend"](*arguments)
    return {"plan": None if plan is None else _plan(plan)}


def _workload(payload: dict) -> Callable[[], list[Request]]:
    """A function that makes the payload's requests anew each time."""
    return lambda: [Request(request_id, [0] * prompt, output, arrival)
                    for request_id, prompt, output, arrival in payload["jobs"]]


def _plan(plan: Any) -> list:
    return [str(plan.policy), int(plan.max_num_batched_tokens), int(plan.long_prefill_token_threshold)]
