"""The layers of the toy transformer: RMSNorm, rotary positions (RoPE), grouped-query attention, SwiGLU.

The architecture is Llama's (Touvron et al. 2023); weights and settings carry Hugging Face's names,
so that a Llama checkpoint loads as it is.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from course_lib.kv_cache import KVCache
from course_lib.packed_linear import PackedLinear
from course_lib.rotary import RopeScaling, rotary_table, rotate
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


@dataclass
class Span:
    """One sequence's rows among the tokens of a batch, and the keys these rows may attend to.

    Three kinds: a decode step (no mask, every key is seen), a whole prompt (`is_causal`), and a chunk with a mask.
    """

    num_rows: int
    cache: KVCache
    num_keys: int
    mask: Tensor | None = None  # (rows, num_keys): bool, True = may attend, or float, added to the scores
    is_causal: bool = False  # a whole prompt from position 0: the kernel makes the mask, and skips half the work

    def store(self, layer: int, new: Tensor) -> tuple[Tensor, Tensor]:
        """Writes the rows' keys and values, (2, kv_heads, rows, head_dim), into the cache. Returns the keys and the
        values that the rows may attend to, each (1, kv_heads, num_keys, head_dim)."""
        keys, values = new.transpose(1, 2)
        self.cache.write(layer, keys, values)
        return self.cache.keys(layer, self.num_keys)[None], self.cache.values(layer, self.num_keys)[None]

    def last_mask(self) -> Tensor | None:
        """The mask of the last row alone."""
        return None if self.mask is None else self.mask[-1:]


@dataclass
class PreparedSpan(Span):
    """A span whose views into the cache are made once for all layers: where decode steps ride along with a chunk,
    making them in every layer would be a good part of their work."""

    def __post_init__(self) -> None:
        self.places = self.cache.places(self.num_rows)

    def store(self, layer: int, new: Tensor) -> tuple[Tensor, Tensor]:
        place, keys, values = self.places[layer]
        place.copy_(new)
        return keys, values

    def last_mask(self) -> None:
        """None: the last row sees every key."""


class RMSNorm(nn.Module):
    """Scales each token to root mean square 1, then by a learned weight (Zhang & Sennrich 2019)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """(num_tokens, size) -> (num_tokens, size)."""
        return nn.functional.rms_norm(hidden, self.weight.shape, self.weight, self.eps)


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
        """(num_tokens, hidden_size) -> the same; with `last_rows`, each span's last row, (num_spans, hidden_size).
        The projections run over all tokens of the batch at once, attention runs sequence by sequence against its own
        cache (Orca's selective batching, Yu et al. 2022)."""
        num_heads, num_kv_heads = self.config.num_attention_heads, self.config.num_key_value_heads
        num_tokens, head_dim = len(hidden), self.config.head_dim
        heads = self.to_qkv(hidden).view(num_tokens, -1, head_dim)  # queries, then keys, then values
        rotate(heads[:, : num_heads + num_kv_heads], cos, sin)
        queries = heads[:, :num_heads].view(num_tokens, num_kv_heads, -1, head_dim)
        keys_and_values = heads[:, num_heads:].view(num_tokens, 2, num_kv_heads, head_dim).permute(1, 2, 0, 3)
        lengths = [span.num_rows for span in spans]
        news = keys_and_values.split_with_sizes(lengths, 2)
        masks = [(span.mask, span.is_causal) for span in spans]
        if last_rows is not None:
            queries, lengths = queries[last_rows], [1] * len(spans)
            masks = [(span.last_mask(), False) for span in spans]
        rows = zip(queries.split_with_sizes(lengths), spans, news, masks, strict=True)
        attended = [self._attend(its_queries, *span.store(layer, new), *mask) for its_queries, span, new, mask in rows]
        return self.to_output(torch.cat(attended).view(len(queries), -1))

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        """queries: (rows, kv_heads, group, head_dim), the result as well: a group of heads shares a key-value head."""
        if mask is None and not is_causal:
            # One row that sees every key, as in a decode step. The heads of a group become the rows of one product.
            return scaled_dot_product_attention(queries, keys, values)
        # Every query head of a group sees the same keys and values, repeated without a copy.
        queries = queries.permute(1, 2, 0, 3)
        keys, values = (one.transpose(0, 1).expand(-1, queries.shape[1], -1, -1) for one in (keys, values))
        attended = scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=is_causal)
        return attended.permute(2, 0, 1, 3)


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
        hidden += self.mlp(self.post_attention_layernorm(hidden))
        return hidden
