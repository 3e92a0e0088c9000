"""Adapters of notebook 01: build the objects, run the learner's code, return plain data. Believed about nothing."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from course_lib.model import ModelConfig, ToyTransformer
from course_lib.own_attention import forward_with

Learner = Mapping[str, Any]
Ask = Callable[[dict], dict]


def guess_speedup(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The prediction."""
    return {"value": learner["guess_speedup"]}


def append_kv(learner: Learner, payload: dict, ask: Ask) -> dict:
    """What each layer holds after some writes."""
    cache = [dict(held) for held in payload["before"]]
    for write in payload["writes"]:
        learner["append_kv"](cache, write["layer"], write["k"], write["v"])
    return {"cache": [{"keys": held["keys"], "values": held["values"]} for held in cache]}


def causal_mask(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The mask of each shape, or the error that it raised."""
    return {"masks": [_mask_or_error(learner["causal_mask"], *shape) for shape in payload["shapes"]]}


def attend(learner: Learner, payload: dict, ask: Ask) -> dict:
    """One call."""
    return {"attended": learner["attend"](payload["q"], payload["k"], payload["v"], payload["mask"])}


def cached_attention(learner: Learner, payload: dict, ask: Ask) -> dict:
    """What each of some iterations returned in each layer, or the logits of a model on the learner's cache."""
    function = learner["cached_attention"]
    if "token_ids" in payload:
        return {"logits": _logits(function, payload)}
    cache = [dict(held) for held in payload["before"]]
    attended = [function(cache, call["layer"], call["q"], call["k"], call["v"]) for call in payload["calls"]]
    return {"attended": attended, "held": [held["keys"].shape[1] for held in cache]}


def build_order(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The steps, if they come as a list of some kind."""
    order = learner["build_order"]
    if order is None or isinstance(order, str | int | float):
        return {"order": None}
    return {"order": [str(step).strip() for step in order]}


def _mask_or_error(function: Callable, q_len: int, kv_len: int) -> dict:
    try:
        return {"mask": function(q_len, kv_len)}
    except NotImplementedError:
        raise
    except Exception as error:  # an error in one shape is an answer; the other shapes count for themselves
        return {"error": type(error).__name__, "message": str(error)}


def _logits(function: Callable, payload: dict) -> torch.Tensor:
    """The last iteration's logits, where a model computes token_ids in pieces of the given lengths."""
    config = ModelConfig(**payload["config"])
    model = ToyTransformer(config, payload["seed"])
    empty = torch.empty(config.num_attention_heads, 0, config.head_dim)
    cache = [{"keys": empty, "values": empty} for _ in range(config.num_hidden_layers)]
    start = 0
    for length in payload["lengths"]:
        token_ids = payload["token_ids"][start:start + length]
        logits = forward_with(lambda layer, q, k, v: function(cache, layer, q, k, v), model, token_ids, start)
        start += length
    return logits
