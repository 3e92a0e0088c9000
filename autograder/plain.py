"""Plain data as text: all that passes between a check and the learner's code.

Allowed: None, bool, int (64 bits), float, str, list, dict with str keys, torch.Tensor. Nothing is ever unpickled.
NaN and the infinities pass, as values that equal themselves in no comparison or in every one, like in Python.
"""

import base64
import json
import math
from typing import Any

import torch

MAX_DEPTH = 16
MAX_CHARS = 64 * 2**20  # of one message; the logits of 4,000 positions over 1,024 words take 22 MiB
TAG = "$plain"  # marks the dicts that stand for a tensor or for a float which JSON lacks
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
                  torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


class PlainError(ValueError):
    """A value that is not plain data, or a text that is not what `encode` makes."""


def encode(value: Any, max_chars: int = MAX_CHARS) -> str:
    """`value` as JSON text. Raises PlainError for other types, for nesting over MAX_DEPTH, over `max_chars`."""
    room = [max_chars]
    text = json.dumps(_encode(value, 0, room), allow_nan=False)
    if len(text) > max_chars:
        raise PlainError(f"a message may have at most {max_chars} characters, got {len(text)}")
    return text


def decode(text: str, max_chars: int = MAX_CHARS) -> Any:
    """The value of a text that `encode` made. Raises PlainError for any other text."""
    if len(text) > max_chars:
        raise PlainError(f"a message may have at most {max_chars} characters, got {len(text)}")
    try:
        return _decode(json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique), 0)
    except PlainError:
        raise
    except (ValueError, RecursionError) as error:
        raise PlainError(f"not a plain message: {error}") from None


def _encode(value: Any, depth: int, room: list[int]) -> Any:
    room[0] -= 1  # every value takes at least a character, so a list that holds itself cannot grow without end
    if depth > MAX_DEPTH:
        raise PlainError(f"plain data may be nested {MAX_DEPTH} deep at most")
    if room[0] < 0:
        raise PlainError("the message is too large; send less data")
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        room[0] -= len(value)
        return value
    if kind is int:
        if not -(2**63) <= value < 2**63:
            raise PlainError(f"an int must fit in 64 bits, got one of {value.bit_length()} bits")
        return value
    if kind is float:
        return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}
    if kind is list:
        return [_encode(item, depth + 1, room) for item in value]
    if kind is dict:
        for key in value:
            if type(key) is not str or key == TAG:
                raise PlainError(f"a dict's keys must be text other than {TAG!r}, got {key!r:.80}")
        return {key: _encode(item, depth + 1, room) for key, item in value.items()}
    if isinstance(value, torch.Tensor):
        return _encode_tensor(value, room)
    raise PlainError(f"expected None, bool, int, float, str, list, dict or a tensor, got {kind.__name__}")


def _encode_tensor(tensor: torch.Tensor, room: list[int]) -> dict[str, Any]:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES or tensor.layout != torch.strided or tensor.is_meta:
        raise PlainError(f"tensors may be dense and of {', '.join(DTYPES)}; got {name}, {tensor.layout}")
    room[0] -= tensor.numel() * tensor.element_size()
    if room[0] < 0:
        raise PlainError(f"a tensor of shape {tuple(tensor.shape)} is too large for one message")
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return {TAG: "tensor", "dtype": name, "shape": list(tensor.shape), "data": base64.b64encode(data).decode()}


def _decode(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise PlainError(f"plain data may be nested {MAX_DEPTH} deep at most")
    if isinstance(value, list):
        return [_decode(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if TAG in value:
            return _decode_tagged(value)
        return {key: _decode(item, depth + 1) for key, item in value.items()}
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PlainError("an int must fit in 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise PlainError("a float is out of range")  # 1e999
    return value


def _decode_tagged(value: dict[str, Any]) -> float | torch.Tensor:
    if value.keys() == {TAG, "value"} and value[TAG] == "float" and value["value"] in ("nan", "inf", "-inf"):
        return float(value["value"])
    if value.keys() != {TAG, "dtype", "shape", "data"} or value[TAG] != "tensor" or type(value["data"]) is not str:
        raise PlainError(f"a dict with the key {TAG!r} must stand for a tensor or a float")
    name, shape = value["dtype"], value["shape"]
    if type(name) is not str or name not in DTYPES:
        raise PlainError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r:.80}")
    if type(shape) is not list or len(shape) > 8 or not all(type(n) is int and 0 <= n < 2**31 for n in shape):
        raise PlainError("a tensor's shape must be a list of at most 8 sizes")
    if math.prod(max(size, 1) for size in shape) >= 2**40:  # with a 0 among them there are no bytes to compare with
        raise PlainError(f"a tensor of shape {shape} is too large")
    data = bytearray(base64.b64decode(value["data"], validate=True))
    if math.prod(shape) * DTYPES[name].itemsize != len(data):
        raise PlainError(f"shape {shape} and {len(data)} bytes of {name} do not agree")
    if not data:
        return torch.empty(shape, dtype=DTYPES[name])
    if name == "bool" and max(data) > 1:
        raise PlainError("a bool tensor's bytes must be 0 or 1")
    return torch.frombuffer(data, dtype=torch.uint8).view(DTYPES[name]).reshape(shape)


def _refuse(constant: str) -> Any:
    raise PlainError(f"not a plain message: {constant}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise PlainError("a dict may not have a key twice")
    return dict(pairs)
