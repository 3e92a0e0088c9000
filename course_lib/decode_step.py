"""A batch of decode steps, straight through: one token more for each of several sequences.

A decode step of a small model is some hundred small operations, and calling them takes longer than what they compute.
Here nothing stands between them: weights are looked up once, results go where those of the last layer were, and no
module is called. The layers of `layers.py` compute the same and are what tests hold this to; forward hooks on modules
are not run.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear, silu

from course_lib.layers import ModelConfig, rms_norm
from course_lib.spans import DecodeSpan

if TYPE_CHECKING:
    from course_lib.model import ToyTransformer

__all__: list[str] = []  # the model's own


class LayerWeights(NamedTuple):
    """One layer's weights: the norms', and the projections' as PackedLinear has them, (in_features, out_features)."""

    input_norm: Tensor
    qkv: Tensor
    attention_output: Tensor
    mlp_norm: Tensor
    gate: Tensor
    up: Tensor
    mlp_output: Tensor


class Buffers:
    """Memory for what a step of so many sequences computes anew in every layer, and views into it, made once."""

    def __init__(self, config: ModelConfig, num_sequences: int, like: Tensor) -> None:
        num_heads, num_kv_heads, head_dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        heads = like.new_empty(num_sequences, num_heads + 2 * num_kv_heads, head_dim)  # queries, then keys, then values
        self.qkv = heads.flatten(1)
        self.queries_and_keys = heads[:, :num_heads + num_kv_heads]
        self.queries = heads[:, :num_heads].unflatten(1, (num_kv_heads, -1))
        self.news = heads[:, num_heads:].unflatten(1, (2, num_kv_heads)).permute(1, 2, 0, 3)
        self.gate, self.up = like.new_empty(2, num_sequences, config.intermediate_size)
        self.other_of_pair = torch.empty_like(self.queries_and_keys)
        self.halves, self.other_halves = self.queries_and_keys.chunk(2, -1), self.other_of_pair.chunk(2, -1)

    def rotate(self, cos: Tensor, sin: Tensor) -> None:
        """As `rotate` of rotary.py, with memory at hand for the other of each pair."""
        self.other_halves[0].copy_(self.halves[1])
        self.other_halves[1].copy_(self.halves[0])
        self.queries_and_keys.mul_(cos).addcmul_(self.other_of_pair, sin)


class DecodeStep:
    """The weights of a model, looked up for as long as they stay where they are."""

    def __init__(self, model: "ToyTransformer") -> None:
        self.config = model.config  # not the model: each would keep the other in memory
        self.layers = [
            LayerWeights(layer.input_layernorm.weight, layer.self_attn.to_qkv.weight().t(),
                         layer.self_attn.to_output.weight().t(), layer.post_attention_layernorm.weight,
                         layer.mlp.to_gate.weight().t(), layer.mlp.to_up.weight().t(), layer.mlp.to_output.weight().t())
            for layer in model.model.layers
        ]
        self.embedding, self.norm, self.head = (
            model.model.embed_tokens.weight, model.model.norm.weight, model.lm_head.weight)
        self.rotary = model.rotary.to(self.head.dtype)
        # Where a module keeps its weights: `module.weight` would take nn.Module's slow way, thirty times a step.
        self.holders = [module._parameters for module in model.modules() if "weight" in module._parameters]
        self.places = self.current_places()
        self.buffers: dict[int, Buffers] = {}

    def current_places(self) -> list[int]:
        """Where in memory each weight lies now. One that was replaced, or moved, lies elsewhere than before."""
        return [holder["weight"].data_ptr() for holder in self.holders]

    def __call__(self, token_ids: Tensor, positions: Tensor, spans: Sequence[DecodeSpan]) -> Tensor:
        """Computes one token for each sequence and counts it in its cache. token_ids and positions: (num_sequences,).
        Returns the next-token logits, (num_sequences, vocab_size)."""
        num_sequences, eps = len(token_ids), self.config.rms_norm_eps
        if num_sequences not in self.buffers:
            self.buffers[num_sequences] = Buffers(self.config, num_sequences, self.embedding)
        buffers = self.buffers[num_sequences]
        lengths = [span.num_rows for span in spans]
        rows = list(zip(spans, buffers.queries.split_with_sizes(lengths), buffers.news.split_with_sizes(lengths, 2),
                        strict=True))
        cos, sin = self.rotary[positions].unbind(1)
        hidden = embedding(token_ids, self.embedding)
        for index, weights in enumerate(self.layers):
            torch.mm(rms_norm(hidden, weights.input_norm, eps), weights.qkv, out=buffers.qkv)
            buffers.rotate(cos, sin)
            attended = [span.attend(index, queries, new) for span, queries, new in rows]
            attended = attended[0] if len(spans) == 1 else torch.cat(attended)
            hidden.addmm_(attended.reshape(num_sequences, -1), weights.attention_output)
            normed = rms_norm(hidden, weights.mlp_norm, eps)
            torch.mm(normed, weights.gate, out=buffers.gate)
            torch.mm(normed, weights.up, out=buffers.up)
            hidden.addmm_(silu(buffers.gate, inplace=True).mul_(buffers.up), weights.mlp_output)
        for span in spans:
            span.advance()
        return linear(rms_norm(hidden, self.norm, eps), self.head)
