"""A chunk's attention in two parts: to the tokens before it, which every row sees, and to its own, causally.

In one call both need a mask over all keys, and reading it costs a CPU more than joining two results. A row's softmax
over all keys is the mean of its softmaxes over either part, weighted by the sums that they were divided by; attention
kernels give the logarithm of that sum (Milakov & Gimelshein 2018; vLLM joins attention states so).
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

__all__: list[str] = []  # the model's own

# For fewer tokens before the chunk, a second call costs more than the mask.
MIN_NUM_PAST = 512


@functools.cache
def kernel() -> Callable[..., tuple[Tensor, Tensor]] | None:
    """The function behind `scaled_dot_product_attention` on a CPU: attention, and the logarithm of each row's sum.
    None where this torch has none of this form; it is no part of torch's public interface."""
    try:
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
        one = torch.zeros(1, 1, 1, 2, device="cpu", dtype=torch.float32)
        attended, log_sum = flash(one, one, one, is_causal=True)
        return flash if attended.shape == one.shape and log_sum.shape == (1, 1, 1) else None
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return None


def pays_in_two_parts(num_past: int, like: Tensor) -> bool:
    """Whether it pays for a chunk that follows `num_past` tokens, on the device of `like`."""
    return num_past >= MIN_NUM_PAST and like.device.type == "cpu" and kernel() is not None


def attend_in_two_parts(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """queries and the result: (num_rows, num_kv_heads, group, head_dim), of the last rows of a sequence; keys and
    values: (1, num_kv_heads, num_keys, head_dim). Equals attention with a causal mask aligned at the lower right."""
    attend = kernel()
    num_rows, _, group, _ = queries.shape
    num_past = keys.shape[2] - num_rows
    queries = queries.permute(1, 2, 0, 3)
    # No mask: the query heads that share keys and values can be rows of one head. (1, num_kv_heads, group * num_rows)
    past, past_log_sum = attend(queries.flatten(1, 2)[None], keys[:, :, :num_past], values[:, :, :num_past])
    # Causal: each has rows of its own. (num_kv_heads, group, num_rows)
    own_keys, own_values = (one[:, :, num_past:].transpose(0, 1).expand(-1, group, -1, -1) for one in (keys, values))
    own, own_log_sum = attend(queries, own_keys, own_values, is_causal=True)
    # e^a / (e^a + e^b) = sigmoid(a - b)
    share_of_past = (past_log_sum.reshape(own_log_sum.shape) - own_log_sum).sigmoid_()
    return own.lerp_(past.reshape(own.shape), share_of_past.unsqueeze(-1).to(own.dtype)).permute(2, 0, 1, 3)
