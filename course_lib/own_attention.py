"""Runs the toy transformer with somebody else's attention and cache, for instance the ones that a learner wrote."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from course_lib.model import ToyTransformer
from course_lib.rotary import rotate
from course_lib.validate import check_int, check_token_ids, check_type

Attention = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@torch.no_grad()
def forward_with(attention: Attention, model: ToyTransformer, token_ids: Sequence[int], start: int) -> Tensor:
    """Computes one chunk of one sequence and returns the next-token logits of its last token, (vocab_size,).

    `attention(layer, q, k, v)` takes the place of the model's own attention and its cache. q, k, v and the result
    have the shape (num_heads, chunk_len, head_dim); where several query heads share a key and value head, k and v
    repeat it for each of them. `start`: position of the chunk's first token in the sequence.
    """
    check_type("attention", attention, Callable, "a function of layer, q, k and v")
    check_type("model", model, ToyTransformer, "a ToyTransformer")
    config = model.config
    check_token_ids("token_ids", token_ids)
    check_int("the number of token_ids", len(token_ids), 1, config.max_position_embeddings)
    check_int("the largest of token_ids", max(token_ids), 0, config.vocab_size - 1)
    check_int("start", start, 0, config.max_position_embeddings - len(token_ids))
    group = config.num_attention_heads // config.num_key_value_heads
    hidden = model.model.embed_tokens(torch.tensor(token_ids, device=model.device))
    positions = torch.arange(start, start + len(token_ids), device=model.device)
    cos, sin = model.rotary_of(positions)
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
        if (attended.dtype, attended.device) != (q.dtype, q.device):
            raise ValueError(f"attention must return a tensor like q, {q.dtype} on {q.device}, got {attended.dtype} on "
                             f"{attended.device}")
        hidden = hidden + projections.o_proj(attended.transpose(0, 1).flatten(-2))
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return linear(model.model.norm(hidden[-1]), model.lm_head.weight)
