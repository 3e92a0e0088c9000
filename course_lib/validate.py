"""Refuses a bad argument in one sentence: what it must be, what came, and what to do.

A value of another type is a TypeError, a value out of range a ValueError. Counts and ids are Python's own ints: True is
none, and NumPy's or torch's are refused, since JSON and the grader know neither. `hint` is what to do about it.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import torch

from course_lib.short import show

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_type(name: str, value: Any, kind: type | tuple[type, ...], allowed: str, hint: str = "") -> None:
    """`value` must be an instance of `kind`; `allowed` says so in words ("a Request")."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {allowed}, got {_got(value)}{_then(hint)}")


def checked_list(name: str, values: Any, kind: type | tuple[type, ...], allowed: str) -> list[Any]:
    """`values` as a list, each of them an instance of `kind`; `allowed` says so in words ("Requests")."""
    is_plain = isinstance(values, list | tuple)  # asked first: the others take longer
    if not is_plain and (isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable)):
        raise TypeError(f"{name} must be a list of {allowed}, got {_got(values)}")
    values = list(values)
    for place, value in enumerate(values):
        if not isinstance(value, kind):
            raise TypeError(f"{name} must be a list of {allowed}, got {_got(value)} at place {place}")
    return values


def check_int(name: str, value: Any, minimum: int | None = None, maximum: int | None = None, hint: str = "") -> None:
    """`value` must be an int, from `minimum` to `maximum` where they are given."""
    if not isinstance(value, int) or isinstance(value, bool):
        bounds = _bounds(minimum, maximum)
        hint = hint or ("write int(...) around it" if hasattr(value, "__index__") else "")
        raise TypeError(f"{name} must be an int{bounds and ', '}{bounds}, got {_got(value)}{_then(hint)}")
    if (minimum is not None and value < minimum) or (maximum is not None and value > maximum):
        raise ValueError(f"{name} must be {_bounds(minimum, maximum)}, got {show(value)}{_then(hint)}")


def check_number(name: str, value: Any, minimum: float = -math.inf, *, positive: bool = False, hint: str = "") -> None:
    """`value` must be a finite int or float of at least `minimum`, or above 0 where it must be `positive`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and minimum <= value < math.inf and value > (0 if positive else -math.inf):
        return
    allowed = "a positive number" if positive else "a number"
    allowed += f" of at least {minimum:g}" if minimum > -math.inf and not positive else ""
    kind = ValueError if is_number else TypeError
    raise kind(f"{name} must be {allowed}, got {show(value) if is_number else _got(value)}{_then(hint)}")


def checked_numbers(name: str, values: Any, *, positive: bool = False) -> list[float]:
    """`values` as a list of at least one finite number, each of them at least 0 or, where it must be, positive."""
    values = checked_list(name, values, (int, float), "numbers")
    for place, value in enumerate(values):
        check_number(f"{name}[{place}]", value, 0, positive=positive)
    if not values:
        raise ValueError(f"{name} must be a list of at least one number, got []")
    return values


def checked_rows(name: str, rows: Any, columns: Sequence[str]) -> list[Any]:
    """`rows` as a list of at least one object that has these attributes, each a finite number."""
    rows = checked_list(name, rows, object, "rows")
    if not rows:
        raise ValueError(f"{name} is empty; pass at least one row with {', '.join(columns)}")
    for place, row in enumerate(rows):
        for column in columns:
            if not hasattr(row, column):
                raise TypeError(f"{name} must be a list of rows with {', '.join(columns)}, got {_got(row)} at place "
                                f"{place}, which has no {column}")
            check_number(f"{column} of {name}[{place}]", getattr(row, column))
    return rows


def check_mapping(name: str, values: Any, kind: type[str] | type[int] | type[float]) -> None:
    """`values` must be a dict, each value of it a text, an int from 0 on or a number from 0 on, as `kind` says."""
    check_type(name, values, Mapping, f"a dict with {({str: 'texts', int: 'ints', float: 'numbers'}[kind])} as values")
    for key, value in values.items():
        if kind is str:
            check_type(f"{name}[{key!r}]", value, str, "a text")
        elif kind is int:
            check_int(f"{name}[{key!r}]", value, 0)
        else:
            check_number(f"{name}[{key!r}]", value, 0)


def check_seed(seed: Any) -> None:
    """`seed` must be an int that random and torch both take."""
    check_int("seed", seed, 0, 2**63 - 1)


def check_token_ids(name: str, value: Any) -> None:
    """`value` must be a list (or another sequence) of ints from 0 on."""
    hint = "turn a tensor or array into a list with .tolist()"
    if isinstance(value, str | bytes) or not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        raise TypeError(f"{name} must be a list of token ids, got {_got(value)}; encode a text with "
                        "course_lib.documents.encode")
    for place, token_id in enumerate(value):
        if type(token_id) is not int or token_id < 0:  # the exact type, since this runs over whole prompts
            check_int(f"{name}[{place}]", token_id, 0, hint=hint)


def checked_tensor(name: str, value: Any, allowed: str, device: torch.device | None = None) -> torch.Tensor:
    """`value` as a tensor; `allowed` says what it must be, for one that is none and cannot become one."""
    try:
        return torch.as_tensor(value, device=device)
    except (OverflowError, RuntimeError, TypeError, ValueError) as error:  # torch raises each of these
        raise ValueError(f"{name} must be {allowed}, got {show(value)}") from error


def check_device(device: Any) -> torch.device:
    """The device of this name, if torch has it here; None is torch's default."""
    try:
        return torch.empty(0, device=device).device
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:  # torch raises each of these
        if isinstance(device, str | torch.device) and str(device).startswith("cuda"):
            raise ValueError(f"there is no CUDA device {str(device)!r} here; use choose_device('cpu')") from error
        raise ValueError(f"device must be 'cpu' or 'cuda', got {show(device)}; choose_device() picks one for you") \
            from error


def check_dtype(dtype: Any) -> None:
    """`dtype` must be one that a model can compute in."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(str, DTYPES))}, got {show(dtype)}")


def check_fields(record: Any, may_be_zero: Collection[str] = ()) -> None:
    """Each field of a record must be of its annotated type, each number positive or, if named, at least 0."""
    for name, annotated in type(record).__annotations__.items():
        value = getattr(record, name)
        kind, *others = get_args(annotated) if isinstance(annotated, UnionType) else [annotated]
        if value is None and NoneType in others:
            continue
        hint = "None is allowed, too" if NoneType in others else ""
        if kind is int:
            check_int(name, value, 0 if name in may_be_zero else 1, hint=hint)
        elif kind is float:
            check_number(name, value, 0, positive=name not in may_be_zero, hint=hint)
        else:
            kind = get_origin(kind) or kind
            check_type(name, value, kind, {bool: "True or False", str: "a text"}.get(kind, f"a {kind.__name__}"), hint)


def checked_record(kind: type, data: Mapping[str, Any]) -> Any:
    """A dataclass or named tuple from a JSON object, with its fields checked; numbers may be 0."""
    record = kind(**data)
    check_fields(record, may_be_zero=data)
    return record


def _bounds(minimum: int | None, maximum: int | None) -> str:
    if minimum is not None and maximum is not None:
        return f"{minimum}..{maximum}"
    return f"at least {minimum}" if minimum is not None else f"at most {maximum}" if maximum is not None else ""


def _got(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{show(value)}, {'an' if name[0] in 'aeiou' else 'a'} {name}"


def _then(hint: str) -> str:
    return f"; {hint}" if hint else ""
