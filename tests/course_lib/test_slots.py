"""Decode steps of sequences that share their slots equal what the layers compute for each sequence alone."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.kv_cache import KVCache
from course_lib.model import SequenceChunk, ToyTransformer
from course_lib.slots import JOIN_AFTER, Joiner, are_alike, share_slots
from tests.course_lib.test_fast_forward import EXACT, by_the_layers
from tests.course_lib.test_model import CONFIG, TOLERANCE, computed, make_model, random_ids


@pytest.fixture(scope="module")
def model() -> ToyTransformer:
    return make_model()


def prompts(model: ToyTransformer, lengths: list[int], room: int = 64) -> list[KVCache]:
    """For each length a cache with so many tokens computed."""
    return [computed(model, random_ids(length, seed=place), room) for place, length in enumerate(lengths)]


def decode(model: ToyTransformer, caches: list[KVCache], num_steps: int) -> torch.Tensor:
    """The same tokens for whoever is in the batch: a cache's token follows from its length. Returns the last logits."""
    for _ in range(num_steps):
        logits = model([SequenceChunk([cache.num_computed_tokens % CONFIG.vocab_size], cache) for cache in caches])
    return logits


def assert_equal_alone(model: ToyTransformer, caches: list[KVCache], others: list[KVCache]) -> None:
    """A step more, together and each alone by the layers, gives the same logits and leaves the same in the caches."""
    tokens = [cache.num_computed_tokens % CONFIG.vocab_size for cache in others]
    torch.testing.assert_close(decode(model, caches, 1), by_the_layers(model, tokens, others), **EXACT)
    for cache, other in zip(caches, others, strict=True):
        assert cache.num_computed_tokens == other.num_computed_tokens
        torch.testing.assert_close(cache.storage, other.storage, **EXACT)


def alone(model: ToyTransformer, lengths: list[int], num_steps: int, room: int = 64) -> list[KVCache]:
    """What `decode` leaves in the caches, computed by the layers."""
    caches = prompts(model, lengths, room)
    for _ in range(num_steps):
        by_the_layers(model, [cache.num_computed_tokens % CONFIG.vocab_size for cache in caches], caches)
    return caches


@pytest.mark.parametrize("lengths", [[9, 9, 9], [5, 9, 7], [1, 2, 3, 4, 5, 6, 7, 8]], ids=str)
def test_joined_steps_equal_the_layers(model: ToyTransformer, lengths: list[int]) -> None:
    caches = prompts(model, lengths)
    for num_steps in range(1, JOIN_AFTER + 4):
        before = alone(model, lengths, num_steps - 1)
        assert_equal_alone(model, caches, before)
        assert share_slots(caches) == (num_steps > JOIN_AFTER)


def test_in_one_tensor_attention_is_called_once_a_layer(model: ToyTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    from course_lib import spans

    caches, calls = prompts(model, [5, 6, 7]), []
    attend = spans.scaled_dot_product_attention
    monkeypatch.setattr(spans, "scaled_dot_product_attention", lambda *given: calls.append(1) or attend(*given))
    decode(model, caches, 1)
    assert len(calls) == 3 * CONFIG.num_hidden_layers
    decode(model, caches, JOIN_AFTER)
    calls.clear()
    decode(model, caches, 1)
    assert len(calls) == CONFIG.num_hidden_layers


@pytest.mark.parametrize("batch", [[0, 1], [2, 1, 0], [0, 2, 1], [1], [0, 1, 3], [0, 3, 1, 2], [3]],
                         ids=str)
def test_other_batches_than_the_joined_one(model: ToyTransformer, batch: list[int]) -> None:
    """Some of the sequences, in another order, with one more, or only one more: and then the old batch again."""
    lengths, steps = [5, 6, 7], JOIN_AFTER + 1
    caches, others = prompts(model, lengths), alone(model, lengths, steps)
    decode(model, caches, steps)
    caches.append(computed(model, random_ids(8, seed=3)))
    others.append(computed(model, random_ids(8, seed=3)))
    for _ in range(JOIN_AFTER + 2):
        assert_equal_alone(model, [caches[place] for place in batch], [others[place] for place in batch])
    for _ in range(JOIN_AFTER + 2):
        assert_equal_alone(model, caches[:3], others[:3])


def test_a_chunk_of_a_joined_sequence_and_its_neighbours(model: ToyTransformer) -> None:
    """Decode steps ride along with a prefill chunk, joined, and a joined sequence may compute a chunk again."""
    lengths, steps = [5, 6, 7], JOIN_AFTER + 1
    caches, others = prompts(model, lengths), alone(model, lengths, steps)
    decode(model, caches, steps)
    for cache in (caches[2], model.new_cache(30)):
        twin = copy.deepcopy(cache) if cache.num_computed_tokens == 0 else others[2]
        decoding = [0, 1] if cache is caches[2] else [0, 1, 2]
        batch = [SequenceChunk([3], caches[place]) for place in decoding] + [SequenceChunk(random_ids(11), cache)]
        apart = [SequenceChunk([3], others[place]) for place in decoding] + [SequenceChunk(random_ids(11), twin)]
        torch.testing.assert_close(model(batch), torch.cat([model([chunk]) for chunk in apart]), **TOLERANCE)
    assert_equal_alone(model, caches, others)


def test_mixed_batches_join_their_decode_steps_too(model: ToyTransformer) -> None:
    caches, others = prompts(model, [5, 6]), prompts(model, [5, 6])
    long, whole = model.new_cache(200), model.new_cache(200)
    tokens = random_ids(20 * (JOIN_AFTER + 2))
    for step in range(JOIN_AFTER + 2):
        chunk = tokens[20 * step:20 * step + 20]
        logits = model([*(SequenceChunk([4], cache) for cache in caches), SequenceChunk(chunk, long)])
        torch.testing.assert_close(logits[:2], by_the_layers(model, [4, 4], others), **TOLERANCE)
    assert share_slots(caches) and not share_slots([*caches, long])
    torch.testing.assert_close(logits[2:], model([SequenceChunk(tokens, whole)]), **TOLERANCE)
    torch.testing.assert_close(long.storage, whole.storage, **TOLERANCE)


Steps = list[tuple[list[int], int]]


@settings(deadline=None, max_examples=30)
@given(steps=st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True), st.integers(1, 7)),
                      max_size=6))
def test_any_batches_one_after_another(model: ToyTransformer, steps: Steps) -> None:
    lengths = [3, 4, 5, 6]
    caches, others = prompts(model, lengths), prompts(model, lengths)
    for batch, times in steps:
        for _ in range(times):
            assert_equal_alone(model, [caches[place] for place in batch], [others[place] for place in batch])


@pytest.mark.parametrize(("lengths", "room"), [([100, 3, 3, 3], 64), ([3, 3, 3, 3], [900, 20, 20, 20])],
                         ids=["one much longer", "one with much more room"])
def test_only_sequences_of_like_sizes_share_slots(model: ToyTransformer, lengths: list[int], room) -> None:
    rooms = room if isinstance(room, list) else [room] * len(lengths)
    caches = [computed(model, random_ids(length, seed=place), its_room)
              for place, (length, its_room) in enumerate(zip(lengths, rooms, strict=True))]
    others = copy.deepcopy(caches)
    for _ in range(JOIN_AFTER + 2):
        assert_equal_alone(model, caches, others)
    assert share_slots(caches[:1]) and share_slots(caches[1:])
    shared = caches[1].slots
    for batch in ([1, 2, 3], [0, 1, 2, 3], [1, 2, 3, 0]):  # the others stay together, whoever stands beside them
        assert_equal_alone(model, [caches[place] for place in batch], [others[place] for place in batch])
        assert caches[1].slots is shared
    assert_equal_alone(model, caches[:3], others[:3])
    assert all(share_slots([cache]) for cache in caches[:3])


@pytest.mark.parametrize(("lengths", "rooms", "joins"), [
    ([14, 7, 7], [7, 14, 14], True), ([1, 1, 1], [10, 5, 5], True), ([17, 7, 7], [4, 14, 14], False),
    ([1, 1, 1], [13, 5, 5], False),
], ids=["lengths below one and a half", "rooms below one and a half", "lengths above", "rooms above"])
def test_how_different_sizes_may_be(lengths: list[int], rooms: list[int], joins: bool) -> None:
    caches = []
    for length, room in zip(lengths, rooms, strict=True):
        caches.append(KVCache(1, 1, 2, length + room))
        caches[-1].advance(length)
    assert are_alike(caches) == joins


def test_neighbours_are_grouped_by_size(model: ToyTransformer) -> None:
    """Two short ones, a long one, two short ones: the groups are of neighbours, as rows stand in a batch."""
    lengths = [3, 4, 90, 5, 6]
    caches, others = prompts(model, lengths), prompts(model, lengths)
    for _ in range(JOIN_AFTER + 3):
        assert_equal_alone(model, caches, others)
    assert share_slots(caches[:2]) and share_slots(caches[2:3]) and share_slots(caches[3:])


def test_joining_waits_for_the_same_sequences_in_a_row(model: ToyTransformer) -> None:
    joiner, caches = Joiner(), prompts(model, [3, 3, 3])
    for _ in range(JOIN_AFTER):
        joiner.groups(caches[:2])
        joiner.groups(caches)
    assert not share_slots(caches) and not share_slots(caches[:2])


def test_a_joined_cache_is_written_and_read_as_any_other(model: ToyTransformer) -> None:
    caches = prompts(model, [5, 6])
    decode(model, caches, JOIN_AFTER + 1)
    assert share_slots(caches)
    [first, second] = caches
    assert (first.max_num_tokens, first.storage.shape[3]) == (69, 69)
    assert not first.storage.is_inference()
    before = second.storage.clone()
    new = torch.full((2, CONFIG.num_key_value_heads, CONFIG.head_dim), 7.0)
    first.write(1, new, -new)  # outside inference mode
    first.advance(2)
    assert first.keys(1)[:, -2:].eq(7).all() and first.values(1)[:, -2:].eq(-7).all()
    assert torch.equal(second.storage, before)


COPIES: dict[str, Callable[[list[KVCache]], list[KVCache]]] = {
    "deep copies": copy.deepcopy, "each copied": lambda caches: [copy.copy(cache) for cache in caches],
    "pickled": lambda caches: pickle.loads(pickle.dumps(caches)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_of_joined_caches_are_their_own(model: ToyTransformer, copied) -> None:
    lengths, steps = [5, 6], JOIN_AFTER + 1
    caches, others = prompts(model, lengths), alone(model, lengths, steps)
    decode(model, caches, steps)
    kept = [cache.storage.clone() for cache in caches]
    copies, other_copies = copied(caches), copy.deepcopy(others)
    for _ in range(steps):
        assert_equal_alone(model, copies, other_copies)
    for cache, storage in zip(caches, kept, strict=True):
        assert torch.equal(cache.storage, storage)
    assert_equal_alone(model, caches, others)


def test_a_copy_of_one_holds_nothing_of_the_others(model: ToyTransformer) -> None:
    caches = prompts(model, [5] * 8)
    sizes = [len(pickle.dumps(caches[0]))]
    decode(model, caches, JOIN_AFTER + 1)
    assert share_slots(caches)
    sizes.append(len(pickle.dumps(caches[0])))
    assert sizes[1] < 1.1 * sizes[0]
    assert copy.deepcopy(caches[0]).storage.untyped_storage().nbytes() == caches[0].storage.nbytes


def test_who_decodes_alone_again_leaves_the_shared_memory(model: ToyTransformer) -> None:
    caches = prompts(model, [5, 6, 7])
    decode(model, caches, JOIN_AFTER + 1)
    shared = weakref.ref(caches[0].slots)
    for count, cache in enumerate(caches, start=1):
        decode(model, [cache], 1)
        assert cache.storage.untyped_storage().nbytes() == cache.storage.nbytes
        assert (shared() is None) == (count == 3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float16, 2e-2), (torch.bfloat16, 2e-1)],
                         ids=str)
def test_in_other_number_formats(dtype: torch.dtype, tolerance: float) -> None:
    model, lengths = make_model().to(dtype), [5, 9, 7]
    caches, others = prompts(model, lengths), prompts(model, lengths)
    for _ in range(JOIN_AFTER + 2):
        tokens = [cache.num_computed_tokens for cache in caches]
        logits = decode(model, caches, 1)
        assert logits.dtype == dtype
        torch.testing.assert_close(logits, by_the_layers(model, tokens, others), atol=tolerance, rtol=tolerance)
    assert share_slots(caches)


def test_what_was_taken_back_is_not_seen(model: ToyTransformer) -> None:
    """A sequence set back to its prompt, beside one that goes on."""
    caches, others = prompts(model, [9, 5]), prompts(model, [9, 5])
    decode(model, caches, JOIN_AFTER + 3)
    for cache, other in zip(caches, others, strict=True):
        cache.num_computed_tokens = other.num_computed_tokens
    for _ in range(3):
        tokens = [11, 12]
        got = model([SequenceChunk([token], cache) for token, cache in zip(tokens, caches, strict=True)])
        torch.testing.assert_close(got, by_the_layers(model, tokens, others), **EXACT)
    assert share_slots(caches)


def test_threads_do_not_meet(model: ToyTransformer) -> None:
    """Four threads decode on one model, each its own sequences."""
    lengths = [[3 + thread, 9 + thread] for thread in range(4)]
    expected = [decode(model, prompts(model, its), 40) for its in lengths]
    batches = [prompts(model, its) for its in lengths]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda caches: decode(model, caches, 40), batches))
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted, **EXACT)


def test_memory_goes_with_the_last_of_the_joined(model: ToyTransformer) -> None:
    caches = prompts(model, [5, 6])
    decode(model, caches, JOIN_AFTER + 1)
    kept = weakref.ref(caches[0].slots)
    gc.disable()
    try:
        del caches[0]
        assert kept() is not None
        caches.clear()
        assert kept() is None
    finally:
        gc.enable()


def test_a_model_that_has_joined_caches_can_be_saved_and_copied(model: ToyTransformer) -> None:
    caches, others = prompts(model, [5, 6]), alone(model, [5, 6], JOIN_AFTER + 1)
    decode(model, caches, JOIN_AFTER + 1)
    assert share_slots(caches)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_equal_alone(twin, copy.deepcopy(caches), copy.deepcopy(others))


def test_logits_of_a_step_stay_as_they_are(model: ToyTransformer) -> None:
    """Results of one step lie where no later step writes."""
    caches = prompts(model, [5, 6])
    logits = decode(model, caches, 1)
    kept = logits.clone()
    decode(model, caches, 2 * JOIN_AFTER)
    assert torch.equal(logits, kept)
