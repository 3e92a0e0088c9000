"""The toy transformer against Hugging Face's Llama, and against itself in chunks and in mixed batches."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.kv_cache import CacheFullError, KVCache
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer

CONFIG = ModelConfig(vocab_size=128, hidden_size=64, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2,
                     intermediate_size=96, max_position_embeddings=1024, rope_theta=5000.0)
TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


def make_model(config: ModelConfig = CONFIG, seed: int = 0) -> ToyTransformer:
    """Random weights that let mistakes show: norms that differ, and queries large enough that attention is sharp."""
    model = ToyTransformer(config, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.copy_(0.5 + torch.rand(weight.shape, generator=generator))
        if "q_proj" in name:
            weight.mul_(8.0)
    return model


@pytest.fixture(scope="module")
def model() -> ToyTransformer:
    return make_model()


def random_ids(count: int, seed: int = 1, vocab_size: int = CONFIG.vocab_size) -> list[int]:
    return torch.randint(vocab_size, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def hugging_face(model: ToyTransformer) -> torch.nn.Module:
    """Hugging Face's Llama with the same weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**vars(model.config), attn_implementation="eager")
    llama = LlamaForCausalLM(config).eval()
    llama.load_state_dict(model.state_dict())
    return llama


@torch.no_grad()
def hugging_face_logits(llama: torch.nn.Module, token_ids: list[int]) -> torch.Tensor:
    """Logits at every position, (num_tokens, vocab_size)."""
    return llama(torch.tensor([token_ids])).logits[0]


def computed(model: ToyTransformer, token_ids: list[int], room: int = 64) -> KVCache:
    """A cache that holds these tokens, with room for more."""
    cache = model.new_cache(len(token_ids) + room)
    if token_ids:
        model([SequenceChunk(token_ids, cache)])
    return cache


def in_chunks(model: ToyTransformer, token_ids: list[int], ends: list[int]) -> tuple[torch.Tensor, KVCache]:
    """The last logits, and the cache, of a prefill whose chunks end at `ends`."""
    cache = model.new_cache(len(token_ids))
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        logits = model([SequenceChunk(token_ids[start:end], cache)])
    return logits[0], cache


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("num_kv_heads", [8, 4, 2, 1])
def test_logits_equal_hugging_face(num_kv_heads: int, tied: bool) -> None:
    model = make_model(replace(CONFIG, num_key_value_heads=num_kv_heads, tie_word_embeddings=tied))
    token_ids = random_ids(720)
    expected = hugging_face_logits(hugging_face(model), token_ids)
    assert expected.std() > 0.1, "logits this small would be within the tolerance of anything"
    cache = model.new_cache(720)
    done = 0
    for end in (300, 301, 717, 720):
        logits = model([SequenceChunk(token_ids[done:end], cache)])
        torch.testing.assert_close(logits[0], expected[end - 1], **TOLERANCE)
        done = end


def test_greedy_decode_equals_hugging_face(model: ToyTransformer) -> None:
    llama, token_ids = hugging_face(model), random_ids(40)
    cache = computed(model, token_ids[:-1])
    num_wide = 0
    for _ in range(16):
        [logits] = model([SequenceChunk(token_ids[-1:], cache)])
        expected = hugging_face_logits(llama, token_ids)[-1]
        torch.testing.assert_close(logits, expected, **TOLERANCE)
        best, second = expected.topk(2).values
        if best - second > 1e-3:  # closer than that, rounding may decide
            assert logits.argmax() == expected.argmax()
            num_wide += 1
        token_ids.append(int(expected.argmax()))
    assert num_wide >= 10
    assert cache.num_computed_tokens == 39 + 16


@pytest.mark.parametrize("chunk_size", [1, 7, 64, 199, 200, 201])
def test_chunks_equal_one_shot(model: ToyTransformer, chunk_size: int) -> None:
    token_ids = random_ids(200)
    expected, whole = in_chunks(model, token_ids, [200])
    logits, cache = in_chunks(model, token_ids, [*range(chunk_size, 200, chunk_size), 200])
    torch.testing.assert_close(logits, expected, **TOLERANCE)
    torch.testing.assert_close(cache.storage, whole.storage, **TOLERANCE)


@settings(deadline=None, max_examples=25)
@given(ends=st.sets(st.integers(1, 59)))
def test_any_cut_equals_one_shot(model: ToyTransformer, ends: set[int]) -> None:
    token_ids = random_ids(60)
    logits, cache = in_chunks(model, token_ids, [*sorted(ends), 60])
    expected, whole = in_chunks(model, token_ids, [60])
    torch.testing.assert_close(logits, expected, **TOLERANCE)
    torch.testing.assert_close(cache.storage, whole.storage, **TOLERANCE)


def test_mixed_batch_equals_separate_forwards(model: ToyTransformer) -> None:
    # (tokens computed before, tokens of this chunk): middle chunk, whole prompt, decode, one-token prompt, decode, tail
    shapes = [(40, 21), (0, 33), (25, 1), (0, 1), (90, 1), (64, 3)]
    sequences = [(random_ids(past, seed=10 + i), random_ids(new, seed=50 + i)) for i, (past, new) in enumerate(shapes)]
    together = [SequenceChunk(new, computed(model, past)) for past, new in sequences]
    alone = [SequenceChunk(new, computed(model, past)) for past, new in sequences]
    logits = model(together)
    assert logits.shape == (6, CONFIG.vocab_size)
    torch.testing.assert_close(logits, torch.cat([model([chunk]) for chunk in alone]), **TOLERANCE)
    for one, other, (past, new) in zip(together, alone, shapes, strict=True):
        assert one.cache.num_computed_tokens == past + new
        torch.testing.assert_close(one.cache.storage, other.cache.storage, **TOLERANCE)


def test_sequences_do_not_see_each_other(model: ToyTransformer) -> None:
    def logits_beside(neighbour: list[int]) -> torch.Tensor:
        batch = [SequenceChunk(neighbour, model.new_cache(20)), SequenceChunk([1, 2, 3], model.new_cache(20))]
        return model(batch)[1]

    torch.testing.assert_close(logits_beside(random_ids(20, seed=3)), logits_beside(random_ids(20, seed=4)),
                               **TOLERANCE)


def lower_right_mask(start: int, end: int) -> torch.Tensor:
    return torch.arange(end)[None, :] <= torch.arange(start, end)[:, None]


@pytest.mark.parametrize("ends", [[50], [20, 50], [1, 2, 17, 49, 50]])
def test_forward_chunk_with_right_positions_and_mask_equals_forward(model: ToyTransformer, ends: list[int]) -> None:
    token_ids = random_ids(50)
    cache = model.new_cache(50)
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        positions, mask = torch.arange(start, end), lower_right_mask(start, end)
        logits = model.forward_chunk(token_ids[start:end], positions, mask, cache)
    assert logits.shape == (CONFIG.vocab_size,)
    expected, whole = in_chunks(model, token_ids, ends)
    torch.testing.assert_close(logits, expected, **TOLERANCE)
    torch.testing.assert_close(cache.storage, whole.storage, **TOLERANCE)


@pytest.mark.parametrize("mistake", ["positions restart", "square mask", "no causal mask", "cache not seen"])
def test_forward_chunk_believes_positions_and_mask(model: ToyTransformer, mistake: str) -> None:
    """Notebook 02 shows what these mistakes do, so the model must not put them right."""
    token_ids = random_ids(30)
    positions, mask = torch.arange(20, 30), lower_right_mask(20, 30)
    if mistake == "positions restart":
        positions = torch.arange(10)
    elif mistake == "square mask":
        mask = torch.ones(10, 10, dtype=torch.bool).tril()
    elif mistake == "no causal mask":
        mask = torch.ones(10, 30, dtype=torch.bool)
    else:
        mask[:, :20] = False
    cache = computed(model, token_ids[:20])
    logits = model.forward_chunk(token_ids[20:], positions, mask, cache)
    assert cache.num_computed_tokens == 30
    assert (logits - in_chunks(model, token_ids, [20, 30])[0]).abs().max() > 1e-2


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
    good, bad = computed(model, random_ids(4)), computed(model, random_ids(5), room=6)
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
    other = make_model(replace(CONFIG, num_key_value_heads=4)).new_cache(8)
    good = model.new_cache(8)
    with pytest.raises(ValueError, match=r"2 layers, 4 KV heads.*2 layers, 2 KV heads.*new_cache"):
        model([SequenceChunk([1], good), SequenceChunk([1], other)])
    assert_untouched([good], [(0, torch.zeros_like(good.storage))])


def test_more_positions_than_the_model_has_are_refused() -> None:
    model = make_model(replace(CONFIG, max_position_embeddings=16))
    cache = computed(model, random_ids(10))
    before = [(10, cache.storage.clone())]
    with pytest.raises(ValueError, match="reach 17 tokens.*positions for 16"):
        model([SequenceChunk(random_ids(7), cache)])
    assert_untouched([cache], before)
    assert model([SequenceChunk(random_ids(6), cache)]).isfinite().all()


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
    cache = computed(model, random_ids(5))
    before = [(5, cache.storage.clone())]
    with pytest.raises(ValueError) as raised:
        model.forward_chunk([1, 2, 3], positions, mask, cache)
    for fact in facts:
        assert fact in str(raised.value)
    assert_untouched([cache], before)


BAD_CONFIGS = {
    "no layers": ({"num_hidden_layers": 0}, "num_hidden_layers must be positive, got 0"),
    "negative vocabulary": ({"vocab_size": -1}, "vocab_size must be positive, got -1"),
    "heads do not divide": ({"num_attention_heads": 6}, "hidden_size=64 with num_attention_heads=6"),
    "odd head size": ({"hidden_size": 24}, "hidden_size=24 with num_attention_heads=8"),
    "kv heads do not divide": ({"num_key_value_heads": 3}, "multiple of num_key_value_heads, got 8 and 3"),
}


@pytest.mark.parametrize("changes, message", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_impossible_configs_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(CONFIG, **changes)


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second, third = ToyTransformer(CONFIG, 1), ToyTransformer(CONFIG, 1), ToyTransformer(CONFIG, 2)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.lm_head.weight, second.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, third.lm_head.weight)


def test_rope_stays_exact_when_a_half_precision_model_is_widened() -> None:
    """Rotary tables rounded to bfloat16 would stay rounded in float32."""
    token_ids = random_ids(700)
    narrow = ToyTransformer(CONFIG, dtype=torch.bfloat16)
    for layer in narrow.model.layers:
        layer.self_attn.q_proj.weight.mul_(8.0)
    expected = hugging_face_logits(hugging_face(narrow), token_ids)[-1]
    widened = narrow.float()
    torch.testing.assert_close(in_chunks(widened, token_ids, [700])[0], expected, **TOLERANCE)
