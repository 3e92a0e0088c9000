"""Adapters of notebook 06: traces for a row, and runs of a sweep in which the grader is the clock and keeps the log."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from course_lib.engine import Execution
from course_lib.request import Request
from course_lib.scheduler import Scheduler, SchedulerConfig, SchedulerOutput
from course_lib.trace import Trace

Learner = Mapping[str, Any]
Ask = Callable[[dict], dict]


def guess_loss_percent(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The prediction."""
    return {"value": learner["guess_loss_percent"]}


def documents_in_chunks(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The chosen letter."""
    return {"value": learner["documents_in_chunks"]}


def row_of(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The row of one trace."""
    return {"row": _fields(learner["row_of"](payload["budget"], Trace.from_json(payload["trace"])))}


def pick_budget(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The chosen budget."""
    rows = [learner["Row"](**row) for row in payload["rows"]]
    budget = learner["pick_budget"](rows, payload["tbt_slo"])
    return {"budget": budget.__index__() if hasattr(budget, "__index__") else _fields(budget)}


def sweep(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The rows of a sweep over the payload's workload; everything made and executed is told to the grader."""

    def make_requests() -> list[Request]:
        ask({"made": "requests"})
        return [Request(one["request_id"], [1] * one["num_prompt_tokens"], one["max_tokens"], one["arrival_time"])
                for one in payload["requests"]]

    def make_scheduler(budget: int) -> Scheduler:
        number = ask({"made": "scheduler", "budget": budget})["number"]
        return _Scheduler(budget, number, executor)

    executor = _AskingExecutor(ask)
    budgets = iter(payload["budgets"]) if payload["iterator"] else list(payload["budgets"])
    rows = learner["sweep"](make_requests, make_scheduler, budgets, executor)
    return {"rows": [_fields(row) for row in rows]}


class _AskingExecutor:
    """Computes nothing: tells the grader the plan, which answers how long it took."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.scheduler_number = -1

    def execute(self, output: SchedulerOutput, requests: Mapping[str, Request]) -> Execution:
        """A token 0 for every request, and the grader's seconds."""
        plan = [[request_id, num_tokens] for request_id, num_tokens in output.num_scheduled_tokens.items()]
        seconds = self.ask({"scheduler": self.scheduler_number, "plan": plan})["seconds"]
        return Execution(dict.fromkeys(output.num_scheduled_tokens, 0), seconds)

    def release(self, request_id: str) -> None:
        """Nothing is held."""


class _Scheduler(Scheduler):
    """Requests in order of admission share a token budget; signs its plans with its number."""

    def __init__(self, budget: int, number: int, executor: _AskingExecutor) -> None:
        super().__init__(SchedulerConfig(max_num_batched_tokens=budget, max_num_seqs=1))
        self.number, self.executor = number, executor

    def schedule(self) -> SchedulerOutput:
        """What each still has to compute, until the budget is used up; a decode step costs one token."""
        self.executor.scheduler_number = self.number
        while self.waiting:
            self.admit()
        left, plan = self.config.max_num_batched_tokens, {}
        decodes_first = sorted(self.running, key=lambda request: request.num_output_tokens == 0)
        for request in decodes_first:
            num_tokens = min(left, request.num_tokens - request.num_computed_tokens)
            if num_tokens:
                plan[request.request_id] = num_tokens
                left -= num_tokens
        return SchedulerOutput(plan)


def _fields(row: Any) -> Any:
    """A row as a plain dict; anything else as it is, for the grader to refuse."""
    if is_dataclass(row) and not isinstance(row, type):
        row = asdict(row)
    elif hasattr(row, "_asdict"):
        row = row._asdict()
    if isinstance(row, Mapping):
        return {str(name): value.item() if hasattr(value, "item") else value for name, value in row.items()}
    return row
