"""The rows of an iteration's tokens, sequence by sequence: where their keys and values go, and what they attend to.

All else in a layer runs over all rows at once; attention runs span by span, each against its own cache (Orca's
selective batching, Yu et al. 2022). In all shapes `group` is the number of query heads that share a key-value head.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from course_lib.kv_cache import KVCache
from course_lib.slots import Slots
from course_lib.two_part_attention import attend_in_two_parts, pays_in_two_parts

__all__: list[str] = []  # the model's own


class ChunkSpan:
    """A prefill chunk of one sequence. The views into its cache are made once for all layers."""

    num_last_rows = 1  # one a sequence: the rows after which logits are asked for

    def __init__(self, num_rows: int, cache: KVCache) -> None:
        self.num_rows, self.cache = num_rows, cache
        self.views = cache.views(num_rows)
        num_past = cache.num_computed_tokens
        self.is_causal = num_past == 0  # a whole prompt: the kernel makes the mask, and skips half the work
        self.in_two_parts = pays_in_two_parts(num_past, cache.storage)
        needs_mask = not (self.is_causal or self.in_two_parts)
        self.mask = chunk_mask(num_rows, num_past, cache.storage) if needs_mask else None

    def attend(self, layer: int, queries: Tensor, new: Tensor, only_last: bool) -> Tensor:
        """Writes the rows' keys and values, `new`, (2, num_kv_heads, num_rows, head_dim), into the cache and attends.
        queries and the result: (num_rows, num_kv_heads, group, head_dim), or with `only_last` those of the last row."""
        place, keys, values = self.views[layer]
        place.copy_(new)
        if only_last:  # it sees every key
            return scaled_dot_product_attention(queries, keys, values)
        if self.in_two_parts:
            return attend_in_two_parts(queries, keys, values)
        # Every query head of a group sees the same keys and values, repeated without a copy.
        queries = queries.permute(1, 2, 0, 3)
        keys, values = (one.transpose(0, 1).expand(-1, queries.shape[1], -1, -1) for one in (keys, values))
        attended = scaled_dot_product_attention(queries, keys, values, self.mask, is_causal=self.is_causal)
        return attended.permute(2, 0, 1, 3)

    def advance(self) -> None:
        """Counts the rows as computed."""
        self.cache.advance(self.num_rows)


class DecodeSpan:
    """Decode steps of sequences that share their slots, or of one sequence: one row each."""

    def __init__(self, caches: list[KVCache], slots: Slots, positions: Tensor) -> None:
        """`positions`: (num_sequences,), the place of each row in its sequence."""
        self.num_rows = self.num_last_rows = len(caches)
        self.caches = caches
        # Of the new tokens among all slots; the first slot starts at 0.
        self.places = positions if len(caches) == 1 else slots.starts + positions
        lengths = [cache.num_computed_tokens + 1 for cache in caches]
        num_keys, self.mask = max(lengths), None
        seen = slots.to_read.narrow(3, 0, num_keys).unbind(0)
        self.views = list(zip(slots.to_write, seen[::2], seen[1::2], strict=True))
        if min(lengths) < num_keys:
            # Hides what lies behind the end of the shorter ones, whatever it is but NaN: zeros, or what was computed
            # before somebody set `num_computed_tokens` back. Added to the scores, in their number format: a mask of
            # bools would be turned into such a one in every layer.
            behind = torch.arange(num_keys, device=positions.device) > positions[:, None]
            mask = torch.zeros_like(behind, dtype=caches[0].storage.dtype).masked_fill_(behind, float("-inf"))
            self.mask = mask[:, None, None]  # the same for every head: (num_sequences, 1, 1, num_keys)

    def attend(self, layer: int, queries: Tensor, new: Tensor, only_last: bool) -> Tensor:
        """As ChunkSpan.attend; each row is its sequence's last one anyway."""
        all_slots, keys, values = self.views[layer]
        all_slots.index_copy_(2, self.places, new)
        # Each row sees every key of its sequence. The heads of a group become the rows of one product.
        return scaled_dot_product_attention(queries, keys, values, self.mask)

    def advance(self) -> None:
        """Counts the rows as computed."""
        for cache in self.caches:
            cache.advance(1)


Span = ChunkSpan | DecodeSpan


def chunk_mask(num_rows: int, num_past: int, like: Tensor) -> Tensor:
    """What attention adds to the scores of a chunk's rows, which follow `num_past` tokens: 0, or minus infinity for
    the keys that come after a row's own. (num_rows, num_past + num_rows), on the device of `like`, in its dtype."""
    if like.is_cuda:
        # There torch has a kernel that needs no mask in memory. Its module takes a second to import.
        from torch.nn.attention.bias import causal_lower_right

        return causal_lower_right(num_rows, num_past + num_rows)
    mask = like.new_zeros(num_rows, num_past + num_rows)
    mask.narrow(1, num_past, num_rows).fill_(float("-inf")).triu_(1)  # the past is seen by every row
    return mask
