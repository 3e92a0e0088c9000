"""Batches computed straight through equal what the layers compute, whatever happened to the weights."""

import copy
import gc
import pickle
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from course_lib.fast_forward import rms_norm
from course_lib.kv_cache import CacheFullError, KVCache
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from tests.course_lib.test_model import CONFIG, computed, make_model, random_ids
from tests.course_lib.test_packed import CHANGES, write

EXACT = {"atol": 1e-5, "rtol": 1e-5}
CONFIGS = {
    "grouped": CONFIG, "one head a group": replace(CONFIG, num_key_value_heads=8),
    "one key-value head": replace(CONFIG, num_key_value_heads=1),
    "tied": replace(CONFIG, tie_word_embeddings=True), "one layer": replace(CONFIG, num_hidden_layers=1),
}


def by_the_layers(model: ToyTransformer, tokens: list[int], caches: list[KVCache]) -> torch.Tensor:
    """The same step by the layers, one sequence after another."""
    rows = []
    for token, cache in zip(tokens, caches, strict=True):
        start = cache.num_computed_tokens
        mask = torch.ones(1, start + 1, dtype=torch.bool)
        rows.append(model.forward_chunk([token], torch.tensor([start]), mask, cache))
    return torch.stack(rows)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_step_equals_the_layers(config: ModelConfig, batch_size: int) -> None:
    model = make_model(config)
    caches = [computed(model, random_ids(7 * number, seed=number)) for number in range(batch_size)]
    others = copy.deepcopy(caches)
    for step in range(3):
        tokens = random_ids(batch_size, seed=50 + step)
        got = model([SequenceChunk([token], cache) for token, cache in zip(tokens, caches, strict=True)])
        torch.testing.assert_close(got, by_the_layers(model, tokens, others), **EXACT)
    for cache, other in zip(caches, others, strict=True):
        assert cache.num_computed_tokens == other.num_computed_tokens
        torch.testing.assert_close(cache.storage, other.storage, **EXACT)


def chunk_by_the_layers(model: ToyTransformer, tokens: list[int], cache: KVCache) -> torch.Tensor:
    """A chunk behind what the cache holds, with a mask and positions made here."""
    start, end = cache.num_computed_tokens, cache.num_computed_tokens + len(tokens)
    mask = torch.ones(end, end, dtype=torch.bool).tril()[start:]
    return model.forward_chunk(tokens, torch.arange(start, end), mask, cache)


Shapes = list[tuple[int, int]]  # of each sequence: tokens in the cache, tokens of the chunk
BATCHES: dict[str, Shapes] = {
    "one prompt": [(0, 9)], "one chunk": [(5, 4)], "more rows than are computed at a time": [(0, 300)],
    "a chunk of more rows than that": [(20, 290)], "prompts": [(0, 3), (0, 130), (0, 1)],
    "decode steps and a chunk": [(5, 1), (7, 1), (20, 140)], "a chunk between decode steps": [(5, 1), (3, 6), (7, 1)],
    "far behind": [(600, 1), (600, 150), (520, 2)], "many sequences": [(place, 1 + place % 2) for place in range(140)],
}


@pytest.mark.parametrize("shapes", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_batch_equals_the_layers(config: ModelConfig, shapes: Shapes) -> None:
    model = make_model(config)
    caches = [computed(model, random_ids(past, seed=place), 2 * new) for place, (past, new) in enumerate(shapes)]
    others = copy.deepcopy(caches)
    for step in range(2):  # the second behind what the first left, in the same memory
        chunks = [random_ids(new, seed=1000 * (step + 1) + place) for place, (_, new) in enumerate(shapes)]
        got = model([SequenceChunk(*pair) for pair in zip(chunks, caches, strict=True)])
        expected = [chunk_by_the_layers(model, *pair) for pair in zip(chunks, others, strict=True)]
        torch.testing.assert_close(got, torch.stack(expected), atol=1e-4, rtol=1e-4)
    for cache, other in zip(caches, others, strict=True):
        assert cache.num_computed_tokens == other.num_computed_tokens
        torch.testing.assert_close(cache.storage, other.storage, atol=1e-4, rtol=1e-4)


def test_no_layer_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    cache = computed(model, random_ids(5))
    monkeypatch.setattr(nn.Module, "__call__", None)
    assert model.forward([SequenceChunk([1], cache)]).shape == (1, CONFIG.vocab_size)


def test_a_model_that_nobody_uses_is_gone_at_once() -> None:
    model = make_model()
    decoded(model)
    kept = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert kept() is None
    finally:
        gc.enable()


WEIGHTS = ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
WEIGHTS += [f"model.layers.1.{name}.weight" for name in (
    "input_layernorm", "post_attention_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
    "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")]


def decoded(model: ToyTransformer) -> torch.Tensor:
    """Logits of a decode step behind tokens that this model computed."""
    return model([SequenceChunk([4], computed(model, [1, 2, 3]))])


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_weight_is_in_the_step(change, name: str) -> None:
    model, fresh = make_model(), make_model()
    before = decoded(model)
    changed = change(model, name)
    got = decoded(changed)
    torch.testing.assert_close(got, decoded(write(fresh, name)), atol=1e-4, rtol=1e-4)
    assert (got - before).abs().max() > 1e-3


def test_a_full_cache_is_refused_before_anything_is_written() -> None:
    model = make_model()
    roomy, full = computed(model, random_ids(5)), computed(model, random_ids(6), room=0)
    before = roomy.storage.clone()
    with pytest.raises(CacheFullError):
        model([SequenceChunk([1], roomy), SequenceChunk([2], full)])
    assert torch.equal(roomy.storage, before) and roomy.num_computed_tokens == 5


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-6), (torch.float16, 2e-3),
                                                  (torch.bfloat16, 2e-2)], ids=str)
@pytest.mark.parametrize("eps", [1e-5, 0.5])
def test_the_norm_equals_torchs(eps: float, dtype: torch.dtype, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(9, 48, generator=generator), torch.rand(48, generator=generator)
    hidden[3], hidden[4], hidden[5] = 0.0, 1e-3 * hidden[4], 1000 * hidden[5]  # squares beyond 16 bits
    hidden, weight = hidden.to(dtype), weight.to(dtype)
    expected = nn.functional.rms_norm(hidden.double(), weight.shape, weight.double(), eps)
    normed = rms_norm(hidden, weight, eps)
    assert normed.dtype == dtype
    torch.testing.assert_close(normed.double(), expected, atol=tolerance, rtol=tolerance)


def new_rotary(model: ToyTransformer) -> None:
    model.rotary = replace(CONFIG, rope_theta=50.0).rotary_table()


def new_head(model: ToyTransformer) -> None:
    model.lm_head = nn.Linear(CONFIG.hidden_size, CONFIG.vocab_size, bias=False).requires_grad_(False)


def new_mlp(model: ToyTransformer) -> None:
    model.model.layers[1].mlp = copy.deepcopy(model.model.layers[0].mlp)


def new_layer(model: ToyTransformer) -> None:
    model.model.layers[0] = copy.deepcopy(model.model.layers[1])


@pytest.mark.parametrize("change", [new_rotary, new_head, new_mlp, new_layer])
def test_a_replaced_module_or_table_is_in_the_batch(change) -> None:
    model = make_model()
    cache = computed(model, random_ids(8))
    before = model([SequenceChunk([3], copy.deepcopy(cache))])[0]
    change(model)
    got = model([SequenceChunk([3], copy.deepcopy(cache))])[0]
    assert (got - before).abs().max() > 1e-3
    torch.testing.assert_close(got, chunk_by_the_layers(model, [3], cache), **EXACT)


def test_memory_does_not_grow_with_the_sizes_that_have_come() -> None:
    model = make_model()
    cache = computed(model, [1], room=200)
    size = len(pickle.dumps(model))
    for num_tokens in (150, 3, 2, 1):
        cache.num_computed_tokens = 1
        model([SequenceChunk([1] * num_tokens, cache)])
    kept = vars(model.fast().of_this_thread)
    assert list(kept) == ["buffers"] and kept["buffers"].num_tokens == 1
    assert len(pickle.dumps(model)) == size
