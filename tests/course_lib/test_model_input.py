"""What the model refuses: the message says what was passed and what is allowed, and no cache is touched."""

import re
from dataclasses import replace

import pytest
import torch

from course_lib.kv_cache import CacheFullError, KVCache
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer

CONFIG = ModelConfig(vocab_size=128, hidden_size=64, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2,
                     intermediate_size=96, max_position_embeddings=1024)


@pytest.fixture(scope="module")
def model() -> ToyTransformer:
    return ToyTransformer(CONFIG)


def computed(model: ToyTransformer, token_ids: list[int], room: int = 64) -> KVCache:
    """A cache that holds these tokens, with room for more."""
    cache = model.new_cache(len(token_ids) + room)
    model([SequenceChunk(token_ids, cache)])
    return cache


def lower_right_mask(start: int, end: int) -> torch.Tensor:
    return torch.arange(end)[None, :] <= torch.arange(start, end)[:, None]


BAD_CHUNKS = {
    "above the vocabulary": ([3, 128], ["token id 128", "0..127"]),
    "below the vocabulary": ([-1, 3], ["token id -1", "0..127"]),
    "beyond 64 bits": ([10**30], ["token ids must be integers", "1000000000000000000000000000000"]),
    "empty": ([], ["at least one token id", "(0,)"]),
    "floats": ([1.0, 2.0], ["must be integers", "torch.float32"]),
    "booleans": ([True, False], ["must be integers", "torch.bool"]),
    "text": (["one", "two"], ["token ids must be integers", "'one'"]),
    "none": ([None], ["token ids must be integers", "None"]),
    "two dimensions": ([[1, 2], [3, 4]], ["a list of at least one token id", "(2, 2)"]),
    "ragged": ([[1, 2], [3]], ["token ids must be integers", "[[1, 2], [3]]"]),
    "cache too small": ([1] * 7, ["7 tokens do not fit", "5 of 11"]),
}


@pytest.mark.parametrize("token_ids, facts", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_bad_chunk_is_refused_and_nothing_written(model: ToyTransformer, token_ids: list, facts: list[str]) -> None:
    good, bad = computed(model, [3] * 4), computed(model, [3] * 5, room=6)
    before = [(cache.num_computed_tokens, cache.storage.clone()) for cache in (good, bad)]
    positions, mask = torch.arange(5, 5 + len(token_ids)), lower_right_mask(5, 5 + len(token_ids))
    for attempt in (lambda: model([SequenceChunk([1, 2], good), SequenceChunk(token_ids, bad)]),
                    lambda: model.forward_chunk(token_ids, positions, mask, bad)):
        with pytest.raises(ValueError) as raised:
            attempt()
        for fact in facts:
            assert fact in str(raised.value)
        assert_untouched([good, bad], before)


def assert_untouched(caches: list[KVCache], before: list[tuple[int, torch.Tensor]]) -> None:
    for cache, (num_computed_tokens, storage) in zip(caches, before, strict=True):
        assert cache.num_computed_tokens == num_computed_tokens
        assert torch.equal(cache.storage, storage)


def test_full_cache_has_its_own_error(model: ToyTransformer) -> None:
    cache = computed(model, [1, 2, 3], room=0)
    with pytest.raises(CacheFullError, match=r"1 tokens do not fit.*3 of 3.*new_cache"):
        model([SequenceChunk([4], cache)])


def test_bad_batches_are_refused(model: ToyTransformer) -> None:
    with pytest.raises(ValueError, match="batch is empty.*at least one chunk"):
        model([])
    cache = computed(model, [1, 2, 3])
    before = [(3, cache.storage.clone())]
    with pytest.raises(ValueError, match="twice in one batch.*one chunk"):
        model([SequenceChunk([4], cache), SequenceChunk([5], cache)])
    assert_untouched([cache], before)


def test_a_cache_of_another_shape_is_refused(model: ToyTransformer) -> None:
    other = ToyTransformer(replace(CONFIG, num_key_value_heads=4)).new_cache(8)
    good = model.new_cache(8)
    with pytest.raises(ValueError, match=r"2 layers, 4 KV heads.*2 layers, 2 KV heads.*new_cache"):
        model([SequenceChunk([1], good), SequenceChunk([1], other)])
    assert_untouched([good], [(0, torch.zeros_like(good.storage))])


def test_more_positions_than_the_model_has_are_refused() -> None:
    model = ToyTransformer(replace(CONFIG, max_position_embeddings=16))
    cache = computed(model, [3] * 10)
    before = [(10, cache.storage.clone())]
    with pytest.raises(ValueError, match="reach 17 tokens.*positions for 16"):
        model([SequenceChunk([3] * 7, cache)])
    assert_untouched([cache], before)
    assert model([SequenceChunk([3] * 6, cache)]).isfinite().all()


MASK = lower_right_mask(5, 8)
BAD_FORWARD_CHUNKS = {
    "too few positions": (torch.arange(5, 7), MASK, ["positions must be 3 integers", "(2,)"]),
    "two dimensions": (torch.arange(5, 8)[None], MASK, ["positions must be 3 integers", "(1, 3)"]),
    "float positions": (torch.arange(5.0, 8.0), MASK, ["positions must be 3 integers", "torch.float32"]),
    "bool positions": (torch.ones(3, dtype=torch.bool), MASK, ["positions must be 3 integers", "torch.bool"]),
    "byte positions": (torch.arange(5, 8, dtype=torch.uint8), MASK, ["positions must be 3 integers", "torch.uint8"]),
    "negative position": (torch.arange(-1, 2), MASK, ["0..1023", "-1..1"]),
    "position too large": (torch.arange(1022, 1025), MASK, ["0..1023", "1022..1024"]),
    "mask of floats": (torch.arange(5, 8), MASK.float(), ["mask must be bool", "(3, kv_len)", "torch.float32"]),
    "mask with too many rows": (torch.arange(5, 8), torch.ones(8, 8, dtype=torch.bool), ["(3, kv_len)", "(8, 8)"]),
    "mask of one dimension": (torch.arange(5, 8), MASK[0], ["(3, kv_len)", "(8,)"]),
    "mask longer than the cache": (torch.arange(5, 8), torch.ones(3, 9, dtype=torch.bool), ["kv_len <= 8", "(3, 9)"]),
    "mask of no column": (torch.arange(5, 8), MASK[:, :0], ["1 <= kv_len", "(3, 0)"]),
}


@pytest.mark.parametrize("positions, mask, facts", BAD_FORWARD_CHUNKS.values(), ids=BAD_FORWARD_CHUNKS)
def test_bad_positions_and_masks_are_refused(model: ToyTransformer, positions: torch.Tensor, mask: torch.Tensor,
                                             facts: list[str]) -> None:
    cache = computed(model, [3] * 5)
    before = [(5, cache.storage.clone())]
    with pytest.raises(ValueError) as raised:
        model.forward_chunk([1, 2, 3], positions, mask, cache)
    for fact in facts:
        assert fact in str(raised.value)
    assert_untouched([cache], before)


BAD_CONFIGS = {
    "no layers": ({"num_hidden_layers": 0}, "num_hidden_layers must be at least 1, got 0"),
    "negative vocabulary": ({"vocab_size": -1}, "vocab_size must be at least 1, got -1"),
    "heads do not divide": ({"num_attention_heads": 6}, "hidden_size=64 with num_attention_heads=6"),
    "odd head size": ({"hidden_size": 24}, "hidden_size=24 with num_attention_heads=8"),
    "kv heads do not divide": ({"num_key_value_heads": 3}, "multiple of num_key_value_heads, got 8 and 3"),
}


@pytest.mark.parametrize("changes, message", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_impossible_configs_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(CONFIG, **changes)
