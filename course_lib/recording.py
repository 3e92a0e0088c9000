"""A model that keeps a log of its `forward_chunk` calls: what was computed, in which order, and how long it took."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.kv_cache import KVCache
from course_lib.model import ToyTransformer
from course_lib.validate import check_type


@dataclass(frozen=True)
class ForwardCall:
    """One call of `forward_chunk`: its tokens, where they start in the sequence, and its seconds."""

    token_ids: list[int]
    start: int  # tokens in the cache before the call
    positions: list[int]
    mask: Tensor
    logits: Tensor
    seconds: float


class RecordingModel:
    """Stands in front of a ToyTransformer, does what it does, and logs each `forward_chunk` call in `calls`."""

    def __init__(self, model: ToyTransformer) -> None:
        check_type("model", model, ToyTransformer, "a ToyTransformer")
        self.model = model
        self.config = model.config
        self.calls: list[ForwardCall] = []

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.model.device

    def new_cache(self, max_num_tokens: int) -> KVCache:
        """An empty cache for one sequence."""
        return self.model.new_cache(max_num_tokens)

    def forward_chunk(self, token_ids: Sequence[int], positions: Tensor, mask: Tensor, cache: KVCache) -> Tensor:
        """The model's `forward_chunk`, timed until the device is done."""
        check_type("cache", cache, KVCache, "a KVCache, made with new_cache()")
        before = cache.num_computed_tokens
        self._wait()
        start = time.perf_counter()
        logits = self.model.forward_chunk(token_ids, positions, mask, cache)
        self._wait()
        seconds = time.perf_counter() - start
        self.calls.append(ForwardCall(list(token_ids), before, torch.as_tensor(positions).tolist(),
                                      torch.as_tensor(mask).cpu(), logits, seconds))
        return logits

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
