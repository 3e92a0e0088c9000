"""The reciting weights recite, in Hugging Face's implementation and in ours, unless a chunk is computed wrong."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from course_lib.documents import DOCUMENTS, encode, long_document, prompt_for
from course_lib.kv_cache import KVCache
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.recite import RECITING_CONFIG, reciting_model, reciting_weights, word_codes

CHUNK_SIZE = 32


@pytest.fixture(scope="module")
def model() -> ToyTransformer:
    return reciting_model()


@pytest.fixture(scope="module")
def hugging_face_model() -> LlamaForCausalLM:
    settings = asdict(RECITING_CONFIG)
    rope = {"rope_type": "default", "rope_theta": settings.pop("rope_theta")}
    config = LlamaConfig(**settings, rope_parameters=rope, bos_token_id=None, eos_token_id=None)
    reference = LlamaForCausalLM(config).eval()
    reference.load_state_dict(reciting_weights())
    return reference


def recite(model: ToyTransformer, prompt: list[int], num_tokens: int) -> tuple[list[int], float]:
    """The greedy continuation, and the smallest lead of a best logit over the second best."""
    cache, chunk = model.new_cache(len(prompt) + num_tokens), prompt
    output, margins = [], []
    for _ in range(num_tokens):
        values, token_ids = model([SequenceChunk(chunk, cache)])[0].topk(2)
        margins.append((values[0] - values[1]).item())
        chunk = [token_ids[0].item()]
        output += chunk
    return output, min(margins)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_recites_every_document_twice_with_a_wide_margin(model: ToyTransformer, name: str):
    document = encode(DOCUMENTS[name])
    output, margin = recite(model, prompt_for(document), 2 * len(document))
    assert output == (3 * document)[2 : 2 * len(document) + 2]
    assert margin > 80


@pytest.mark.parametrize("name", DOCUMENTS)
def test_recites_every_document_in_transformers(hugging_face_model: LlamaForCausalLM, name: str):
    document = encode(DOCUMENTS[name])
    prompt = prompt_for(document)
    output = hugging_face_model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)),
                                         max_new_tokens=len(document) - 2, do_sample=False)
    assert output[0, len(prompt) :].tolist() == document[2:]


@pytest.mark.parametrize("start", [0, 1, 1999, 3900])
def test_recites_4000_tokens_from_any_place(model: ToyTransformer, start: int):
    document = long_document(4000, seed=start)
    output, margin = recite(model, document + document[start : start + 2], 60)
    assert output == (2 * document)[start + 2 : start + 62]
    assert margin > 80


def test_another_seed_recites_too():
    document = long_document(500)
    output, margin = recite(reciting_model(seed=7), prompt_for(document), 498)
    assert output == document[2:]
    assert margin > 10


def test_weights_are_the_same_for_the_same_seed_only():
    first, second, other = reciting_weights(), reciting_weights(), reciting_weights(seed=1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert {weight.dtype for weight in first.values()} == {torch.float32}


def test_attention_is_so_sharp_that_the_copied_code_is_exact(model: ToyTransformer):
    prompt = prompt_for(DOCUMENTS["kitchen"])
    logits = model([SequenceChunk(prompt, model.new_cache(len(prompt)))])[0]
    torch.testing.assert_close(logits, 5 * word_codes(RECITING_CONFIG) @ word_codes(RECITING_CONFIG)[prompt[2]],
                               rtol=0, atol=1e-2)


def test_codes_overlap_as_little_as_the_comment_on_the_margin_says():
    overlaps = word_codes(RECITING_CONFIG) @ word_codes(RECITING_CONFIG).T
    assert set(overlaps.diagonal().tolist()) == {51.0}
    assert overlaps.fill_diagonal_(-51).max() == 33


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 1}, "num_hidden_layers must be at least 2, got 1"),
        ({"num_key_value_heads": 2}, "must be at least 3, got 4 / 2"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings must be False"),
        ({"vocab_size": 20_000}, "vocab_size must be at most 16384, got 20000"),
        ({"rope_theta": 1e4}, "vocab_size must be at most 1, got 1024; a larger rope_theta"),
    ],
)
def test_a_config_without_room_is_refused(changes: dict[str, int | float | bool], message: str):
    with pytest.raises(ValueError, match=message):
        reciting_weights(replace(RECITING_CONFIG, **changes))


@pytest.mark.parametrize("num_attention_heads", [8, 4])  # head sizes 64 and 128
def test_a_larger_config_recites_too(num_attention_heads: int):
    config = ModelConfig(vocab_size=4096, hidden_size=512, num_hidden_layers=2,
                         num_attention_heads=num_attention_heads, num_key_value_heads=num_attention_heads // 4,
                         intermediate_size=128, max_position_embeddings=4096, rope_theta=1e9)
    document = long_document(300, vocab_size=4096)
    output, margin = recite(reciting_model(config), prompt_for(document), 298)
    assert output == document[2:]
    assert margin > 10


class LateCache(KVCache):
    """Writes one position too late."""

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        start = self.num_computed_tokens + 1
        for part, new in enumerate((keys, values)):
            self.storage[layer, part, :, start : start + len(new)] = new.transpose(0, 1)


class OverwritingCache(KVCache):
    """Writes every chunk to the beginning."""

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        for part, new in enumerate((keys, values)):
            self.storage[layer, part, :, : len(new)] = new.transpose(0, 1)


def right_positions(start: int, length: int) -> Tensor:
    return torch.arange(start, start + length)


def right_mask(start: int, length: int) -> Tensor:
    return torch.ones(length, start + length, dtype=torch.bool).tril(start)


def without_the_diagonal(start: int, length: int) -> Tensor:
    return right_mask(start, length).tril(max(start - 1, 0))  # the very first token has to see something


def without_earlier_chunks(start: int, length: int) -> Tensor:
    mask = right_mask(start, length)
    mask[:, :start] = False
    return mask


@dataclass(frozen=True)
class Prefill:
    """A way to prefill in chunks; the defaults are right."""

    positions: Callable[[int, int], Tensor] = right_positions
    mask: Callable[[int, int], Tensor] = right_mask
    cache: type[KVCache] = KVCache
    drops_tail: bool = False

    def recite(self, model: ToyTransformer, prompt: list[int], num_tokens: int) -> list[int]:
        """Chunks of CHUNK_SIZE tokens, then greedy decoding, which is right."""
        config = model.config
        cache = self.cache(config.num_hidden_layers, config.num_key_value_heads, config.head_dim,
                           max_num_tokens=len(prompt) + num_tokens + 1)
        end = len(prompt) // CHUNK_SIZE * CHUNK_SIZE if self.drops_tail else len(prompt)
        for start in range(0, end, CHUNK_SIZE):
            chunk = prompt[start : min(start + CHUNK_SIZE, end)]
            positions, mask = self.positions(start, len(chunk)), self.mask(start, len(chunk))
            logits = model.forward_chunk(chunk, positions, mask, cache)
        output = [logits.argmax().item()]
        while len(output) < num_tokens:
            start = cache.num_computed_tokens
            logits = model.forward_chunk(output[-1:], right_positions(start, 1), right_mask(start, 1), cache)
            output.append(logits.argmax().item())
        return output


FAULTS = {
    "positions restart in each chunk": Prefill(positions=lambda start, length: torch.arange(length)),
    "square mask over the first keys": Prefill(mask=lambda start, length: right_mask(0, length)),
    "mask aligned top left": Prefill(mask=lambda start, length: right_mask(start, length).tril(0)),
    "no causal mask inside a chunk": Prefill(mask=lambda start, length: torch.ones_like(right_mask(start, length))),
    "a token does not see itself": Prefill(mask=without_the_diagonal),
    "a chunk sees itself only": Prefill(mask=without_earlier_chunks),
    "tail dropped": Prefill(drops_tail=True),
    "cache written one too late": Prefill(cache=LateCache),
    "cache overwritten by each chunk": Prefill(cache=OverwritingCache),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_recites_in_chunks(model: ToyTransformer, name: str):
    document = encode(DOCUMENTS[name])
    assert Prefill().recite(model, prompt_for(document), 40) == document[2:42]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_recitation_collapses_at_once(model: ToyTransformer, name: str, fault: str):
    document = encode(DOCUMENTS[name])
    output = FAULTS[fault].recite(model, prompt_for(document), 40)
    places_right = sum(got == expected for got, expected in zip(output, document[2:42], strict=True))
    assert places_right <= 4
