"""Whether steps can happen in a given order: which step comes too early, and what it would have to wait for.

Any order in which each step finds what it needs is right; course_lib/orders.py judges orders of chunks and decode
steps by when they run. The rules are written like the options of a multiple-choice question, {statement: (is right,
why)}, so that they can be sealed like them: `"earlier step -> later step": (True, why)`, and `"step": (False, why it
never happens)`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from course_lib import checks

__all__ = ["check_steps"]  # the rest also serves the hidden check

ARROW = " -> "
Rules = Mapping[str, tuple[bool, str]]
Problem = tuple[str, str | None]  # what is wrong, and why it cannot be


def steps_of(rules: Rules) -> list[str]:
    """All steps that belong in the order, each once, in the order in which the rules name them."""
    return list(dict.fromkeys(step for rule, (is_right, _) in rules.items() if is_right for step in rule.split(ARROW)))


def wrong_steps(order: Sequence[str], rules: Rules) -> list[Problem]:
    """Steps that should not be there, stand twice, are not known or are missing."""
    problems: list[Problem] = []
    steps = steps_of(rules)
    never = {step: why for step, (is_right, why) in rules.items() if not is_right}
    for place, step in enumerate(order, start=1):
        if not isinstance(step, str) or step not in [*steps, *never]:
            problems.append((f"step {place}, {checks.show(step)}, is none of the steps in the list", None))
        elif step in never:
            problems.append((f"step {place}, {step!r}, never happens", never[step]))
        elif step in _texts(order[:place - 1]):
            problems.append((f"step {place}, {step!r}, stands twice", None))
    return problems + [(f"{step!r} is missing", None) for step in steps if step not in _texts(order)]


def too_early(order: Sequence[str], rules: Rules) -> list[Problem]:
    """Steps that stand before one they need, the first of them first. A needed step that is missing counts as late."""
    problems: list[Problem] = []
    for place, step in enumerate(order, start=1):
        for rule, (is_right, why) in rules.items():
            earlier, _, later = rule.partition(ARROW)
            if is_right and later == step and earlier not in _texts(order[:place - 1]):
                problems.append((f"step {place}, {step!r}, comes before {earlier!r}, which it needs", why))
    return problems


def _texts(order: Sequence[Any]) -> list[str]:
    """The steps that are texts: others may not even be comparable."""
    return [step for step in order if isinstance(step, str)]


def check_steps(name: str, order: Any, sealed: str) -> None:
    """The visible check of an ordering exercise: says which step is the first that cannot happen where it stands."""
    rules = checks.unseal(sealed)
    with checks.exercise(name) as check:
        check.written(order)
        is_order = isinstance(order, Sequence) and not isinstance(order, str)
        check.true(is_order, f"{name} is {checks.show(order)}: set it to a list of steps, the first step first.")
        order = [step.strip() if isinstance(step, str) else step for step in order]
        problems = wrong_steps(order, rules) + too_early(order, rules)
        check.true(not problems, "In your order, " + ".\n".join(filter(None, problems[0])) if problems else "")
        check.praise = f"{name}: all {len(order)} steps can happen in this order."
