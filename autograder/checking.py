"""What a hidden check works with: `call`s into the learner's code, a `Tally` of requirements, a `Result`."""

import contextlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from autograder import plain
from course_lib import checks

MAX_MESSAGE = 2000  # characters of a learner's exception that are shown
NOT_WRITTEN = "This exercise is not written yet: replace the line between its two markers."

Ask = Callable[[dict], dict]
Adapter = Callable[[Mapping[str, Any], dict, Ask], dict]


class Call(Protocol):
    """Sends a payload to the exercise's adapter; while it runs, `answer` replies to what the adapter asks."""

    def __call__(self, payload: dict, answer: Callable[[dict], dict] | None = None) -> dict: ...


Check = Callable[[Call], "Result"]


@dataclass(frozen=True)
class Result:
    """How much of an exercise is right (0 to 1), what to tell the learner, and the misconception, where it shows."""

    share: float
    message: str
    misconception: str | None = None


class LearnerError(Exception):
    """An exception in the learner's code, or an answer of it that is not plain data."""

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(type_name, message)
        self.type_name = type_name
        self.message = message

    def __str__(self) -> str:
        if self.type_name == "NotImplementedError":
            return NOT_WRITTEN
        if self.type_name == "StdinNotImplementedError":
            return "Your code calls input(), but nobody is there to type while it is graded: write the value down."
        return f"Your code raised {self.type_name}: {self.message}"


class CheckCrashed(Exception):
    """A hidden check failed by itself. No mark is given: the instructor has to look."""

    def _render_traceback_(self) -> list[str]:
        # Feedback pages show this, and the frames would hold the hidden check.
        return ["CheckCrashed: the check of this exercise broke down; that is not your doing. A person will mark it."]


class Tally:
    """Requirements and whether every case of each was met; the first failure gives the message.

    Name in the constructor all requirements that count: one that no case reaches has failed. `edges` are those of them
    that an empty answer, or the lines that are given, would meet: they count only beside one of the others that is met.
    """

    def __init__(self, *requirements: str, edges: Collection[str] = ()) -> None:
        self._edges = edges
        self._met: dict[str, bool | None] = dict.fromkeys(requirements)
        self._failures: list[tuple[str, str | None]] = []

    def equal(self, requirement: str, got: Any, expected: Any, *, given: str, wrong: checks.Wrong = ()) -> bool:
        """A case that is met when `got` equals `expected`; `wrong` holds (answer, misconception) pairs."""
        return self.close(requirement, got, expected, given=given, wrong=wrong, tolerance=1e-9)

    def close(self, requirement: str, got: Any, expected: Any, *, given: str, wrong: checks.Wrong = (),
              tolerance: float = 1e-6) -> bool:
        """Like `equal`, for floats and tensors that agree within `tolerance`, absolute and relative."""
        difference = checks.differs(expected, got, tolerance)
        if difference is None:
            return self._record(requirement, True)
        misconception = checks.likely_misconception(got, wrong, tolerance)
        return self._record(requirement, False, checks.explain(given, expected, got, difference), misconception)

    def true(self, requirement: str, condition: bool, message: str, misconception: str | None = None) -> bool:
        """A case that is met when `condition` holds."""
        return self._record(requirement, bool(condition), message, misconception)

    def error(self, requirement: str, error: LearnerError, given: str = "", misconception: str | None = None) -> bool:
        """A case in which the learner's code raised."""
        return self._record(requirement, False, f"Input: {given}\n{error}" if given else str(error), misconception)

    def _record(self, requirement: str, met: bool, message: str = "", misconception: str | None = None) -> bool:
        self._met[requirement] = met and self._met.get(requirement) is not False
        if not met:
            self._failures.append((f"{requirement}:\n{message}", misconception))
        return met

    def result(self) -> Result:
        """The share of requirements met, with the first failure's words (one that names a misconception goes first)."""
        if not self._met:
            raise ValueError("the check recorded no case: call equal, close, true or error before result")
        right = [requirement for requirement, met in self._met.items() if met]
        share = len(right) / len(self._met) if set(right) - set(self._edges) else 0.0
        if not self._failures:
            unreached = [name for name, met in self._met.items() if met is None]
            if unreached:
                raise ValueError(f"the check ended without a failure and without a case of: {', '.join(unreached)}")
            return Result(1.0, "All requirements are met.")
        message, misconception = next((failure for failure in self._failures if failure[1]), self._failures[0])
        return Result(share, message, misconception)


class _Defined(Mapping):
    """A learner's namespace in which a missing name says that its cell is missing."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise NameError(f"{name} is not defined: was its cell deleted, renamed or not run?")
        return self._names[name]

    def __iter__(self):
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def direct_call(adapter: Adapter, learner: Mapping[str, Any]) -> Call:
    """A `call` that runs the adapter in this process; everything passes through `plain` in both directions.

    An exception of the adapter or of the learner's code comes out as LearnerError. One of `answer` comes out
    as it is (a LearnerError there says that the question was the learner's mistake), even if the learner's code
    swallows it. What the learner's code prints is dropped.
    """

    def call(payload: dict, answer: Callable[[dict], dict] | None = None) -> dict:
        refused: list[Exception] = []

        def ask(question: dict) -> dict:
            question = plain.decode(plain.encode(question))
            try:
                if answer is None:
                    raise TypeError("the adapter asked a question, but the check gave no `answer`")
                return plain.decode(plain.encode(answer(question)))
            except Exception as error:
                refused.append(error)
                raise RuntimeError(f"the call was refused: {error}") from None

        sent = plain.decode(plain.encode(payload))
        try:
            with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
                received = plain.encode(adapter(_Defined(learner), sent, ask))
        except (Exception, SystemExit) as error:
            if refused:
                raise refused[0] from None
            raise LearnerError(type(error).__name__, str(error)[:MAX_MESSAGE]) from error
        if refused:
            raise refused[0]
        return plain.decode(received)

    return call


def run_check(check: Check, call: Call) -> Result:
    """The check's result; a LearnerError that it did not expect means that nothing is right."""
    try:
        result = check(call)
    except LearnerError as error:
        return Result(0.0, str(error))
    if not isinstance(result, Result) or not isinstance(result.share, int | float) or not 0 <= result.share <= 1:
        raise ValueError(f"a check must return a Result with a share from 0 to 1, got {result!r}")
    return result


def points(result: Result, max_points: float) -> float:
    """The mark, in [0, max_points], rounded to 2 decimals."""
    return min(max(round(float(result.share) * max_points, 2), 0.0), float(max_points))


def report(result: Result, exercise: str, max_points: float) -> str:
    """What the learner's feedback page says."""
    lines = [f"{exercise}: {points(result, max_points):g} of {max_points:g} points.", result.message]
    if result.misconception:
        lines.append(f"Likely cause: {result.misconception}")
    return "\n".join(lines)
