"""How two plain values differ: where first, and in what."""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import torch

from course_lib.short import show


def differs(expected: Any, got: Any, tolerance: float = 1e-6) -> str | None:
    """The first difference between two plain values or tensors as a sentence, or None when they agree.

    Lists, tuples, ranges and arrays with the same items are the same; floats and float tensors agree
    within `tolerance` (absolute, and relative for large numbers); everything else must be equal, and True is not 1.
    What cannot be compared at all differs, too.
    """
    try:
        return _differs(expected, got, tolerance, where="")
    except Exception as error:  # of the answer's own methods, or of a tensor of another kind
        return f"{_article(got)} was given back, which cannot be compared: {type(error).__name__}: {error}"


def _differs(expected: Any, got: Any, tolerance: float, where: str) -> str | None:
    at = f"at {where}: " if where else ""
    if isinstance(expected, torch.Tensor):
        return _tensors_differ(expected, got, tolerance, at)
    if not isinstance(got, str | bytes | Mapping | type) and hasattr(got, "tolist"):
        got = got.tolist()  # an array, a tensor or one of their scalars
    if isinstance(expected, Mapping):
        return _mappings_differ(expected, got, tolerance, where, at)
    if isinstance(expected, AbstractSet):
        return None if expected == got else f"{at}expected {show(expected)}, got {show(got)}"
    if is_list(expected):
        if not is_list(got):
            return f"{at}expected a list of {len(expected)} items, got {_article(got)}"
        for index, (one, other) in enumerate(zip(expected, got, strict=False)):
            if difference := _differs(one, other, tolerance, f"{where}[{index}]"):
                return difference
        if len(expected) != len(got):
            return f"{at}expected {len(expected)} items, got {len(got)}"
        return None
    if isinstance(expected, float) and isinstance(got, int | float) and not isinstance(got, bool):
        close = math.isclose(expected, got, rel_tol=tolerance, abs_tol=tolerance)
        return None if close else f"{at}expected {expected:.8g}, got {got:.8g}"
    if isinstance(expected, float) and isinstance(got, bool):
        return f"{at}expected {expected:.8g}, got {got}"
    same = bool(expected == got) and isinstance(expected, bool) == isinstance(got, bool)
    return None if same else f"{at}expected {show(expected)}, got {show(got)}"


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}" if value is not None else "None"


def is_list(value: Any) -> bool:
    """Whether a value is a list, or like one: a text is not."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _mappings_differ(expected: Mapping, got: Any, tolerance: float, where: str, at: str) -> str | None:
    if not isinstance(got, Mapping):
        return f"{at}expected a dict, got {_article(got)}"
    for key in expected:
        if key not in got:
            return f"{at}{key!r} is missing"
        if difference := _differs(expected[key], got[key], tolerance, f"{where}[{key!r}]"):
            return difference
    extra = [key for key in got if key not in expected]
    return f"{at}{extra[0]!r} should not be there" if extra else None


def _tensors_differ(expected: torch.Tensor, got: Any, tolerance: float, at: str) -> str | None:
    if not isinstance(got, torch.Tensor):
        return f"{at}expected a tensor of shape {tuple(expected.shape)}, got {_article(got)}"
    if expected.shape != got.shape:
        return f"{at}expected shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    if (expected.dtype == torch.bool) != (got.dtype == torch.bool):
        return f"{at}expected dtype {expected.dtype}, got {got.dtype}"
    one, other = expected.detach().cpu().double(), got.detach().cpu().double()
    wrong = ~torch.isclose(one, other, rtol=tolerance, atol=tolerance)
    if not wrong.any():
        return None
    index = tuple(wrong.nonzero()[0].tolist())
    kind = f"{int(wrong.sum())} of {wrong.numel()} values differ, the first at {list(index)}"
    if expected.dtype == torch.bool:
        return f"{at}{kind}: expected {bool(expected[index])}, got {bool(got[index])}"
    return f"{at}{kind}: expected {one[index].item():.8g}, got {other[index].item():.8g}"
