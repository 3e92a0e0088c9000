"""How long an iteration takes, as a formula: what the simulated executor runs on."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class CostModel:
    """Seconds of an iteration = base + per_token * tokens + per_attention * A + per_context * C.

    A sums over the prefill chunks how many keys their tokens look at: n * (past + n) for a chunk of n tokens
    behind `past` computed ones, and n * (n + 1) / 2 for a first chunk, which takes the faster causal path
    (one formula for both would make chunking save time that it does not save). C sums over the decode steps the
    tokens in their cache. Called with the (start_pos, num_tokens) of each sequence of a batch.
    """

    base: float
    per_token: float
    per_attention: float = 0.0
    per_context: float = 0.0
    source: str = ""

    def __call__(self, spans: Iterable[tuple[int, int]]) -> float:
        """Seconds of the iteration that computes `num_tokens` tokens from `start_pos` on, for each span."""
        num_tokens = attention = context = 0.0
        for start, length in spans:
            num_tokens += length
            if start == 0:
                attention += length * (length + 1) / 2
            elif length == 1:
                context += start + 1
            else:
                attention += length * (start + length)
        return (self.base + self.per_token * num_tokens
                + self.per_attention * attention + self.per_context * context)


ONE_SECOND = CostModel(1.0, 0.0, source="one second an iteration, whatever is in it: for counting by hand")
CPU_DEFAULT = CostModel(
    4.45e-3, 8.16e-5, 8.5e-8, 6.2e-7,
    source="fitted to the toy transformer's default size (hidden 256, 4 layers) on one thread of a shared 2-core CPU",
)
