"""Adapters of notebook 05: read the trace, run the learner's function on it, return plain numbers. Believed about
nothing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from course_lib.trace import Trace

Learner = Mapping[str, Any]
Ask = Callable[[dict], dict]


def guess_added_percent(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The prediction."""
    return {"value": learner["guess_added_percent"]}


def zero_idle(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The chosen letter."""
    return {"value": learner["zero_idle"]}


def ttft(learner: Learner, payload: dict, ask: Ask) -> dict:
    """Time to first token of one request of the trace."""
    return {"value": _plain(learner["ttft"](Trace.from_json(payload["trace"]), payload["request_id"]))}


def tbt(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The gaps of one request of the trace."""
    value = learner["tbt"](Trace.from_json(payload["trace"]), payload["request_id"])
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping) and getattr(value, "ndim", 1):
        return {"value": [_plain(gap) for gap in value]}
    return {"value": _plain(value)}


def decoder_idle_time(learner: Learner, payload: dict, ask: Ask) -> dict:
    """Idle seconds of one request of the trace."""
    return {"value": _plain(learner["decoder_idle_time"](Trace.from_json(payload["trace"]), payload["request_id"]))}


def throughput(learner: Learner, payload: dict, ask: Ask) -> dict:
    """Tokens per second of the trace."""
    return {"value": _plain(learner["throughput"](Trace.from_json(payload["trace"])))}


def _plain(value: Any) -> Any:
    """A tensor's, an array's or a Fraction's single number as a Python number; anything else as it is."""
    if hasattr(value, "item"):
        return value.item()
    return float(value) if hasattr(value, "as_integer_ratio") and not isinstance(value, int | float) else value
