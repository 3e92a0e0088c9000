"""Runs the toy transformer with somebody else's attention and cache, for instance the ones that a learner wrote."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from course_lib.layers import rotate
from course_lib.model import ToyTransformer

Attention = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@torch.no_grad()
def forward_with(attention: Attention, model: ToyTransformer, token_ids: Sequence[int], start: int) -> Tensor:
    """Computes one chunk of one sequence and returns the next-token logits of its last token, (vocab_size,).

    `attention(layer, q, k, v)` takes the place of the model's own attention and its cache. q, k, v and the result
    have the shape (num_heads, chunk_len, head_dim); where several query heads share a key and value head, k and v
    repeat it for each of them. `start`: position of the chunk's first token in the sequence.
    """
    config = model.config
    group = config.num_attention_heads // config.num_key_value_heads
    hidden = model.model.embed_tokens(torch.tensor(token_ids, device=model.device))
    positions = torch.arange(start, start + len(token_ids), device=model.device)
    cos, sin = model.cos[positions, None].to(hidden.dtype), model.sin[positions, None].to(hidden.dtype)
    for index, layer in enumerate(model.model.layers):
        projections, normed = layer.self_attn, layer.input_layernorm(hidden)
        q, k, v = (projection(normed).unflatten(-1, (-1, config.head_dim))
                   for projection in (projections.q_proj, projections.k_proj, projections.v_proj))
        q, k, v = (heads.transpose(0, 1) for heads in (rotate(q, cos, sin), rotate(k, cos, sin), v))
        k, v = k.repeat_interleave(group, dim=0), v.repeat_interleave(group, dim=0)
        attended = attention(index, q, k, v)
        if not isinstance(attended, Tensor) or attended.shape != q.shape:
            got = tuple(attended.shape) if isinstance(attended, Tensor) else type(attended).__name__
            raise ValueError(f"attention must return a tensor of q's shape {tuple(q.shape)}, got {got}")
        hidden = hidden + projections.o_proj(attended.transpose(0, 1).flatten(-2))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return linear(model.model.norm(hidden[-1]), model.lm_head.weight)
