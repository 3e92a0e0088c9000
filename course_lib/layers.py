"""The layers of the toy transformer: RMSNorm, rotary positions (RoPE), grouped-query attention, SwiGLU.

The architecture is Llama's (Touvron et al. 2023); weights and settings carry Hugging Face's names,
so that a Llama checkpoint loads as it is.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from course_lib.kv_cache import KVCache
from course_lib.validate import check_fields

# The rest is the model's own: it checks its input once, before the first layer.
__all__ = ["ModelConfig", "RopeScaling"]


@dataclass(frozen=True)
class RopeScaling:
    """How a checkpoint stretches RoPE to sequences longer than it was first trained on.

    Every frequency is divided by `factor` (Hugging Face's type "linear"), or, with `low_freq_factor`, only those whose
    wave does not fit `low_freq_factor` times into `original_max_position_embeddings`; from `high_freq_factor` times on
    a frequency stays, with a gradual passage between ("llama3", of Llama 3.1).
    """

    factor: float
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if len([value for value in vars(self).values() if value is not None]) not in (1, 4):
            raise ValueError(f"RopeScaling takes factor alone, or all of {', '.join(vars(self))}, got {self}")
        if self.low_freq_factor is not None and self.high_freq_factor <= self.low_freq_factor:
            raise ValueError(f"high_freq_factor must be more than low_freq_factor, got {self}")

    def __call__(self, frequencies: Tensor) -> Tensor:
        """Radians a position -> the same, scaled."""
        if self.low_freq_factor is None:
            return frequencies / self.factor
        waves = self.original_max_position_embeddings * frequencies / (2 * math.pi)
        kept = ((waves - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)).clamp(0, 1)
        return frequencies * (kept + (1 - kept) / self.factor)


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


@dataclass(frozen=True)
class Span:
    """One sequence's rows among the tokens of a batch, and the keys these rows may attend to.

    Three kinds: a decode step (no mask, every key is seen), a whole prompt (`is_causal`), and a chunk with a mask.
    """

    rows: slice
    cache: KVCache
    num_keys: int
    mask: Tensor | None  # (rows, num_keys): bool, True = may attend, or float, added to the scores
    is_causal: bool = False  # a whole prompt from position 0: the kernel makes the mask, and skips half the work


class RMSNorm(nn.Module):
    """Scales each token to root mean square 1, then by a learned weight (Zhang & Sennrich 2019)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """(num_tokens, size) -> (num_tokens, size)."""
        return nn.functional.rms_norm(hidden, self.weight.shape, self.weight, self.eps)


def rotary_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin of every position's angles, each (max_position_embeddings, head_dim) (Su et al. 2021, RoPE)."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    frequencies = 1 / config.rope_theta**exponents
    if config.rope_scaling is not None:
        frequencies = config.rope_scaling(frequencies)
    angles = torch.arange(config.max_position_embeddings, dtype=torch.float32)[:, None] * frequencies
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos(), angles.sin()


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns each pair (i, i + head_dim/2) of a head by its token's angle. heads: (num_tokens, heads, head_dim)."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat([-second, first], dim=-1) * sin


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

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, spans: list[Span], layer: int) -> Tensor:
        """(num_tokens, hidden_size) -> the same. The projections run over all tokens of the batch at once,
        attention runs sequence by sequence against its own cache (Orca's selective batching, Yu et al. 2022)."""
        head_dim = self.config.head_dim
        queries = rotate(self.q_proj(hidden).unflatten(-1, (-1, head_dim)), cos, sin)
        keys = rotate(self.k_proj(hidden).unflatten(-1, (-1, head_dim)), cos, sin)
        values = self.v_proj(hidden).unflatten(-1, (-1, head_dim))
        attended = torch.empty_like(queries)
        for span in spans:
            span.cache.write(layer, keys[span.rows], values[span.rows])
            attended[span.rows] = self._attend(queries[span.rows], span, layer)
        return self.o_proj(attended.flatten(-2))

    def _attend(self, queries: Tensor, span: Span, layer: int) -> Tensor:
        """(rows, heads, head_dim) -> the same, over the keys and values in the span's cache."""
        num_kv_heads = self.config.num_key_value_heads
        keys, values = span.cache.keys(layer, span.num_keys), span.cache.values(layer, span.num_keys)
        if span.mask is None and not span.is_causal:
            # A decode step: one query row a head, no mask. The heads of a group become the rows of one product.
            groups = queries.view(num_kv_heads, -1, self.config.head_dim)
            return scaled_dot_product_attention(groups, keys, values).view_as(queries)
        # (kv_heads, group, rows, head_dim): a group's query heads see the same keys, repeated without a copy.
        grouped = queries.transpose(0, 1).unflatten(0, (num_kv_heads, -1))
        group = grouped.shape[1]
        keys = keys.unsqueeze(1).expand(-1, group, -1, -1)
        values = values.unsqueeze(1).expand(-1, group, -1, -1)
        attended = scaled_dot_product_attention(grouped, keys, values, attn_mask=span.mask, is_causal=span.is_causal)
        return attended.flatten(0, 1).transpose(0, 1)


class MLP(nn.Module):
    """SwiGLU feed-forward layer (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(num_tokens, hidden_size) -> the same."""
        return self.down_proj(silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class Layer(nn.Module):
    """One transformer layer: attention, then the feed-forward network, each behind a norm and a residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = MLP(config)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, spans: list[Span], layer: int) -> Tensor:
        """(num_tokens, hidden_size) -> the same."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cos, sin, spans, layer)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))
