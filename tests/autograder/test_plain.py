"""Plain data survives the way to the learner's code and back, and nothing else gets through."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autograder import plain
from autograder.plain import PlainError, decode, encode

numbers = st.integers(-(2**63), 2**63 - 1) | st.floats() | st.booleans() | st.none()
tensors = st.builds(
    lambda shape, dtype: (torch.arange(math.prod(shape)) % 3).reshape(shape).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(list(plain.DTYPES.values())),
)
values = st.recursive(
    numbers | st.text() | tensors,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text().filter(lambda key: key != plain.TAG), inner),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    """Equal in value and type; NaN counts as equal to NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other or (one != one and other != other)


@given(values)
def test_round_trip(value: object) -> None:
    assert same(decode(encode(value)), value)


def test_tensor_views_and_parameters_come_back_as_they_look() -> None:
    matrix = torch.arange(12.0).reshape(3, 4)
    assert torch.equal(decode(encode(matrix.T[1:])), matrix.T[1:])
    assert type(decode(encode(torch.nn.Parameter(matrix)))) is torch.Tensor


@pytest.mark.parametrize("value", [Ellipsis, (1,), {1: "x"}, {plain.TAG: 1}, 2**63, b"x", {1, 2}, range(3),
                                   torch.zeros(2, dtype=torch.complex64), torch.zeros(2).to_sparse(),
                                   torch.zeros(2, device="meta")], ids=str)
def test_refuses_what_is_not_plain(value: object) -> None:
    with pytest.raises(PlainError):
        encode([value])


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "[", '{"a": 1, "a": 2}', str(2**63), "9" * 5000,
                                  "[" * 100_000, '{"$plain": "tensor"}', '{"$plain": "float", "value": "1.0"}',
                                  '{"$plain": "tensor", "dtype": "object", "shape": [], "data": ""}',
                                  '{"$plain": "tensor", "dtype": "int64", "shape": [2], "data": "AAAA"}',
                                  '{"$plain": "tensor", "dtype": "bool", "shape": [1], "data": "Ag=="}',
                                  '{"$plain": "tensor", "dtype": "uint8", "shape": [-1, -1], "data": "AA=="}'],
                         ids=lambda text: text[:60])
def test_refuses_forged_messages(text: str) -> None:
    with pytest.raises(PlainError):
        decode(text)


def test_depth_is_bounded_also_for_a_list_that_holds_itself() -> None:
    inside: list = []
    inside.append(inside)
    with pytest.raises(PlainError, match="deep"):
        encode(inside)
    nested: list = []
    for _ in range(plain.MAX_DEPTH - 1):
        nested = [nested]
    assert decode(encode(nested)) == nested
    with pytest.raises(PlainError, match="deep"):
        decode("[" * (plain.MAX_DEPTH + 2) + "]" * (plain.MAX_DEPTH + 2))


@pytest.mark.parametrize("value", ["x" * 101, [0] * 101, torch.zeros(26), ["é" * 20]], ids=["text", "list", "tensor",
                                                                                            "escapes"])
def test_size_is_bounded(value: object) -> None:
    with pytest.raises(PlainError, match="at most|too large"):
        encode(value, max_chars=100)
    with pytest.raises(PlainError, match="at most"):
        decode(encode(value), max_chars=100)
