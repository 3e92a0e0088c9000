"""What decode steps write into and attend to: the caches of several sequences in one tensor, where that pays.

For one new token attention has little to compute, and calling it once a sequence takes longer than computing it. In one
tensor each sequence has a slot, each new token a place in its slot (vLLM's "slot mapping"), and one call serves all.
"""

import weakref

import torch

from course_lib.kv_cache import KVCache

__all__: list[str] = []  # the model's own

# Joining copies what the caches hold, which takes about as long as four joined steps save. It waits until the same
# sequences have decoded together for as many steps, so that it never costs much more than it could have saved.
JOIN_AFTER = 4


class Slots:
    """The memory that a group of decode steps shares; a group of one keeps its own."""

    @torch.inference_mode(False)  # else nobody could write into the caches afterwards
    def __init__(self, caches: list[KVCache]) -> None:
        """Moves the computed tokens of several caches into one tensor. One cache stays where it is, but moves out of
        the memory that it shared with others, which can be freed when all have left it."""
        slot_size = max(cache.max_num_tokens for cache in caches)
        num_layers, two, num_kv_heads, _, head_dim = caches[0].storage.shape
        is_shared = any(cache.slots is not None and len(cache.slots.addresses) > 1 for cache in caches)
        if len(caches) > 1 or is_shared:
            storage = caches[0].storage.new_zeros(num_layers, two, num_kv_heads, len(caches), slot_size, head_dim)
            for cache, slot in zip(caches, storage.unbind(3), strict=True):
                slot[..., :cache.num_computed_tokens, :] = cache.storage[..., :cache.num_computed_tokens, :]
                cache.storage, cache.slots = slot[..., :cache.max_num_tokens, :], None
        else:
            storage = caches[0].storage.unsqueeze(3)
        self.addresses = [cache.storage.data_ptr() for cache in caches]
        self.starts = slot_size * torch.arange(len(caches), device=storage.device)
        # For each layer: keys and values with all slots in a row, to write into, (2, num_kv_heads, num_slots *
        # slot_size, head_dim).
        self.to_write = storage.flatten(3, 4).unbind(0)
        # To attend to: keys and values of one layer after another, (2 * num_layers, num_slots, num_kv_heads, slot_size,
        # head_dim).
        self.to_read = storage.flatten(0, 1).transpose(1, 2)
        for cache in caches:
            cache.slots = self


class Joiner:
    """Decides which sequences of a batch's decode steps share their slots."""

    def __init__(self) -> None:
        self.last: list[weakref.ref[KVCache]] = []  # the caches that came last, without keeping them in memory,
        self.times = 0  # and how many times they came in a row

    def groups(self, caches: list[KVCache]) -> list[tuple[Slots, list[KVCache]]]:
        """The caches in groups that attend together, each with its slots, in the same order. May move their contents.

        Those that share slots already and still stand together stay together, the others are alone. Only after the
        same caches have come for a while are they grouped anew, by their sizes.
        """
        groups = [caches]
        if len(caches) > 1:
            is_time = self._count(caches) % (JOIN_AFTER + 1) == 0
            groups = alike(caches) if is_time else together(caches)
        return [(group[0].slots if share_slots(group) else Slots(group), group) for group in groups]

    def _count(self, caches: list[KVCache]) -> int:
        """How many times in a row these caches have come."""
        if [reference() for reference in self.last] == caches:
            self.times += 1
        else:
            self.last, self.times = [weakref.ref(cache) for cache in caches], 1
        return self.times


def share_slots(caches: list[KVCache]) -> bool:
    """Whether just these caches, in this order, have their contents in the same slots, or one in slots of its own."""
    slots = caches[0].slots
    return slots is not None and slots.addresses == [cache.storage.data_ptr() for cache in caches]


def together(caches: list[KVCache]) -> list[list[KVCache]]:
    """Groups of caches that share slots; a cache that shares none is a group of its own."""
    groups, done = [], 0
    while done < len(caches):
        slots = caches[done].slots
        group = caches[done:done + len(slots.addresses)] if slots is not None else []
        groups.append(group if group and share_slots(group) else [caches[done]])
        done += len(groups[-1])
    return groups


def alike(caches: list[KVCache]) -> list[list[KVCache]]:
    """Groups of neighbours that are not too different in size to share slots."""
    groups = [caches[:1]]
    for cache in caches[1:]:
        if are_alike([*groups[-1], cache]):
            groups[-1].append(cache)
        else:
            groups.append([cache])
    return groups


def are_alike(caches: list[KVCache]) -> bool:
    """Whether sharing slots takes at most half as much room again, and half as many keys that attention looks at: each
    slot is as large as the largest cache, and in each attention looks as far as in the longest sequence."""
    rooms = [cache.max_num_tokens for cache in caches]
    lengths = [cache.num_computed_tokens + 1 for cache in caches]
    return all(len(sizes) * max(sizes) <= 1.5 * sum(sizes) for sizes in (rooms, lengths))
