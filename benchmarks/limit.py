"""The machine's limit for an iteration: the matrix products and the attention that it cannot do without, and no more.

The products and attention calls are those of our engine, as many rows at a time, on tensors that are ready: no norms,
no rotation, nothing written into a cache, no sampling, no checks, no scheduler, and no Python but the loop.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import scaled_dot_product_attention

from course_lib.fast_forward import ROWS_AT_A_TIME
from course_lib.model import ToyTransformer


def limit(model: ToyTransformer, spans: Sequence[tuple[int, int]], repeats: int = 1) -> Callable[[], float]:
    """A function that measures the seconds of one iteration, as the mean of `repeats` in a row.

    `spans`: for each sequence its number of tokens and of keys; either one token, or as many tokens as keys.
    """
    config, weight = model.config, model.lm_head.weight
    group = config.num_attention_heads // config.num_key_value_heads

    def ready(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=weight.device, dtype=weight.dtype)

    num_tokens = sum(rows for rows, _ in spans)
    decodes = Counter(num_keys for rows, num_keys in spans if rows == 1)
    hidden, inner = ready(num_tokens, config.hidden_size), ready(num_tokens, config.intermediate_size)
    block = ROWS_AT_A_TIME if weight.device.type == "cpu" else num_tokens
    hidden_blocks = hidden.split(block)
    layers = []
    prepared, head = model.fast().layers, model.fast().head
    for weights in prepared:
        products = (weights.qkv, weights.attention_output, weights.gate_up, weights.mlp_output)
        is_last = weights is prepared[-1]  # behind its keys and values, only each sequence's last row goes on
        # Each call: sequences, tokens of each, keys of each, whether it is a prompt. Decode steps are joined in one.
        groups = [(1, 1 if is_last else rows, num_keys, not is_last) for rows, num_keys in spans if rows > 1]
        groups += [(count, 1, num_keys, False) for num_keys, count in decodes.items()]
        calls = []
        for count, rows, num_keys, is_prompt in groups:
            keys, values = ready(2, count, config.num_key_value_heads, num_keys, config.head_dim)
            queries = ready(count * rows, config.num_key_value_heads, group, config.head_dim)
            if is_prompt:
                queries = queries.permute(1, 2, 0, 3)
                keys, values = (one.transpose(0, 1).expand(-1, group, -1, -1) for one in (keys, values))
            calls.append((queries, keys, values, is_prompt))
        rows = hidden[:len(spans) if is_last else num_tokens]
        blocks = list(zip(rows.split(block), inner[:len(rows)].split(block), strict=True))
        layers.append((*products, rows, blocks, calls))
    last = hidden[:len(spans)]

    @torch.inference_mode()
    def measure() -> float:
        synchronize(weight.device)
        start = time.perf_counter()
        for _ in range(repeats):
            for qkv, o, gate_up, down, rows, blocks, calls in layers:
                for some in hidden_blocks:
                    torch.mm(some, qkv)
                for queries, keys, values, is_causal in calls:
                    scaled_dot_product_attention(queries, keys, values, is_causal=is_causal)
                torch.mm(rows, o)
                for some, some_inner in blocks:
                    torch.mm(some, gate_up)
                    torch.mm(some_inner, down)
            torch.mm(last, head)
        synchronize(weight.device)
        return (time.perf_counter() - start) / repeats

    return measure


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second in one large matrix product, the fastest of ten."""
    size = 8192 if device.type == "cuda" else 1024
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    return 2 * size**3 / _fastest(lambda: matrix @ matrix, device)


@torch.inference_mode()
def memory_bandwidth(device: torch.device, num_bytes: int = 2**28) -> float:
    """Bytes a second, read and written, when a large tensor is copied; the fastest of ten."""
    source = torch.zeros(num_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2 * num_bytes / _fastest(lambda: target.copy_(source), device)


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(10):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
