"""The layers of the toy transformer: RMSNorm, rotary positions (RoPE), grouped-query attention, SwiGLU.

They compute one chunk of one sequence, the plain way; `fast_forward.py` computes whole batches with the same weights.
The architecture is Llama's (Touvron et al. 2023); weights and settings carry Hugging Face's names,
so that a Llama checkpoint loads as it is.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from course_lib.kv_cache import KVCache
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

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, cache: KVCache, layer: int) -> Tensor:
        """(num_tokens, hidden_size) -> the same. Writes the tokens' keys and values into the cache, then attends to
        those of its first positions: `mask`, (num_tokens, num_keys), says which, True = may attend."""
        queries, keys, values = (projection(hidden).unflatten(-1, (-1, self.config.head_dim))
                                 for projection in (self.q_proj, self.k_proj, self.v_proj))
        cache.write(layer, rotate(keys, cos, sin), values)
        num_keys, group = mask.shape[1], self.config.num_attention_heads // self.config.num_key_value_heads
        keys, values = (heads.repeat_interleave(group, dim=0)  # for each query head those that its group shares
                        for heads in (cache.keys(layer, num_keys), cache.values(layer, num_keys)))
        queries = rotate(queries, cos, sin).transpose(0, 1)  # now all are (num_attention_heads, tokens, head_dim)
        attended = scaled_dot_product_attention(queries[None], keys[None], values[None], attn_mask=mask)[0]
        return self.o_proj(attended.transpose(0, 1).flatten(1))


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

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, cache: KVCache, layer: int) -> Tensor:
        """One chunk of one sequence: (num_tokens, hidden_size) -> the same."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cos, sin, mask, cache, layer)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))
