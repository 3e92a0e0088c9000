"""Adapters of notebook 02: build the objects, run the learner's code, return plain data. Believed about nothing."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from course_lib.kv_cache import KVCache
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.recite import RECITING_CONFIG, reciting_model

Learner = Mapping[str, Any]
Ask = Callable[[dict], dict]
MAX_NUM_TOKENS = 256  # of a text for one of the models


def guess_ratio(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The prediction."""
    return {"value": learner["guess_ratio"]}


def what_changes(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The chosen letter."""
    return {"value": learner["what_changes"]}


def split_into_chunks(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The positions of each chunk."""
    chunks = learner["split_into_chunks"](payload["num_tokens"], payload["chunk_size"])
    return {"chunks": [[int(position) for position in chunk] for chunk in chunks]}


def prefill_chunk(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The logits of one chunk behind `start` tokens, and how many tokens the cache counts then."""
    model, cache = _model(payload, ask)
    if payload["model"] == "stand-in":
        cache.advance(payload["start"])
    else:
        model([SequenceChunk(payload["past"], cache)])
    logits = learner["prefill_chunk"](model, payload["token_ids"], payload["start"], cache)
    return {"logits": logits, "held": cache.num_computed_tokens}


def chunked_prefill(learner: Learner, payload: dict, ask: Ask) -> dict:
    """The logits after the prompt, the tokens then in the cache, and those generated greedily from there on."""
    model, cache = _model(payload, ask)
    logits = learner["chunked_prefill"](model, payload["token_ids"], payload["chunk_size"], cache)
    held, tokens = cache.num_computed_tokens, [int(torch.as_tensor(logits).argmax())]
    while len(tokens) < payload.get("num_tokens", 1):
        tokens.append(int(model([SequenceChunk(tokens[-1:], cache)])[0].argmax()))
    return {"logits": logits, "held": held, "tokens": tokens}


class StandInModel:
    """A model whose forward pass is a question to the grader."""

    device = torch.device("cpu")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    def new_cache(self, max_num_tokens: int) -> KVCache:
        """An empty cache."""
        return KVCache(num_layers=1, num_kv_heads=1, head_dim=2, max_num_tokens=max_num_tokens)

    def forward_chunk(self, token_ids: list[int], positions: torch.Tensor, mask: torch.Tensor,
                      cache: KVCache) -> torch.Tensor:
        """Logits from the grader; the cache counts the tokens, as after a real pass."""
        question = {"token_ids": [int(token) for token in token_ids],
                    "positions": torch.as_tensor(positions).tolist(), "mask": torch.as_tensor(mask)}
        logits = self.ask(question)["logits"]
        cache.advance(len(token_ids))
        return logits


@functools.cache
def _reciting_model() -> ToyTransformer:
    """The model that recites, for short texts and without its layers that add nothing: the same tokens, much sooner."""
    return reciting_model(replace(RECITING_CONFIG, num_hidden_layers=2, intermediate_size=64,
                                  max_position_embeddings=MAX_NUM_TOKENS))


@functools.lru_cache(maxsize=1)
def _random_model(config: ModelConfig, seed: int) -> ToyTransformer:
    """Random weights; several calls in a row ask for the same."""
    return ToyTransformer(config, seed)


def _model(payload: dict, ask: Ask) -> tuple[Any, KVCache]:
    """The model that the payload names, and an empty cache for it."""
    if payload["model"] == "stand-in":
        model = StandInModel(ask)
        return model, model.new_cache(512)
    if payload["model"] == "reciting":
        model = _reciting_model()
    else:
        model = _random_model(ModelConfig(**payload["config"]), payload["seed"])
    return model, model.new_cache(MAX_NUM_TOKENS)


WARM_UP = [_reciting_model]  # what the process that forks kernels does beforehand
