"""The layers of the toy transformer: RMSNorm, rotary positions (RoPE), grouped-query attention, SwiGLU.

The architecture is Llama's (Touvron et al. 2023); weights and settings carry Hugging Face's names,
so that a Llama checkpoint loads as it is.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from course_lib.packed_linear import PackedLinear
from course_lib.rotary import RopeScaling, rotary_table, rotate
from course_lib.spans import Span
from course_lib.validate import check_fields

# The rest is the model's own: it checks its input once, before the first layer.
__all__ = ["ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a Llama-like model, in the names of Hugging Face's LlamaConfig."""

    vocab_size: int = 1024
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    num_key_value_heads: int = 2
    intermediate_size: int = 704
    max_position_embeddings: int = 8192
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    tie_word_embeddings: bool = False
    rope_scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.hidden_size % self.num_attention_heads or self.head_dim % 2:
            raise ValueError(f"hidden_size must be num_attention_heads times an even head size, got hidden_size="
                             f"{self.hidden_size} with num_attention_heads={self.num_attention_heads}")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("num_attention_heads must be a multiple of num_key_value_heads, got "
                             f"{self.num_attention_heads} and {self.num_key_value_heads}")

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.hidden_size // self.num_attention_heads

    def rotary_table(self) -> Tensor:
        """cos and sin of every position's angles, (max_position_embeddings, 2, 1, head_dim)."""
        return rotary_table(self.head_dim, self.max_position_embeddings, self.rope_theta, self.rope_scaling)


class RMSNorm(nn.Module):
    """Scales each token to root mean square 1, then by a learned weight (Zhang & Sennrich 2019)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """(num_tokens, size) -> (num_tokens, size)."""
        return rms_norm(hidden, self.weight, self.eps)


def rms_norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Each token, (num_tokens, size), divided by the root of its mean square and `eps`, and multiplied by `weight`."""
    if hidden.is_cuda:
        return nn.functional.rms_norm(hidden, weight.shape, weight, eps)
    # The same in five operations; torch's own takes nine on a CPU, and for a few tokens the number is what counts.
    dtype = torch.promote_types(hidden.dtype, torch.float32)  # sixteen bits would not do for a sum of squares
    length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=dtype)
    factor = torch.addcmul(as_tensor(eps), length, length, value=1 / hidden.shape[-1]).rsqrt_()
    return (hidden * factor).to(hidden.dtype).mul_(weight)


@functools.cache
def as_tensor(number: float) -> Tensor:
    """Of no dimension, on the CPU."""
    return torch.tensor(number)


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023): several query heads share one key-value head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        kv_size = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_size, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.to_qkv = PackedLinear(self.q_proj, self.k_proj, self.v_proj)
        self.to_output = PackedLinear(self.o_proj)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, spans: list[Span], layer: int,
                last_rows: Tensor | None = None) -> Tensor:
        """(num_tokens, hidden_size) -> the same; with `last_rows`, these rows, (num_sequences, hidden_size).
        The projections run over all tokens of the batch at once, attention span by span."""
        num_heads, num_kv_heads = self.config.num_attention_heads, self.config.num_key_value_heads
        num_tokens, head_dim = len(hidden), self.config.head_dim
        heads = self.to_qkv(hidden).view(num_tokens, -1, head_dim)  # queries, then keys, then values
        rotate(heads[:, : num_heads + num_kv_heads], cos, sin)
        queries = heads[:, :num_heads].view(num_tokens, num_kv_heads, -1, head_dim)
        keys_and_values = heads[:, num_heads:].view(num_tokens, 2, num_kv_heads, head_dim).permute(1, 2, 0, 3)
        lengths = [span.num_rows for span in spans]
        news = keys_and_values.split_with_sizes(lengths, 2)
        if only_last := last_rows is not None:
            queries, lengths = queries[last_rows], [span.num_last_rows for span in spans]
        rows = zip(spans, queries.split_with_sizes(lengths), news, strict=True)
        attended = [span.attend(layer, its_queries, new, only_last) for span, its_queries, new in rows]
        return self.to_output((attended[0] if len(spans) == 1 else torch.cat(attended)).reshape(len(queries), -1))


class MLP(nn.Module):
    """SwiGLU feed-forward layer (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.to_gate, self.to_up = PackedLinear(self.gate_proj), PackedLinear(self.up_proj)
        self.to_output = PackedLinear(self.down_proj)

    def forward(self, hidden: Tensor) -> Tensor:
        """(num_tokens, hidden_size) -> the same."""
        return self.to_output(silu(self.to_gate(hidden), inplace=True).mul_(self.to_up(hidden)))


class Layer(nn.Module):
    """One transformer layer: attention, then the feed-forward network, each behind a norm and a residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, spans: list[Span], layer: int,
                last_rows: Tensor | None = None) -> Tensor:
        """(num_tokens, hidden_size), to which attention and feed-forward network are added in place. With `last_rows`
        (the last layer) only these rows go on and are returned; of the others the cache gets keys and values."""
        attended = self.self_attn(self.input_layernorm(hidden), cos, sin, spans, layer, last_rows)
        hidden = attended.add_(hidden if last_rows is None else hidden[last_rows])
        # On a CPU a few rows at a time: what is computed in between then stays in the processor's cache.
        for rows in hidden.split(len(hidden) if hidden.is_cuda else 128):
            rows += self.mlp(self.post_attention_layernorm(rows))
        return hidden
