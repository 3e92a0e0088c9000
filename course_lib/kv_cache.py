"""The KV cache of one sequence: the keys and values of every token computed so far, layer by layer."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from course_lib.short import show
from course_lib.validate import check_device, check_dtype, check_int

if TYPE_CHECKING:
    from course_lib.slots import Slots


class CacheFullError(ValueError):
    """A write would go past the end of the cache."""


class KVCache:
    """Keys and values of one sequence, preallocated for `max_num_tokens` tokens.

    Position p of every layer holds the key and value of the sequence's token p. An iteration writes
    its tokens layer by layer with `write`, and counts them once, at its end, with `advance`.
    Where in memory all this lies may change with a forward pass (see `slots.py`): ask for views anew after it.
    """

    def __init__(self, num_layers: int, num_kv_heads: int, head_dim: int, max_num_tokens: int,
                 device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        check_int("num_layers", num_layers, 1)
        check_int("num_kv_heads", num_kv_heads, 1)
        check_int("head_dim", head_dim, 1)
        check_int("max_num_tokens", max_num_tokens, 1)
        check_dtype(dtype)
        self.max_num_tokens = max_num_tokens
        self.num_computed_tokens = 0
        shape = (num_layers, 2, num_kv_heads, max_num_tokens, head_dim)
        self.storage = torch.zeros(shape, device=check_device(device), dtype=dtype)
        self.slots: Slots | None = None  # what decode steps write into and attend to; None before the first one

    def __getstate__(self) -> dict[str, Any]:
        """A copy has contents of its own, however many sequences the memory is shared by."""
        return self.__dict__ | {"storage": self.storage.clone(), "slots": None}

    @property
    def num_layers(self) -> int:
        """Layers of the model this cache was made for."""
        return self.storage.shape[0]

    @property
    def num_free_tokens(self) -> int:
        """Tokens that can still be written."""
        return self.max_num_tokens - self.num_computed_tokens

    def keys(self, layer: int, num_tokens: int | None = None) -> Tensor:
        """Keys of the first `num_tokens` positions (default: all computed ones), a view of shape
        (num_kv_heads, num_tokens, head_dim)."""
        return self._view(layer, 0, num_tokens)

    def values(self, layer: int, num_tokens: int | None = None) -> Tensor:
        """Values of the first `num_tokens` positions, shaped as `keys`."""
        return self._view(layer, 1, num_tokens)

    def check_room(self, num_tokens: int) -> None:
        """Raises CacheFullError unless `num_tokens` more tokens fit."""
        if type(num_tokens) is int and 0 <= num_tokens <= self.max_num_tokens - self.num_computed_tokens:
            return  # asked several times an iteration for each sequence
        check_int("num_tokens", num_tokens, 0)
        if num_tokens > self.num_free_tokens:
            raise CacheFullError(f"{num_tokens} tokens do not fit: the cache holds {self.num_computed_tokens} of "
                                 f"{self.max_num_tokens} tokens; make it larger with new_cache(max_num_tokens)")

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Writes the keys and values of the next tokens, each of shape (num_tokens, num_kv_heads, head_dim),
        behind the computed ones. They count only after `advance`."""
        try:
            start, end = self.num_computed_tokens, self.num_computed_tokens + keys.shape[0]
            self.check_room(keys.shape[0])
            self.storage[layer, 0, :, start:end] = keys.transpose(0, 1)
            self.storage[layer, 1, :, start:end] = values.transpose(0, 1)
        except (AttributeError, IndexError, RuntimeError, TypeError) as error:
            raise ValueError(f"keys and values must be tensors of shape (num_tokens, {self.storage.shape[2]}, "
                             f"{self.storage.shape[4]}) and layer one of 0..{self.num_layers - 1}, got {show(keys)}, "
                             f"{show(values)}, {show(layer)}") from error

    def views(self, num_tokens: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Views for an iteration of `num_tokens` tokens, for each layer: where their keys and values are to be
        written, (2, num_kv_heads, num_tokens, head_dim), and the keys and the values up to their end, each
        (1, num_kv_heads, end, head_dim)."""
        self.check_room(num_tokens)
        start, end = self.num_computed_tokens, self.num_computed_tokens + num_tokens
        new = self.storage.narrow(3, start, num_tokens).unbind(0)
        seen = self.storage.narrow(3, 0, end).flatten(0, 1).unsqueeze(1).unbind(0)
        return list(zip(new, seen[::2], seen[1::2], strict=True))

    def advance(self, num_tokens: int) -> None:
        """Counts `num_tokens` more tokens as computed, once all layers have written them."""
        self.check_room(num_tokens)
        self.num_computed_tokens += num_tokens

    def _view(self, layer: int, which: int, num_tokens: int | None) -> Tensor:
        end = self.num_computed_tokens if num_tokens is None else num_tokens
        try:
            if 0 <= end <= self.max_num_tokens:
                return self.storage[layer, which, :, :end]
        except (IndexError, TypeError):
            pass
        raise ValueError(f"layer must lie in 0..{self.num_layers - 1} and num_tokens in 0..{self.max_num_tokens}, got "
                         f"{show(layer)} and {show(num_tokens)}")
