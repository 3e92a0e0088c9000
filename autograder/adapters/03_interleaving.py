"""Adapters of notebook 03: run the learner's code, return plain data. Believed about nothing."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

Learner = Mapping[str, Any]
Ask = Callable[[dict], dict]


def guess_price(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The prediction."""
    return {"value": learner["guess_price"]}


def main_advantage(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The chosen letter."""
    return {"value": learner["main_advantage"]}


def one_unit_each(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The chosen letter."""
    return {"value": learner["one_unit_each"]}


def order_two(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The order of four units."""
    return {"order": _plain(learner["order_two"])}


def order_three(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The order of six units."""
    return {"order": _plain(learner["order_three"])}


def order_hybrid(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The order with several units an iteration."""
    return {"order": _plain(learner["order_hybrid"])}


def decode_gaps(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The gaps of one order."""
    return {"gaps": _plain(learner["decode_gaps"](payload["order"]))}


def interleave(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The interleaved order, and the two lists as they are after the call."""
    chunks, decodes = payload["chunks"], payload["decodes"]
    order = _plain(learner["interleave"](chunks, decodes))
    return {"order": order, "chunks": chunks, "decodes": decodes}


def _plain(value: Any) -> Any:
    """Lists in place of tuples, sets, arrays and iterators; anything else as it is."""
    if isinstance(value, AbstractSet):
        return sorted(map(str, value))
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        return value
    return [_plain(item) for item in value]
