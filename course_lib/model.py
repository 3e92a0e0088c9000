"""A toy transformer with a KV cache that computes chunks of many sequences in one forward pass."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.fast_forward import FastForward
from course_lib.kv_cache import KVCache
from course_lib.layers import Layer, ModelConfig, RMSNorm
from course_lib.model_input import checked_positions_and_mask, checked_token_ids
from course_lib.slots import Joiner
from course_lib.spans import ChunkSpan, DecodeSpan, Span
from course_lib.validate import check_device, check_dtype, check_seed, check_type, checked_list

__all__ = ["ModelConfig", "SequenceChunk", "ToyTransformer"]


@dataclass(frozen=True)
class SequenceChunk:
    """What one sequence computes in one iteration: a prefill chunk of any length, or one decode token."""

    token_ids: Sequence[int]
    cache: KVCache


class Decoder(nn.Module):
    """Embedding, layers and final norm: what Hugging Face's checkpoints hold under `model.`"""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class ToyTransformer(nn.Module):
    """A decoder-only transformer that computes chunks of many sequences in one forward pass."""

    def __init__(self, config: ModelConfig, seed: int = 0, device: torch.device | str = "cpu",
                 dtype: torch.dtype = torch.float32) -> None:
        """Random weights, the same for the same seed and device."""
        check_type("config", config, ModelConfig, "a ModelConfig")
        check_seed(seed)
        check_dtype(dtype)
        device = check_device(device)
        super().__init__()
        self.config = config
        self._prepared: FastForward | None = None
        self._joiner = Joiner()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), device:
            torch.manual_seed(seed)
            self.model = Decoder(config)
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.to(device, dtype).requires_grad_(False)
        # It stays in float32: rounded to a narrower dtype, it would stay rounded after a later `.float()`.
        self.register_buffer("rotary", config.rotary_table().to(device), persistent=False)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "ToyTransformer":
        """Loads a folder in Hugging Face's Llama format: config.json and *.safetensors, sharded or not."""
        from course_lib.checkpoint import load_pretrained  # late: only this needs safetensors

        return load_pretrained(folder)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.lm_head.weight.device

    def new_cache(self, max_num_tokens: int) -> KVCache:
        """An empty cache for one sequence of at most `max_num_tokens` tokens."""
        config, weight = self.config, self.lm_head.weight
        return KVCache(config.num_hidden_layers, config.num_key_value_heads, config.head_dim, max_num_tokens,
                       weight.device, weight.dtype)

    @torch.inference_mode()
    def forward(self, batch: Sequence[SequenceChunk]) -> Tensor:
        """One iteration over prefill chunks and decode tokens together, the fast way of `fast_forward.py`.

        Each chunk's tokens follow those already in its cache, and are in the cache afterwards. Returns the
        next-token logits of each chunk's last token, (len(batch), vocab_size). Bad input raises ValueError
        (CacheFullError when a cache is too small) before anything is written.
        """
        batch = checked_list("batch", batch, SequenceChunk, "SequenceChunks")
        caches = [chunk.cache for chunk in batch]
        token_ids, lengths = checked_token_ids([chunk.token_ids for chunk in batch], caches, self.config)
        starts = [cache.num_computed_tokens for cache in caches]
        positions = [start + row for start, length in zip(starts, lengths, strict=True) for row in range(length)]
        token_ids, positions = token_ids.to(self.device), torch.tensor(positions, device=self.device)
        return self.fast()(token_ids, positions, self._spans(caches, lengths, positions), lengths)

    @torch.inference_mode()
    def forward_chunk(self, token_ids: Sequence[int], positions: Tensor, mask: Tensor, cache: KVCache) -> Tensor:
        """One chunk of one sequence, layer by layer, with everything spelled out by the caller.

        `positions`: (chunk_len,), the place in the sequence that RoPE gives each token. `mask`: bool of shape
        (chunk_len, kv_len), True = may attend; column j stands for position j of the cache, and kv_len reaches
        at most to the end of this chunk. Keys and values are written behind those already in the cache.
        Returns the next-token logits of the last token, (vocab_size,). Positions and mask are believed: whether
        they fit the cache is the caller's business.
        """
        token_ids, [length] = checked_token_ids([token_ids], [cache], self.config)
        positions, mask = checked_positions_and_mask(positions, mask, length, cache, self.config, self.device)
        hidden, (cos, sin) = self.model.embed_tokens(token_ids.to(self.device)), self.rotary_of(positions)
        for index, layer in enumerate(self.model.layers):
            hidden = layer(hidden, cos, sin, mask, cache, index)
        cache.advance(length)
        return self.lm_head(self.model.norm(hidden[-1]))

    def rotary_of(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin of these positions' angles, each (num_tokens, 1, head_dim): the same for every head."""
        return self.rotary[positions].to(self.lm_head.weight.dtype).unbind(1)

    def _spans(self, caches: list[KVCache], lengths: list[int], positions: Tensor) -> list[Span]:
        """Prefill chunks each alone; decode steps, and chunks of one token, that stand side by side together where it
        pays, for which the contents of their caches may be moved."""
        spans: list[Span] = []
        for is_decode, run in itertools.groupby(zip(caches, lengths, strict=True), lambda pair: pair[1] == 1):
            if not is_decode:
                spans += [ChunkSpan(length, cache) for cache, length in run]
                continue
            for slots, its_caches in self._joiner.groups([cache for cache, _ in run]):
                first_row = sum(span.num_rows for span in spans)
                spans.append(DecodeSpan(its_caches, slots, positions.narrow(0, first_row, len(its_caches))))
        return spans

    def fast(self) -> FastForward:
        """The weights as they are now, prepared for `forward`."""
        if self._prepared is None or not self._prepared.is_current():
            self._prepared = FastForward(self)
        return self._prepared

    def __getstate__(self) -> dict[str, Any]:
        """A copy prepares its own."""
        return self.__dict__ | {"_prepared": None, "_joiner": Joiner()}
