"""Where the KV cache writes, what it counts, and what it refuses."""

import pytest
import torch

from course_lib.kv_cache import CacheFullError, KVCache


def make_cache(max_num_tokens: int = 6) -> KVCache:
    return KVCache(num_layers=2, num_kv_heads=3, head_dim=4, max_num_tokens=max_num_tokens)


def numbered(num_tokens: int, first: int = 1) -> torch.Tensor:
    """(num_tokens, 3, 4): every entry of the n-th token is `first` + n."""
    return torch.arange(first, first + num_tokens).float()[:, None, None].expand(-1, 3, 4)


def test_tokens_stand_at_their_positions_layer_by_layer() -> None:
    cache = make_cache()
    for layer in range(2):
        cache.write(layer, numbered(2, 10 * layer + 1), -numbered(2, 10 * layer + 1))
    cache.advance(2)
    for layer in range(2):
        cache.write(layer, numbered(3, 10 * layer + 3), -numbered(3, 10 * layer + 3))
    cache.advance(3)
    for layer in range(2):
        expected = numbered(5, 10 * layer + 1).transpose(0, 1)
        assert torch.equal(cache.keys(layer), expected)
        assert torch.equal(cache.values(layer), -expected)
        assert not cache.storage[layer, :, :, 5:].any()
    assert (cache.num_computed_tokens, cache.num_free_tokens, cache.num_layers) == (5, 1, 2)


def test_a_write_counts_only_after_advance() -> None:
    cache = make_cache()
    cache.write(0, numbered(2), numbered(2))
    assert cache.num_computed_tokens == 0
    assert cache.keys(0).shape == (3, 0, 4)
    assert torch.equal(cache.keys(0, 2), numbered(2).transpose(0, 1))


def test_keys_and_values_are_views() -> None:
    cache = make_cache()
    cache.advance(3)
    cache.keys(1)[:] = 1.0
    cache.values(1, 2)[:] = 2.0
    assert cache.storage[1, 0, :, :3].eq(1).all()
    assert cache.storage[1, 1, :, :2].eq(2).all()
    assert cache.storage.count_nonzero() == (3 + 2) * 3 * 4


def test_writing_past_the_end_changes_nothing() -> None:
    cache = make_cache(max_num_tokens=4)
    cache.write(0, numbered(3), numbered(3))
    cache.advance(3)
    before = cache.storage.clone()
    with pytest.raises(CacheFullError, match=r"2 tokens do not fit.*holds 3 of 4 tokens.*new_cache"):
        cache.write(0, numbered(2), numbered(2))
    with pytest.raises(CacheFullError, match="2 tokens do not fit"):
        cache.advance(2)
    assert torch.equal(cache.storage, before)
    assert cache.num_computed_tokens == 3
    cache.write(0, numbered(1, 4), numbered(1, 4))
    cache.advance(1)
    assert cache.num_free_tokens == 0


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="max_num_tokens must be at least 1, got 0"):
        make_cache(0)
    with pytest.raises(ValueError, match="num_layers must be at least 1, got -1"):
        KVCache(-1, 1, 1, 1)
    with pytest.raises(ValueError, match="num_tokens must be at least 0, got -1"):
        make_cache().advance(-1)
