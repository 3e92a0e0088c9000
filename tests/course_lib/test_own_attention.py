"""The transformer with an attention from outside computes what it computes with its own."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.own_attention import forward_with

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]


def causal(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return scaled_dot_product_attention(q, k, v, is_causal=True)


def model(num_key_value_heads: int) -> ToyTransformer:
    config = ModelConfig(vocab_size=32, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=num_key_value_heads, intermediate_size=48)
    return ToyTransformer(config, seed=1)


@pytest.mark.parametrize("num_key_value_heads", [4, 2, 1])
def test_gives_the_models_own_logits(num_key_value_heads: int) -> None:
    transformer = model(num_key_value_heads)
    expected = transformer([SequenceChunk(TOKENS, transformer.new_cache(8))])[0]
    torch.testing.assert_close(forward_with(causal, transformer, TOKENS, start=0), expected, rtol=1e-4, atol=1e-5)


def test_every_layer_asks_once_in_order_and_every_head_is_there() -> None:
    asked = []

    def attention(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        asked.append((layer, q.shape, k.shape, v.shape))
        return q

    forward_with(attention, model(2), TOKENS, start=0)
    assert asked == [(layer, (4, 8, 8), (4, 8, 8), (4, 8, 8)) for layer in range(3)]


def test_start_turns_the_keys_on() -> None:
    seen = {}
    for start in (0, 5):
        def attention(layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, start: int = start):
            seen.setdefault(start, (k, v))
            return q

        forward_with(attention, model(4), TOKENS, start)
    (keys, values), (later_keys, later_values) = seen[0], seen[5]
    assert not torch.allclose(keys, later_keys)
    assert torch.equal(values, later_values)


@pytest.mark.parametrize("answer", [None, torch.zeros(4, 8)])
def test_a_wrong_shape_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match=r"q's shape \(4, 8, 8\), got"):
        forward_with(lambda layer, q, k, v: answer, model(4), TOKENS, start=0)
