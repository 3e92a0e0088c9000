"""Hidden checks that many notebooks share: predictions and multiple-choice answers."""

import math
from collections.abc import Mapping

from autograder.checking import Call, Result
from course_lib.checks import show


def check_prediction(call: Call, name: str, misconception: str) -> Result:
    """Full marks for any finite number or non-empty text."""
    value = call({})["value"]
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if is_number or (isinstance(value, str) and value.strip()):
        return Result(1.0, f"{name}: {show(value)}.")
    return Result(0.0, f"{name} is {show(value)}: type your guess.", misconception)


def check_choice(call: Call, options: Mapping[str, tuple[bool, str]]) -> Result:
    """Full marks for the right letter; the reason for any, which is also the misconception of a wrong one."""
    value = call({})["value"]
    letter = value.strip().upper() if isinstance(value, str) else ""
    if letter not in options:
        return Result(0.0, f"The answer is {show(value)}; allowed are {', '.join(options)}.")
    is_right, reason = options[letter]
    return Result(1.0, f"{letter} is right. {reason}") if is_right else Result(0.0, f"{letter} is not it.", reason)
