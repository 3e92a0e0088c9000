"""What the tests of bad input share: a package's public surface, and calls that must be refused in our own words."""

import enum
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from course_lib.short import show

# What an error may be. Those of files, OSError, name the file by themselves.
REFUSALS = (ValueError, TypeError, KeyError, OSError)


@dataclass(frozen=True)
class Bad:
    """A call that is bad for each value that is drawn: `call(value)` must raise, with each of `says` in the message.

    `shows`: also the value itself, as messages show it. `state`: what must be the same before and after.
    """

    call: Callable[[Any], Any]
    values: SearchStrategy
    says: tuple[str, ...]
    shows: bool = True
    error: type[Exception] | tuple[type[Exception], ...] = REFUSALS
    state: Callable[[], Any] = lambda: None


def argument(call: Callable[..., Any], name: str, *strategies: SearchStrategy, label: str | None = None,
             state: Callable[[], Any] = lambda: None) -> Bad:
    """Bad values of one argument, which the message must name (as `label`, where that is not its name)."""
    return Bad(lambda value: call(**{name: value}), st.one_of(*strategies), (label or name, "must"), state=state)


def check(bad: Bad, value: Any) -> None:
    """Makes the call; fails unless it is refused as it should be."""
    before = bad.state()
    with pytest.raises(Exception) as raised:  # noqa: B017  which ones are right is asked below, with the message shown
        bad.call(value)
    error = raised.value
    message = error.args[0] if isinstance(error, KeyError) else str(error)  # as text, a KeyError quotes its message
    assert isinstance(error, bad.error) and not isinstance(error, UnicodeError), f"{type(error).__name__}: {message}"
    for part in (*bad.says, *([show(value)] if bad.shows else [])):
        assert part in message, f"{part!r} is not in: {message}"
    assert repr(bad.state()) == repr(before)


def surface(package: ModuleType) -> dict[str, Callable]:
    """Everything public that takes input, by its name without the package's: functions, classes, their methods.

    Public is what a module's `__all__` lists; without one, what it defines under a name without an underscore.
    Errors, enums and protocols are left out, and the modules inside a package with an `__all__`.
    """
    found: dict[str, Callable] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.name not in ("nbgrader_config", "__main__"):  # a file that nbgrader reads; a command line
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            found.update(members(module, info.name))
    return found


def members(module: ModuleType, short: str) -> Iterator[tuple[str, Callable]]:
    """What one module adds to the surface, each name after `short`."""
    for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
        thing = getattr(module, name)
        if not getattr(thing, "__module__", "").startswith(module.__name__):
            continue
        if inspect.isfunction(thing) and _takes_input(thing):
            yield f"{short}.{name}", thing
        elif inspect.isclass(thing) and not issubclass(thing, Exception | enum.Enum) \
                and not getattr(thing, "_is_protocol", False):
            if _takes_input(thing):
                yield f"{short}.{name}", thing
            for method, function in vars(thing).items():
                function = getattr(function, "__func__", function)
                if (method == "__call__" or method[0] != "_") and inspect.isfunction(function):
                    if _takes_input(function, skip=1):
                        yield f"{short}.{name}.{method}", function


def _takes_input(function: Callable, skip: int = 0) -> bool:
    return len(inspect.signature(function).parameters) > skip


# Values. NumPy's and torch's numbers are refused as Python's bool is: neither JSON nor the grader knows them.
ODD = st.one_of(st.none(), st.booleans(), st.complex_numbers(), st.binary(max_size=3), st.builds(object),
                st.sampled_from([numpy.int64(3), numpy.bool_(True), torch.tensor(3), torch.tensor([1.5, 2.5]), int]))
TEXTS = st.text(max_size=5) | st.sampled_from(["3", "nan", "[1]"])
LISTS = st.lists(st.integers(0, 3), max_size=2)
FLOATS = st.floats() | st.sampled_from([0.0, 1.0, 3.0])
NOT_INTS = st.one_of(ODD, TEXTS, LISTS, FLOATS)
NOT_NUMBERS = st.one_of(ODD, TEXTS, LISTS)
NOT_FINITE = st.sampled_from([float("nan"), float("inf"), float("-inf")])
NEGATIVE = st.floats(max_value=-1e-9, allow_infinity=False) | st.integers(max_value=-1)
NOT_TEXTS = st.one_of(ODD, LISTS, FLOATS, st.integers())
NOT_LISTS = st.one_of(st.none(), st.booleans(), FLOATS, st.integers(), st.builds(object))
NOT_DICTS = st.one_of(ODD, FLOATS, st.integers(), st.lists(st.integers(), min_size=1, max_size=2),
                      st.text(min_size=1, max_size=5)).filter(lambda value: value is not None)


def below(minimum: int) -> SearchStrategy[int]:
    """Ints that are too small."""
    return st.integers(max_value=minimum - 1)


def above(maximum: int) -> SearchStrategy[int]:
    """Ints that are too large."""
    return st.integers(min_value=maximum + 1)
