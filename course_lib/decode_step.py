"""A batch of decode steps, straight through: one token more for each of several sequences.

A decode step of a small model is some hundred small operations, and calling them takes longer than what they compute.
Here nothing stands between them: weights and sizes are looked up once, no module is called, no mask is needed. The
layers of `layers.py` compute the same and are what tests hold this to; forward hooks on modules are not run.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear, rms_norm, scaled_dot_product_attention, silu

from course_lib.kv_cache import KVCache
from course_lib.rotary import rotate

if TYPE_CHECKING:
    from course_lib.model import ToyTransformer

__all__: list[str] = []  # the model's own


class LayerWeights(NamedTuple):
    """One layer's weights, the projections as PackedLinear has them."""

    input_norm: Tensor
    qkv: Tensor
    attention_output: Tensor
    mlp_norm: Tensor
    gate: Tensor
    up: Tensor
    mlp_output: Tensor


class DecodeStep:
    """The weights of a model, looked up for as long as they stay where they are."""

    def __init__(self, model: "ToyTransformer") -> None:
        self.config = model.config  # not the model: each would keep the other in memory
        self.layers = [
            LayerWeights(layer.input_layernorm.weight, layer.self_attn.to_qkv.weight(),
                         layer.self_attn.to_output.weight(), layer.post_attention_layernorm.weight,
                         layer.mlp.to_gate.weight(), layer.mlp.to_up.weight(), layer.mlp.to_output.weight())
            for layer in model.model.layers
        ]
        self.embedding, self.norm, self.head = (
            model.model.embed_tokens.weight, model.model.norm.weight, model.lm_head.weight)
        # Where a module keeps its weights: `module.weight` would take nn.Module's slow way, thirty times a step.
        self.holders = [module._parameters for module in model.modules() if "weight" in module._parameters]
        self.places = self.current_places()

    def current_places(self) -> list[int]:
        """Where in memory each weight lies now. One that was replaced, or moved, lies elsewhere than before."""
        return [holder["weight"].data_ptr() for holder in self.holders]

    def __call__(self, token_ids: Tensor, cos: Tensor, sin: Tensor, caches: list[KVCache]) -> Tensor:
        """Computes one token for each cache and counts it there. token_ids: (num_sequences,); cos and sin of their
        positions: (num_sequences, 1, head_dim). Returns the next-token logits, (num_sequences, vocab_size)."""
        config, num_sequences = self.config, len(caches)
        num_heads, num_kv_heads = config.num_attention_heads, config.num_key_value_heads
        head_dim, size, eps = config.head_dim, (config.hidden_size,), config.rms_norm_eps
        hidden = embedding(token_ids, self.embedding)
        places = [cache.places(1) for cache in caches]
        for index, weights in enumerate(self.layers):
            normed = rms_norm(hidden, size, weights.input_norm, eps)
            heads = linear(normed, weights.qkv).view(num_sequences, -1, head_dim)  # queries, then keys, then values
            rotate(heads[:, :num_heads + num_kv_heads], cos, sin)
            queries = heads[:, :num_heads].view(num_sequences, 1, num_kv_heads, -1, head_dim)
            news = heads[:, num_heads:].view(num_sequences, 2, num_kv_heads, 1, head_dim)
            attended = []
            for query, new, its_places in zip(queries.unbind(0), news.unbind(0), places, strict=True):
                place, keys, values = its_places[index]
                place.copy_(new)
                attended.append(scaled_dot_product_attention(query, keys, values))
            rows = attended[0] if num_sequences == 1 else torch.cat(attended)
            hidden = linear(rows.view(num_sequences, -1), weights.attention_output).add_(hidden)
            normed = rms_norm(hidden, size, weights.mlp_norm, eps)
            gated = silu(linear(normed, weights.gate), inplace=True).mul_(linear(normed, weights.up))
            hidden += linear(gated, weights.mlp_output)
        for cache in caches:
            cache.advance(1)
        return linear(rms_norm(hidden, size, self.norm, eps), self.head)
