"""Rotary positions (RoPE, Su et al. 2021): the numbers of a head, in pairs, are turned by an angle that grows with the
token's position, so that the product of a query and a key depends on how far apart their tokens stand."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.validate import check_fields

# The rest is the model's own.
__all__ = ["RopeScaling"]


@dataclass(frozen=True)
class RopeScaling:
    """How a checkpoint stretches RoPE to sequences longer than it was first trained on.

    Every frequency is divided by `factor` (Hugging Face's type "linear"), or, with `low_freq_factor`, only those whose
    wave does not fit `low_freq_factor` times into `original_max_position_embeddings`; from `high_freq_factor` times on
    a frequency stays, with a gradual passage between ("llama3", of Llama 3.1).
    """

    factor: float
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if len([value for value in vars(self).values() if value is not None]) not in (1, 4):
            raise ValueError(f"RopeScaling takes factor alone, or all of {', '.join(vars(self))}, got {self}")
        if self.low_freq_factor is not None and self.high_freq_factor <= self.low_freq_factor:
            raise ValueError(f"high_freq_factor must be more than low_freq_factor, got {self}")

    def __call__(self, frequencies: Tensor) -> Tensor:
        """Radians a position -> the same, scaled."""
        if self.low_freq_factor is None:
            return frequencies / self.factor
        waves = self.original_max_position_embeddings * frequencies / (2 * math.pi)
        kept = ((waves - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)).clamp(0, 1)
        return frequencies * (kept + (1 - kept) / self.factor)


def rotary_table(head_dim: int, num_positions: int, theta: float, scaling: RopeScaling | None) -> Tensor:
    """cos and sin of every position's angles, (num_positions, 2, 1, head_dim). The first of a pair is turned by minus
    the sine times the second: its sign is in the table."""
    frequencies = 1 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    if scaling is not None:
        frequencies = scaling(frequencies)
    angles = torch.arange(num_positions, dtype=torch.float32)[:, None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)], dim=1).unsqueeze(2)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns each pair (i, i + head_dim/2) of a head by its token's angle, in place. heads: (num_tokens, heads,
    head_dim); cos and sin: (num_tokens, 1, head_dim), from `rotary_table`."""
    other_of_pair = heads.roll(heads.shape[-1] // 2, dims=-1)
    return heads.mul_(cos).addcmul_(other_of_pair, sin)
