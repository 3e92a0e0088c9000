"""What the model refuses, in one sentence each, before anything is computed or written into a cache."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.kv_cache import KVCache
from course_lib.layers import ModelConfig
from course_lib.validate import check_type, checked_tensor

INTEGERS = (torch.int32, torch.int64)  # torch reads an index of type uint8 as a mask


def checked_token_ids(token_ids: Sequence[Any], caches: Sequence[Any], config: ModelConfig) -> tuple[Tensor, list[int]]:
    """The token ids of a batch's chunks one after another, (num_tokens,), and how many each chunk has."""
    if not caches:
        raise ValueError("the batch is empty; an iteration needs at least one chunk")
    if len({id(cache) for cache in caches}) < len(caches):
        raise ValueError("a sequence stands twice in one batch; join its tokens into one chunk")
    lengths = [len(chunk) for chunk in token_ids] if all(isinstance(chunk, list) for chunk in token_ids) else [0]
    joined = list(itertools.chain.from_iterable(token_ids)) if all(lengths) else []
    allowed = f"0..{config.vocab_size - 1}"
    if joined and set(map(type, joined)) == {int} and 0 <= min(joined) and max(joined) < config.vocab_size:
        joined = torch.tensor(joined)  # what the engine passes: looked through without a tensor operation a chunk
    else:
        chunks = [_checked_chunk(chunk, f"integers, {allowed}") for chunk in token_ids]
        lengths = [len(chunk) for chunk in chunks]
        joined = torch.cat(chunks)
        for token_id in (joined.min().item(), joined.max().item()):
            if not 0 <= token_id < config.vocab_size:
                raise ValueError(f"token id {token_id} is not in the vocabulary; allowed are {allowed}")
    shape = (config.num_hidden_layers, config.num_key_value_heads, config.head_dim)
    for length, cache in zip(lengths, caches, strict=True):
        _check_cache(length, cache, shape, config.max_position_embeddings)
    return joined, lengths


def _checked_chunk(chunk: Any, allowed: str) -> Tensor:
    token_ids = checked_tensor("token ids", chunk, allowed)
    if token_ids.ndim != 1 or len(token_ids) == 0:
        raise ValueError(f"a chunk must be a list of at least one token id, got shape {tuple(token_ids.shape)}; "
                         "leave a sequence without tokens out of the batch")
    if token_ids.dtype not in INTEGERS:
        raise ValueError(f"token ids must be integers (int32 or int64), got {token_ids.dtype}")
    return token_ids


def _check_cache(length: int, cache: Any, shape: tuple[int, ...], max_position_embeddings: int) -> None:
    """`shape`: how many layers and KV heads the cache must have, and of what size."""
    check_type("a chunk's cache", cache, KVCache, "a KVCache, made with model.new_cache()")
    num_layers, _, num_kv_heads, _, head_dim = cache.storage.shape
    if (num_layers, num_kv_heads, head_dim) != shape:
        raise ValueError(
            f"the cache is made for {num_layers} layers, {num_kv_heads} KV heads of size {head_dim}, the model has "
            f"{shape[0]} layers, {shape[1]} KV heads of size {shape[2]}; make one with model.new_cache()"
        )
    cache.check_room(length)
    end = cache.num_computed_tokens + length
    if end > max_position_embeddings:
        raise ValueError(f"the sequence would reach {end} tokens; the model has positions for "
                         f"{max_position_embeddings} (max_position_embeddings)")


def checked_positions_and_mask(positions: Any, mask: Any, length: int, cache: KVCache, config: ModelConfig,
                               device: torch.device) -> tuple[Tensor, Tensor]:
    """Positions and mask of one chunk as tensors on the device; see ToyTransformer.forward_chunk."""
    end = cache.num_computed_tokens + length
    positions = checked_tensor("positions", positions, f"{length} integers, one a token", device)
    mask = checked_tensor("mask", mask, f"bool of shape ({length}, kv_len)", device)
    if positions.shape != (length,) or positions.dtype not in INTEGERS:
        raise ValueError(f"positions must be {length} integers, one a token, got {positions.dtype} of shape "
                         f"{tuple(positions.shape)}")
    if positions.min() < 0 or positions.max() >= config.max_position_embeddings:
        raise ValueError(f"positions must lie in 0..{config.max_position_embeddings - 1}, got "
                         f"{positions.min().item()}..{positions.max().item()}")
    if mask.dtype != torch.bool or mask.ndim != 2 or mask.shape[0] != length or not 1 <= mask.shape[1] <= end:
        raise ValueError(f"mask must be bool of shape ({length}, kv_len) with 1 <= kv_len <= {end} (the "
                         f"cache holds {cache.num_computed_tokens} tokens, this chunk adds {length}), got "
                         f"{mask.dtype} of shape {tuple(mask.shape)}")
    return positions, mask
