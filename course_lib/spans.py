"""The rows of an iteration's tokens, sequence by sequence: where their keys and values go, and what they attend to.

All else in a layer runs over all rows at once; attention runs span by span, each against its own cache (Orca's
selective batching, Yu et al. 2022). In all shapes `group` is the number of query heads that share a key-value head.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from course_lib.joined_caches import JoinedCaches
from course_lib.kv_cache import KVCache
from course_lib.two_part_attention import attend_in_two_parts, can_be_in_two_parts

__all__: list[str] = []  # the model's own


class Span:
    """Rows of one sequence, with a mask that says for each which keys it sees: the plain way, for any chunk."""

    num_last_rows = 1  # one a sequence: the rows after which logits are asked for

    def __init__(self, num_rows: int, cache: KVCache, mask: Tensor) -> None:
        """`mask`: (num_rows, num_keys), True = may attend, for the first `num_keys` positions of the cache."""
        self.num_rows, self.cache, self.mask = num_rows, cache, mask

    def attend(self, layer: int, queries: Tensor, new: Tensor, only_last: bool) -> Tensor:
        """Writes the rows' keys and values, `new`, (2, num_kv_heads, num_rows, head_dim), into the cache and attends.
        queries and the result: (num_rows, num_kv_heads, group, head_dim), or with `only_last` those of the last row."""
        keys, values = new.transpose(1, 2)
        self.cache.write(layer, keys, values)
        mask = self.mask[-1:] if only_last else self.mask
        keys, values = self.cache.keys(layer, mask.shape[1])[None], self.cache.values(layer, mask.shape[1])[None]
        return attend_to_shared(queries, keys, values, mask, is_causal=False)

    def advance(self) -> None:
        """Counts the rows as computed."""
        self.cache.advance(self.num_rows)


class ChunkSpan(Span):
    """A prefill chunk, whose views into the cache are made once for all layers."""

    def __init__(self, num_rows: int, cache: KVCache) -> None:
        self.num_rows, self.cache = num_rows, cache
        self.places = cache.places(num_rows)
        num_past = cache.num_computed_tokens
        self.is_causal = num_past == 0  # a whole prompt: the kernel makes the mask, and skips half the work
        self.in_two_parts = can_be_in_two_parts(num_past, cache.storage)
        needs_mask = not (self.is_causal or self.in_two_parts)
        self.mask = chunk_mask(num_rows, num_past, cache.storage) if needs_mask else None

    def attend(self, layer: int, queries: Tensor, new: Tensor, only_last: bool) -> Tensor:
        place, keys, values = self.places[layer]
        place.copy_(new)
        if only_last:  # it sees every key
            return scaled_dot_product_attention(queries, keys, values)
        if self.in_two_parts:
            return attend_in_two_parts(queries, keys, values)
        return attend_to_shared(queries, keys, values, self.mask, self.is_causal)


class DecodeSpan(Span):
    """Decode steps, one row each, of the sequences whose caches are joined, or of one sequence."""

    def __init__(self, caches: list[KVCache], joined: JoinedCaches, positions: Tensor) -> None:
        """`positions`: (num_sequences,), the place of each row in its sequence."""
        self.num_rows = self.num_last_rows = len(caches)
        self.caches, self.joined = caches, joined
        self.slots = joined.slot_starts + positions
        lengths = [cache.num_computed_tokens + 1 for cache in caches]
        self.num_keys, self.mask = max(lengths), None
        if min(lengths) < self.num_keys:  # hide what lies behind the end of the shorter ones
            behind = torch.arange(self.num_keys, device=positions.device) > positions[:, None]
            mask = torch.zeros_like(behind, dtype=caches[0].storage.dtype).masked_fill_(behind, float("-inf"))
            self.mask = mask[:, None, None]  # the same for every head

    def attend(self, layer: int, queries: Tensor, new: Tensor, only_last: bool = True) -> Tensor:
        place, keys, values = self.joined.layers[layer]
        place.index_copy_(2, self.slots, new)
        # One row sees every key of its sequence. The heads of a group become the rows of one product.
        return scaled_dot_product_attention(queries, keys.narrow(2, 0, self.num_keys),
                                            values.narrow(2, 0, self.num_keys), self.mask)

    def advance(self) -> None:
        for cache in self.caches:
            cache.advance(1)


def attend_to_shared(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """Rows of one sequence attend to its keys and values, each (1, num_kv_heads, num_keys, head_dim)."""
    # Every query head of a group sees the same keys and values, repeated without a copy.
    queries = queries.permute(1, 2, 0, 3)
    keys, values = (one.transpose(0, 1).expand(-1, queries.shape[1], -1, -1) for one in (keys, values))
    attended = scaled_dot_product_attention(queries, keys, values, mask, is_causal=is_causal)
    return attended.permute(2, 0, 1, 3)


def chunk_mask(num_rows: int, num_past: int, like: Tensor) -> Tensor:
    """What attention adds to the scores of a chunk's rows, which follow `num_past` tokens: 0, or minus infinity for
    the keys that come after a row's own. (num_rows, num_past + num_rows), on the device of `like`, in its dtype."""
    if like.is_cuda:
        # Here torch has a kernel that needs no mask in memory. Its module takes a second to import.
        from torch.nn.attention.bias import causal_lower_right

        return causal_lower_right(num_rows, num_past + num_rows)
    mask = like.new_zeros(num_rows, num_past + num_rows)
    mask.narrow(1, num_past, num_rows).fill_(float("-inf")).triu_(1)  # the past is seen by every row
    return mask
