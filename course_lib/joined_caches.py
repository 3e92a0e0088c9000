"""The caches of several sequences in one tensor, so that one call computes the attention of all their decode steps.

For one new token attention has little to compute, and calling it once a sequence takes longer than computing it. Here
each sequence has a slot of the tensor, and each new token a place in its slot (vLLM's "slot mapping").
"""

import weakref

import torch

from course_lib.kv_cache import KVCache

__all__: list[str] = []  # the model's own

# Joining copies what the caches hold, which takes about as long as four joined steps save. It waits until the same
# sequences have decoded together for as many steps, so that it never costs much more than it could have saved.
JOIN_AFTER = 4


class JoinedCaches:
    """One cache as it is, or several, whose contents have moved into one tensor, of which each now has a view."""

    @torch.inference_mode(False)  # else nobody could write into the caches afterwards
    def __init__(self, caches: list[KVCache]) -> None:
        slot_size = max(cache.max_num_tokens for cache in caches)
        if len(caches) == 1:
            storage = caches[0].storage.unsqueeze(3)
        else:
            num_layers, two, num_kv_heads, _, head_dim = caches[0].storage.shape
            storage = caches[0].storage.new_zeros(num_layers, two, num_kv_heads, len(caches), slot_size, head_dim)
            for cache, slot in zip(caches, storage.unbind(3), strict=True):
                slot[..., :cache.num_computed_tokens, :] = cache.storage[..., :cache.num_computed_tokens, :]
                cache.storage, cache.joined = slot[..., :cache.max_num_tokens, :], None
        self.places = [cache.storage.data_ptr() for cache in caches]
        self.slot_starts = slot_size * torch.arange(len(caches), device=storage.device)
        # For each layer: keys and values with all slots in a row, to write into, (2, num_kv_heads, all tokens,
        # head_dim); keys and values to attend to, each (num_sequences, num_kv_heads, slot_size, head_dim).
        self.layers = [(layer.flatten(2, 3), *layer.transpose(1, 2)) for layer in storage]
        for cache in caches:
            cache.joined = self


class Joiner:
    """Decides which caches of a batch's decode steps are worth joining."""

    def __init__(self) -> None:
        self.last: list[weakref.ref[KVCache]] = []  # the caches that came last, without keeping them in memory,
        self.times = 0  # and how many times they came in a row

    def __reduce__(self) -> tuple[type["Joiner"], tuple[()]]:
        return Joiner, ()  # the copy of a model has seen no caches

    def groups(self, caches: list[KVCache]) -> list[tuple[JoinedCaches, list[KVCache]]]:
        """The caches in groups that attend together: all in one, where they are joined or it is worth joining them;
        else each alone."""
        if is_joined(caches):
            return [(caches[0].joined, caches)]
        if len(caches) > 1 and self._is_worth_joining(caches):
            return [(JoinedCaches(caches), caches)]
        return [(cache.joined if is_joined([cache]) else JoinedCaches([cache]), [cache]) for cache in caches]

    def _is_worth_joining(self, caches: list[KVCache]) -> bool:
        if [reference() for reference in self.last] == caches:
            self.times += 1
        else:
            self.last, self.times = [weakref.ref(cache) for cache in caches], 1
        # Each slot has room for as many tokens as the largest cache, and attention looks at as many keys in each as
        # the longest sequence has: sizes that differ much would waste more than joining saves.
        return (self.times > JOIN_AFTER and alike([cache.max_num_tokens for cache in caches])
                and alike([cache.num_computed_tokens + 1 for cache in caches]))


def is_joined(caches: list[KVCache]) -> bool:
    """Whether just these caches, in this order, have their contents in one tensor."""
    joined = caches[0].joined
    return joined is not None and joined.places == [cache.storage.data_ptr() for cache in caches]


def alike(sizes: list[int]) -> bool:
    """Whether the sizes would at most double if all were as large as the largest."""
    return len(sizes) * max(sizes) <= 2 * sum(sizes)
