"""Values on one line, for messages: cut where they are long, a dict in its own order."""

import reprlib
from itertools import islice
from typing import Any

import torch


class _Short(reprlib.Repr):
    """Cuts what is long. Its base would sort a dict; the order of a plan says who was served first."""

    def repr_float(self, value: float, level: int) -> str:
        return repr(float(f"{value:.10g}"))  # 0.3 for 0.1 + 0.2: the rounding in the last digits is not what differs

    def repr_int(self, value: int, level: int) -> str:
        try:
            return super().repr_int(value, level)
        except ValueError:  # too many digits for Python to write down
            return f"<an int of {value.bit_length()} bits>"

    def repr_dict(self, value: dict, level: int) -> str:
        if level <= 0:
            return "{...}" if value else "{}"
        items = [f"{self.repr1(key, level - 1)}: {self.repr1(item, level - 1)}"
                 for key, item in islice(value.items(), self.maxdict)]
        return "{" + ", ".join(items + ["..."] * (len(value) > self.maxdict)) + "}"


_short = _Short()
_short.maxlist = _short.maxtuple = _short.maxdict = 12
_short.maxstring = _short.maxother = 160
_short.maxlevel = 4


def show(value: Any) -> str:
    """`value` on one line, cut where it is long; a small mask whole, other tensors by shape, dtype and first values."""
    if isinstance(value, torch.Tensor):
        if value.is_meta or value.layout != torch.strided:
            return f"tensor of shape {tuple(value.shape)}, {value.dtype}, without values to show"
        value = value.detach().cpu()
        if value.dtype == torch.bool and value.dim() == 2 and value.numel() <= 48:
            return f"tensor of shape {tuple(value.shape)}, torch.bool, rows {value.int().tolist()}"
        first = value.flatten()[:6].tolist()
        values = _short.repr([float(f"{item:.4g}") if isinstance(item, float) else item for item in first])
        return f"tensor of shape {tuple(value.shape)}, {value.dtype}, first values {values}"
    if isinstance(value, torch.nn.Module):
        return f"{type(value).__name__}(...)"
    return " ".join(line.strip() for line in _short.repr(value).splitlines())
