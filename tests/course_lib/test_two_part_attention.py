"""A chunk's attention in two parts against the plain one, and what happens where torch lacks the kernel."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import two_part_attention
from course_lib.model import SequenceChunk, ToyTransformer
from course_lib.two_part_attention import MIN_NUM_PAST, attend_in_two_parts, kernel
from tests.course_lib.test_model import CONFIG, TOLERANCE, in_chunks, make_model, random_ids


def by_hand(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """One softmax over all keys, row by row, in double precision."""
    rows, num_keys = len(queries), keys.shape[2]
    scores = torch.einsum("rhgd,hkd->rhgk", queries.double(), keys[0].double()) / queries.shape[-1] ** 0.5
    is_later = torch.arange(num_keys) > torch.arange(num_keys - rows, num_keys)[:, None]
    weights = scores.masked_fill(is_later[:, None, None], float("-inf")).softmax(-1)
    return torch.einsum("rhgk,hkd->rhgd", weights, values[0].double())


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 70), past=st.integers(1, 600), kv_heads=st.integers(1, 3), group=st.integers(1, 4),
       scale=st.sampled_from([1.0, 10.0]), seed=st.integers(0, 9))
def test_equals_one_softmax_over_all_keys(rows: int, past: int, kv_heads: int, group: int, scale: float,
                                          seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    queries = scale * torch.randn(rows, kv_heads, group, 16, generator=generator)
    keys, values = torch.randn(2, 1, kv_heads, rows + past, 16, generator=generator)
    torch.testing.assert_close(attend_in_two_parts(queries, keys, values).double(), by_hand(queries, keys, values),
                               atol=2e-5, rtol=0.0)


@pytest.mark.parametrize(("dtype", "tolerance"),
                         [(torch.float64, 1e-12), (torch.bfloat16, 2e-2), (torch.float16, 4e-3)],
                         ids=str)
def test_in_other_number_formats(dtype: torch.dtype, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (torch.randn(*shape, generator=generator)
                             for shape in ((9, 2, 4, 16), (1, 2, 80, 16), (1, 2, 80, 16)))
    queries, keys, values = (one.to(dtype) for one in (queries, keys, values))
    attended = attend_in_two_parts(queries, keys, values)
    assert attended.dtype == dtype and attended.shape == queries.shape
    torch.testing.assert_close(attended.double(), by_hand(queries, keys, values), atol=tolerance, rtol=0.0)


@pytest.fixture(scope="module")
def model() -> ToyTransformer:
    return make_model()


@pytest.mark.parametrize("past", [MIN_NUM_PAST - 1, MIN_NUM_PAST, MIN_NUM_PAST + 100])
def test_the_model_uses_it_behind_many_tokens(model: ToyTransformer, past: int,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """And with it, without it, and in one shot the logits are the same."""
    from course_lib import spans

    calls = []
    monkeypatch.setattr(spans, "attend_in_two_parts", lambda *given: calls.append(1) or attend_in_two_parts(*given))
    token_ids = random_ids(past + 50)
    logits, cache = in_chunks(model, token_ids, [past, past + 50])
    assert len(calls) == (CONFIG.num_hidden_layers - 1 if past >= MIN_NUM_PAST else 0)  # the last layer has one row
    whole, whole_cache = in_chunks(model, token_ids, [past + 50])
    monkeypatch.setattr(two_part_attention, "kernel", lambda: None)
    calls.clear()
    masked, _ = in_chunks(model, token_ids, [past, past + 50])
    assert not calls
    torch.testing.assert_close(logits, whole, **TOLERANCE)
    torch.testing.assert_close(logits, masked, **TOLERANCE)
    torch.testing.assert_close(cache.storage, whole_cache.storage, **TOLERANCE)


def refusing(*given: object, **options: object) -> None:
    raise RuntimeError("not on this machine")


def of_another_form(*given: object, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(1, 1, 1, 2), torch.zeros(1, 1)


class NoOperators:
    """As torch's namespace of operators when it lacks one."""


@pytest.mark.parametrize("operators", [
    NoOperators, SimpleNamespace(_scaled_dot_product_flash_attention_for_cpu=SimpleNamespace(default=refusing)),
    SimpleNamespace(_scaled_dot_product_flash_attention_for_cpu=SimpleNamespace(default=of_another_form)),
], ids=["gone", "refusing", "of another form"])
def test_a_torch_without_the_kernel(operators: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_part_attention.torch, "ops", SimpleNamespace(aten=operators))
    kernel.cache_clear()
    try:
        assert kernel() is None
        model = make_model()
        token_ids = random_ids(MIN_NUM_PAST + 20)
        logits, _ = in_chunks(model, token_ids, [MIN_NUM_PAST, len(token_ids)])
        torch.testing.assert_close(logits, in_chunks(model, token_ids, [len(token_ids)])[0], **TOLERANCE)
    finally:
        kernel.cache_clear()


def test_fast_forwards_ride_along(model: ToyTransformer) -> None:
    token_ids, other = random_ids(MIN_NUM_PAST + 40), random_ids(9, seed=2)
    long, short = model.new_cache(len(token_ids)), model.new_cache(10)
    model([SequenceChunk(token_ids[:MIN_NUM_PAST], long), SequenceChunk(other, short)])
    both = model([SequenceChunk([5], short), SequenceChunk(token_ids[MIN_NUM_PAST:], long)])
    expected = [in_chunks(model, [*other, 5], [10])[0], in_chunks(model, token_ids, [len(token_ids)])[0]]
    torch.testing.assert_close(both, torch.stack(expected), **TOLERANCE)
