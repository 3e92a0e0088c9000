"""The toy transformer against Hugging Face's Llama, and against itself in chunks and in mixed batches."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.kv_cache import KVCache
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
