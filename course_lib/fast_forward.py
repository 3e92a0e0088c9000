"""A whole batch, straight through the weights: what `ToyTransformer.forward` runs.

An iteration of a small model is some hundred small operations, and for a few tokens calling them takes longer than what
they compute. Here nothing stands between them: weights are looked up once, results go where those of the layer before
were, no module is called (so forward hooks are not run). The layers of `layers.py` compute the same the plain way, for
one chunk of one sequence, and are what tests hold this to.
"""

import functools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding, silu

from course_lib.layers import ModelConfig
from course_lib.packed_weights import packed
from course_lib.spans import Span

if TYPE_CHECKING:
    from course_lib.model import ToyTransformer

__all__: list[str] = []  # the model's own

# On a CPU so many rows at a time, all but the attention: what is computed in between stays in the processor's cache.
ROWS_AT_A_TIME = 128


class LayerWeights(NamedTuple):
    """One layer's weights: the norms', and the projections', packed, (in_features, out_features)."""

    input_norm: Tensor
    qkv: Tensor
    attention_output: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    mlp_output: Tensor


class FastForward:
    """The weights of a model, for as long as they stay where they are, and memory that each layer uses again."""

    def __init__(self, model: "ToyTransformer") -> None:
        self.config = model.config  # not the model: each would keep the other in memory
        self.layers = [
            LayerWeights(layer.input_layernorm.weight,
                         packed(layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj),
                         packed(layer.self_attn.o_proj), layer.post_attention_layernorm.weight,
                         packed(layer.mlp.gate_proj, layer.mlp.up_proj), packed(layer.mlp.down_proj))
            for layer in model.model.layers
        ]
        self.embedding, self.norm = model.model.embed_tokens.weight, model.model.norm.weight
        is_tied = model.lm_head.weight is self.embedding  # then rows are looked up in it, and have to stay together
        self.head = model.lm_head.weight.t() if is_tied else packed(model.lm_head)
        self.rotary = model.rotary.to(self.head.dtype)
        # Where modules keep modules, weights and the rotary table: `module.weight` would take nn.Module's slow way.
        self.children = [(module._modules, list(module.children())) for module in model.modules() if module._modules]
        self.holders = [(module._parameters, "weight") for module in model.modules() if "weight" in module._parameters]
        self.holders.append((model._buffers, "rotary"))
        self.addresses = self._current_addresses()
        self.of_this_thread = threading.local()  # two threads must not write into the same buffers

    def is_current(self) -> bool:
        """Whether all modules and weights are still those that were looked up."""
        return (all(list(modules.values()) == children for modules, children in self.children)
                and self.addresses == self._current_addresses())

    def _current_addresses(self) -> list[int]:
        """Where in memory each weight lies now. One that was replaced, or moved, lies elsewhere than before."""
        return [holder[name].data_ptr() for holder, name in self.holders]

    def _buffers(self, num_tokens: int) -> "Buffers":
        buffers = getattr(self.of_this_thread, "buffers", None)
        if buffers is None or buffers.num_tokens != num_tokens:
            self.of_this_thread.buffers = buffers = Buffers(self.config, num_tokens, self.embedding)
        return buffers

    def __call__(self, token_ids: Tensor, positions: Tensor, spans: Sequence[Span], lengths: list[int]) -> Tensor:
        """Computes a batch, sequence after sequence, and counts its tokens in the caches. token_ids and positions:
        (num_tokens,). Returns the logits after each sequence's last token, (num_sequences, vocab_size)."""
        num_tokens, eps = len(token_ids), self.config.rms_norm_eps
        buffers = self._buffers(num_tokens)
        hidden = embedding(token_ids, self.embedding)
        cos, sin = self.rotary.index_select(0, positions).unbind(1)
        hidden_rows, cos_rows, sin_rows = (one.split_with_sizes(buffers.sizes) for one in (hidden, cos, sin))
        to_project = list(zip(hidden_rows, buffers.blocks, cos_rows, sin_rows, strict=True))
        to_feed = [(rows, *block.gate_up) for rows, block, _, _ in to_project]
        counts = [span.num_rows for span in spans]
        news = buffers.news.split_with_sizes(counts, 2)
        to_attend = list(zip(spans, buffers.queries.split_with_sizes(counts), news, strict=True))
        only_last = False
        for index, weights in enumerate(self.layers):
            # All rows of the batch together: queries, keys and values.
            for rows, block, its_cos, its_sin in to_project:
                torch.mm(rms_norm(rows, weights.input_norm, eps), weights.qkv, out=block.qkv)
                block.rotate(its_cos, its_sin)
            if index == len(self.layers) - 1 and len(lengths) < num_tokens:
                # Logits are asked for after each sequence's last row, and what the last layer makes of the other rows
                # goes into nobody's logits: all that it computes for these are keys and values.
                only_last, last_rows = True, torch.tensor(lengths, device=hidden.device).cumsum(0) - 1
                hidden = hidden[last_rows]
                to_feed = [(rows, *buffers.gate_up_of(len(rows))) for rows in hidden.split(buffers.max_rows)]
                queries = buffers.queries[last_rows].split_with_sizes([span.num_last_rows for span in spans])
                to_attend = zip(spans, queries, news, strict=True)
            # Each sequence against its own cache (Orca's selective batching, Yu et al. 2022).
            attended = [span.attend(index, queries, new, only_last) for span, queries, new in to_attend]
            attended = attended[0] if len(spans) == 1 else torch.cat(attended)
            hidden.addmm_(attended.reshape(len(hidden), -1), weights.attention_output)
            # All rows together again: the feed-forward network.
            for rows, gate_up, gate, up in to_feed:
                torch.mm(rms_norm(rows, weights.mlp_norm, eps), weights.gate_up, out=gate_up)
                rows.addmm_(silu(gate, inplace=True).mul_(up), weights.mlp_output)
        for span in spans:
            span.advance()
        return torch.mm(rms_norm(hidden, self.norm, eps), self.head)


class Buffers:
    """Memory for what an iteration of `num_tokens` tokens computes anew in every layer."""

    def __init__(self, config: ModelConfig, num_tokens: int, like: Tensor) -> None:
        self.num_tokens = num_tokens
        num_heads, num_kv_heads, head_dim = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        heads = like.new_empty(num_tokens, num_heads + 2 * num_kv_heads, head_dim)  # queries, then keys, then values
        self.queries = heads[:, :num_heads].unflatten(1, (num_kv_heads, -1))
        self.news = heads[:, num_heads:].unflatten(1, (2, num_kv_heads)).permute(1, 2, 0, 3)  # keys and values
        self.max_rows = min(num_tokens, ROWS_AT_A_TIME) if like.device.type == "cpu" else num_tokens
        self.gate_up = like.new_empty(self.max_rows, 2 * config.intermediate_size)
        others = like.new_empty(self.max_rows, num_heads + num_kv_heads, head_dim)
        self.blocks = [Block(rows, others[:len(rows)], self.gate_up_of(len(rows)))
                       for rows in heads.split(self.max_rows)]
        self.sizes = [len(block.qkv) for block in self.blocks]

    def gate_up_of(self, num_rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """The product's place for some rows, (num_rows, 2 * intermediate_size), and its two halves."""
        gate_up = self.gate_up[:num_rows]
        return gate_up, *gate_up.chunk(2, 1)


class Block:
    """Memory for some of the rows."""

    def __init__(self, heads: Tensor, others: Tensor, gate_up: tuple[Tensor, Tensor, Tensor]) -> None:
        """heads: (num_rows, heads, head_dim); others: (num_rows, the first of these heads that are rotated, head_dim);
        gate_up: as Buffers.gate_up_of."""
        self.qkv, self.rotated, self.others = heads.flatten(1), heads[:, :others.shape[1]], others
        self.halves, self.other_halves = self.rotated.chunk(2, -1), others.chunk(2, -1)
        self.gate_up = gate_up

    def rotate(self, cos: Tensor, sin: Tensor) -> None:
        """As `rotate` of rotary.py, with memory at hand for the other of each pair."""
        self.other_halves[0].copy_(self.halves[1])
        self.other_halves[1].copy_(self.halves[0])
        self.rotated.mul_(cos).addcmul_(self.others, sin)


def rms_norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """As torch's `rms_norm`, in five operations; torch's own takes nine on a CPU. hidden: (num_tokens, size)."""
    if hidden.device.type != "cpu":
        return torch.nn.functional.rms_norm(hidden, weight.shape, weight, eps)
    dtype = None if hidden.dtype.itemsize > 2 else torch.float32  # sixteen bits would not do for a sum of squares
    norm = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=dtype)
    factor = torch.addcmul(as_tensor(eps), norm, norm, value=1 / hidden.shape[-1]).rsqrt_()
    return (hidden * factor).to(hidden.dtype).mul_(weight)


@functools.cache
def as_tensor(number: float) -> Tensor:
    """The same on every call: making a tensor takes longer than an operation."""
    return torch.tensor(number, dtype=torch.float32, device="cpu")
