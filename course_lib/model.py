"""A toy transformer with a KV cache that computes chunks of many sequences in one forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from course_lib.kv_cache import KVCache
from course_lib.layers import Layer, ModelConfig, RMSNorm, Span, rotary_tables
from course_lib.validate import check_device, check_dtype, check_seed, check_type, checked_list, checked_tensor

__all__ = ["ModelConfig", "SequenceChunk", "ToyTransformer"]

INTEGERS = (torch.int32, torch.int64)  # torch reads an index of type uint8 as a mask


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
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), device:
            torch.manual_seed(seed)
            self.model = Decoder(config)
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.to(device, dtype).requires_grad_(False)
        # These stay in float32: rounded to a narrower dtype, they would stay rounded after a later `.float()`.
        cos, sin = rotary_tables(config)
        self.register_buffer("cos", cos.to(device), persistent=False)
        self.register_buffer("sin", sin.to(device), persistent=False)

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
        """One iteration over prefill chunks and decode tokens together.

        Each chunk's tokens follow those already in its cache, and are in the cache afterwards. Returns the
        next-token logits of each chunk's last token, (len(batch), vocab_size). Bad input raises ValueError
        (CacheFullError when a cache is too small) before anything is written.
        """
        batch = checked_list("batch", batch, SequenceChunk, "SequenceChunks")
        token_ids = self._checked_token_ids(batch)
        positions, spans, first_row = [], [], 0
        for chunk, length in zip(batch, map(len, token_ids), strict=True):
            start, end = chunk.cache.num_computed_tokens, chunk.cache.num_computed_tokens + length
            whole_prompt, one_token = start == 0, length == 1
            mask = None if whole_prompt or one_token else self._chunk_mask(length, end)
            spans.append(Span(slice(first_row, first_row + length), chunk.cache, end, mask,
                              is_causal=whole_prompt and not one_token))
            positions.append(torch.arange(start, end))
            first_row += length
        return self._run(torch.cat(token_ids).to(self.device), torch.cat(positions).to(self.device), spans)

    @torch.inference_mode()
    def forward_chunk(self, token_ids: Sequence[int], positions: Tensor, mask: Tensor, cache: KVCache) -> Tensor:
        """One chunk of one sequence, with everything spelled out by the caller.

        `positions`: (chunk_len,), the place in the sequence that RoPE gives each token. `mask`: bool of shape
        (chunk_len, kv_len), True = may attend; column j stands for position j of the cache, and kv_len reaches
        at most to the end of this chunk. Keys and values are written behind those already in the cache.
        Returns the next-token logits of the last token, (vocab_size,). Positions and mask are believed: whether
        they fit the cache is the caller's business.
        """
        [token_ids] = self._checked_token_ids([SequenceChunk(token_ids, cache)])
        length, end = len(token_ids), cache.num_computed_tokens + len(token_ids)
        positions = checked_tensor("positions", positions, f"{length} integers, one a token", self.device)
        mask = checked_tensor("mask", mask, f"bool of shape ({length}, kv_len)", self.device)
        if positions.shape != (length,) or positions.dtype not in INTEGERS:
            raise ValueError(f"positions must be {length} integers, one a token, got {positions.dtype} of shape "
                             f"{tuple(positions.shape)}")
        if positions.min() < 0 or positions.max() >= self.config.max_position_embeddings:
            raise ValueError(f"positions must lie in 0..{self.config.max_position_embeddings - 1}, got "
                             f"{positions.min().item()}..{positions.max().item()}")
        if mask.dtype != torch.bool or mask.ndim != 2 or mask.shape[0] != length or not 1 <= mask.shape[1] <= end:
            raise ValueError(f"mask must be bool of shape ({length}, kv_len) with 1 <= kv_len <= {end} (the "
                             f"cache holds {cache.num_computed_tokens} tokens, this chunk adds {length}), got "
                             f"{mask.dtype} of shape {tuple(mask.shape)}")
        span = Span(slice(0, length), cache, mask.shape[1], mask)
        return self._run(token_ids.to(self.device), positions, [span])[0]

    def _chunk_mask(self, num_rows: int, num_keys: int) -> Tensor:
        """What attention adds to the scores of a chunk's rows, the last `num_rows` of `num_keys` tokens: 0, or minus
        infinity for the keys that come after a row's own."""
        if self.device.type == "cuda":
            # Here torch has a kernel that needs no mask in memory. Its module takes a second to import.
            from torch.nn.attention.bias import causal_lower_right

            return causal_lower_right(num_rows, num_keys)
        minus_infinity = torch.full((num_rows, num_keys), float("-inf"), dtype=self.lm_head.weight.dtype)
        return minus_infinity.triu_(num_keys - num_rows + 1)

    def _run(self, token_ids: Tensor, positions: Tensor, spans: list[Span]) -> Tensor:
        hidden = self.model.embed_tokens(token_ids)
        cos = self.cos[positions, None].to(hidden.dtype)  # (num_tokens, 1, head_dim), the same for every head
        sin = self.sin[positions, None].to(hidden.dtype)
        for index, layer in enumerate(self.model.layers):
            hidden = layer(hidden, cos, sin, spans, index)
        for span in spans:
            span.cache.advance(span.rows.stop - span.rows.start)
        last_rows = torch.tensor([span.rows.stop - 1 for span in spans], device=hidden.device)
        return linear(self.model.norm(hidden[last_rows]), self.lm_head.weight)

    def _checked_token_ids(self, batch: Sequence[SequenceChunk]) -> list[Tensor]:
        """The token ids of each chunk as an integer tensor, after every check that needs no forward pass."""
        if not batch:
            raise ValueError("the batch is empty; an iteration needs at least one chunk")
        if len({id(chunk.cache) for chunk in batch}) < len(batch):
            raise ValueError("a sequence stands twice in one batch; join its tokens into one chunk")
        return [self._checked_chunk(chunk) for chunk in batch]

    def _checked_chunk(self, chunk: SequenceChunk) -> Tensor:
        allowed = f"0..{self.config.vocab_size - 1}"
        token_ids = checked_tensor("token ids", chunk.token_ids, f"integers, {allowed}")
        if token_ids.ndim != 1 or len(token_ids) == 0:
            raise ValueError(f"a chunk must be a list of at least one token id, got shape {tuple(token_ids.shape)}; "
                             "leave a sequence without tokens out of the batch")
        if token_ids.dtype not in INTEGERS:
            raise ValueError(f"token ids must be integers (int32 or int64), got {token_ids.dtype}")
        outside = token_ids[(token_ids < 0) | (token_ids >= self.config.vocab_size)]
        if len(outside):
            raise ValueError(f"token id {outside[0].item()} is not in the vocabulary; allowed are {allowed}")
        self._check_shape(chunk.cache)
        chunk.cache.check_room(len(token_ids))
        end = chunk.cache.num_computed_tokens + len(token_ids)
        if end > self.config.max_position_embeddings:
            raise ValueError(f"the sequence would reach {end} tokens; the model has positions for "
                             f"{self.config.max_position_embeddings} (max_position_embeddings)")
        return token_ids

    def _check_shape(self, cache: KVCache) -> None:
        check_type("a chunk's cache", cache, KVCache, "a KVCache, made with model.new_cache()")
        config = self.config
        wanted = (config.num_hidden_layers, config.num_key_value_heads, config.head_dim)
        num_layers, _, num_kv_heads, _, head_dim = cache.storage.shape
        if (num_layers, num_kv_heads, head_dim) != wanted:
            raise ValueError(
                f"the cache is made for {num_layers} layers, {num_kv_heads} KV heads of size {head_dim}, the model has "
                f"{wanted[0]} layers, {wanted[1]} KV heads of size {wanted[2]}; make one with model.new_cache()"
            )
