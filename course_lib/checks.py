"""What a check says: the input, what was expected, what came, where they first differ, and the likely misconception.

A visible check compares a learner's function with answers that stand in the notebook:

    with checks.exercise("split_into_chunks") as check:
        check.call(split_into_chunks, 10, 4, expect=[range(0, 4), range(4, 8), range(8, 10)],
                   wrong=[([range(0, 4), range(4, 8)], "The last, shorter chunk is missing.")])

The hidden checks of the grader phrase their messages with the same functions.
"""

import base64
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from traceback import walk_tb
from types import TracebackType
from typing import Any

from course_lib import progress
from course_lib.compare import differs, is_list
from course_lib.short import show
from course_lib.validate import check_type

Wrong = Sequence[tuple[Any, str]]  # pairs: an answer that is often given, and the misconception behind it

STUB = "<not written yet>"  # what an unwritten exercise raises
passed: set[str] = set()  # the names of the exercises whose visible check has passed in this session


class CheckFailed(AssertionError):
    """A check found a difference. Jupyter shows the message alone, without a stack of our own frames."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


def explain(given: str, expected: Any, got: Any, difference: str, misconception: str | None = None) -> str:
    """The message of a failed comparison, one fact a line."""
    lines = [
        f"Input:            {given}",
        f"Expected:         {show(expected)}",
        f"Got:              {show(got)}",
        f"First difference: {difference}",
    ]
    if misconception:
        lines.append(f"Likely cause:     {misconception}")
    return "\n".join(lines)


def likely_misconception(got: Any, wrong: Wrong, tolerance: float = 1e-6) -> str | None:
    """The misconception of the first answer in `wrong` that equals `got`, or None."""
    return next((sentence for answer, sentence in wrong if differs(answer, got, tolerance) is None), None)


class Check:
    """The visible check of one exercise, used with `with checks.exercise(name) as check:`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self._of_variable = False
        self.praise: str | None = None  # said at the end instead of the number of comparisons

    def call(self, function: Callable, *args: Any, expect: Any, wrong: Wrong = (), given: str | None = None,
             tolerance: float = 1e-6) -> None:
        """Calls the learner's function and compares its answer; `given` replaces the call as the shown input."""
        shown = given or self._shown(function, args)
        self.equal(function(*args), expect, given=shown, wrong=wrong, tolerance=tolerance)

    def equal(self, got: Any, expected: Any, *, given: str, wrong: Wrong = (), tolerance: float = 1e-6) -> None:
        """Compares an answer that is there already."""
        if difference := differs(expected, got, tolerance):
            nothing = "The function gives nothing back: is there a `return` at its end?"
            wrong = wrong if self._of_variable else [*wrong, (None, nothing)]
            cause = likely_misconception(got, wrong, tolerance)
            if isinstance(got, Iterator) and is_list(expected):
                cause = "This gives its items one by one, and only once: make a list of it, list(...)."
            raise CheckFailed(explain(given, expected, got, difference, cause))
        self.count += 1

    def written(self, value: Any) -> None:
        """An answer that is a variable, not a function: None means that it was not filled in."""
        self._of_variable = True
        if value is None:
            raise NotImplementedError(f"{self.name} is still None: fill in the cell above and run it")

    def true(self, condition: bool, message: str) -> None:
        """A condition that has no expected value to show; `message` says what is wrong and what to look at."""
        try:
            holds = bool(condition)
        except Exception:  # a tensor of several values, say, made from an answer of another kind
            holds = False
        if not holds:
            raise CheckFailed(message)
        self.count += 1

    def raises(self, error: type[Exception], function: Callable, *args: Any) -> None:
        """The learner's function must refuse these arguments with `error`."""
        shown = self._shown(function, args)
        try:
            got = function(*args)
        except error:
            self.count += 1
            return
        raise CheckFailed(
            f"Input:            {shown}\nExpected:         {error.__name__}\nGot:              {show(got)}\n"
            f"Likely cause:     This input has no right answer; raise {error.__name__} and say what is allowed."
        )

    def _shown(self, function: Any, args: Sequence[Any]) -> str:
        """The call as text."""
        if not callable(function):
            raise CheckFailed(f"{self.name} checks a function, but the name stands for {show(function)}: something "
                              "else was assigned to it; run the cell that defines the function again.")
        return f"{getattr(function, '__name__', show(function))}({', '.join(show(arg) for arg in args)})"

    def __enter__(self) -> "Check":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None:
            passed.add(self.name)
            progress.record(self.name, passed=True)
            print(self.praise or f"{self.name}: {self.count} check{'s' * (self.count != 1)} passed.")
            return False
        passed.discard(self.name)
        if isinstance(error, NotImplementedError):
            _say_what_is_missing(error)
        elif isinstance(error, Exception) and not isinstance(error, NameError):
            # Not a try: nothing is written yet, a cell above was not run, or the run was interrupted.
            progress.record(self.name, passed=False)
        # Marks come from the hidden checks alone, so under the grader a visible check only tells.
        if os.environ.get("NBGRADER_EXECUTION") == "autograde" and isinstance(error, Exception):
            print(f"{type(error).__name__}: {error}" if not isinstance(error, CheckFailed) else error)
            return True
        return False


def _say_what_is_missing(error: NotImplementedError) -> None:
    """Lets Jupyter and Validate show one sentence instead of a stack that ends in a stub."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    said = f"{frame.f_code.co_qualname} is not written yet: write it between the markers and run its cell"
    error._render_traceback_ = lambda: [f"NotImplementedError: {said if str(error) == STUB else error}"]


def exercise(name: str) -> Check:
    """The visible check of exercise `name`; prints how many comparisons passed, or raises at the first that fails."""
    return Check(name)


def predicted(name: str, value: Any) -> None:
    """A prediction counts for being there: any finite number or non-empty text will do."""
    with exercise(name) as check:
        check.written(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
        is_text = isinstance(value, str) and bool(value.strip())
        check.true(is_number or is_text, f"{name} is {show(value)}: type your guess, any number; it need not be right.")
        check.praise = f"{name}: your guess is {show(value)}."


def seal(options: Mapping[str, tuple[bool, str]]) -> str:
    """Options of a multiple-choice question, {letter: (is right, why)}, as text that nobody reads by accident."""
    check_type("options", options, Mapping, "a dict {letter: (is right, why)}")
    for letter, option in options.items():
        if not (isinstance(letter, str) and isinstance(option, Sequence) and [*map(type, option)] == [bool, str]):
            raise ValueError(f"each option must be a letter with (True or False, why), got {show({letter: option})}")
    return base64.b85encode(zlib.compress(json.dumps(dict(options)).encode())).decode()


def unseal(sealed: str) -> dict[str, tuple[bool, str]]:
    """The options that `seal` was given."""
    try:
        options = json.loads(zlib.decompress(base64.b85decode(sealed)))
        return {option: (is_right, why) for option, (is_right, why) in options.items()}
    except (AttributeError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"the sealed options {show(sealed)} were changed; copy this cell anew from the notebook as it "
                         "was released") from error


def choice(name: str, answer: Any, sealed: str) -> None:
    """Checks a multiple-choice answer and says why it is right or wrong."""
    options = unseal(sealed)
    with exercise(name) as check:
        check.written(answer)
        letters = ", ".join(repr(letter) for letter in options)
        check.true(isinstance(answer, str) and answer.strip().upper() in options,
                   f"{name} is {show(answer)}: set it to one of {letters}.")
        letter = answer.strip().upper()
        is_right, reason = options[letter]
        check.true(is_right, f"{letter} is not it. {reason} Try again; retries are free.")
        check.praise = f"{letter} is right. {reason}"
