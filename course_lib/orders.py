"""Orders: which unit of work runs in which iteration, written by hand as labels.

P12 is the second prefill chunk of sequence 1, D23 the third decode step of sequence 2. An order is a list with one
label an iteration, `["P11", "D21"]`, or with a list of labels an iteration, `[["P11", "D21"]]`. A plan for the engine
only says how many tokens a request computes, so that an order has to be read before it can be executed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from course_lib.validate import check_int, check_type, checked_list

LABEL = re.compile(r"([PD])(\d),?(\d{1,4})")
DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")

CHUNKS_IN_ORDER = "The chunks run in order, each in a later iteration than the one before"
DECODES_IN_ORDER = "The decode steps run in order, each in a later iteration than the one before"
NO_LONG_WAIT = "No sequence waits more than one iteration in a row, from iteration 0 until its units are used up"


class OrderError(ValueError):
    """An order that cannot be read or executed. Jupyter shows the sentence alone, without a stack of our frames."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


@dataclass(frozen=True)
class Unit:
    """One unit of work: the `number`-th prefill chunk (kind "P") or decode step ("D") of a sequence."""

    kind: str
    sequence: int
    number: int

    def __str__(self) -> str:
        return f"{self.kind}{self.sequence}{self.number}"


def unit(label: Any) -> Unit:
    """The unit that a label names; `"P₁₂"` and `" p12"` are read as P12. OrderError for anything else."""
    plain = label.strip().upper().translate(DIGITS) if isinstance(label, str) else ""
    found = LABEL.fullmatch(plain)
    if not found or found[3].startswith("0"):
        if len(LABEL.findall(plain)) > 1:
            raise OrderError(f"{label!r} holds several labels: each is a text of its own, and units that share an "
                             "iteration stand in a list, such as ['P11', 'D21']")
        raise OrderError(f"{label!r} is not a label; a label is a text such as 'P11' or 'D21': P for a prefill chunk "
                         "or D for a decode step, the sequence's digit, the number of the chunk or step from 1 on")
    return Unit(found[1], int(found[2]), int(found[3]))


def read(order: Any, labels: Iterable[str] | None = None) -> list[list[Unit]]:
    """The units of each iteration. With `labels`, the order must hold each of them exactly once.

    OrderError, which says what to change, for an order that cannot be read; NotImplementedError for None.
    """
    if order is None:
        raise NotImplementedError("this order is not written yet")
    if not _is_list(order):
        raise OrderError(f"an order is a list of labels such as ['P11', 'D21'], got {order!r}")
    iterations = [[unit(label) for label in _labels_of(entry, index)] for index, entry in enumerate(order)]
    found = [one for iteration in iterations for one in iteration]
    for one in found:
        if found.count(one) > 1:
            raise OrderError(f"{one} stands {found.count(one)} times in the order; every unit runs once")
    if labels is not None:
        wanted = [unit(label) for label in checked_list("labels", labels, str, "labels such as 'P11'")]
        allowed = ", ".join(map(str, wanted))
        for one in found:
            if one not in wanted:
                raise OrderError(f"{one} is none of the units to order; they are {allowed}")
        missing = [str(one) for one in wanted if one not in found]
        if missing:
            raise OrderError(f"{', '.join(missing)} missing: each of {allowed} has to run once")
    return iterations


def impossible(order: Any) -> str | None:
    """Why no engine could execute this order, in a sentence; None when one could."""
    where = _where(read(order))
    for earlier, later in _neighbours(where):
        if earlier not in where:
            return f"{later} runs, but {earlier} never does. {_reason(earlier, later)}"
        if where[later] <= where[earlier]:
            how = "in the same iteration as" if where[later] == where[earlier] else "before"
            return f"{later} runs {how} {earlier}. {_reason(earlier, later)}"
    return None


def judge(order: Any, labels: Sequence[str], num_iterations: int | None = None) -> dict[str, str | None]:
    """For each constraint, in words, why the order breaks it, or None where it is met.

    `labels`: the units to order. `num_iterations`: how many iterations it may take; None: one unit an iteration.
    OrderError when the order cannot be judged: it must hold every unit once.
    """
    if num_iterations is not None:
        check_int("num_iterations", num_iterations, 1)
    iterations = read(order, checked_list("labels", labels, str, "labels such as 'P11'"))
    if num_iterations is None and any(len(iteration) > 1 for iteration in iterations):
        raise OrderError("there is one unit an iteration here: write a plain list of labels, ['P11', ...]")
    where = _where(iterations)
    in_order = {"P": None, "D": None}
    for earlier, later in _neighbours(where):
        if where[later] <= where[earlier]:
            in_order[later.kind] = in_order[later.kind] or (
                f"{later} is in iteration {where[later]}, {earlier} in {where[earlier]}. {_reason(earlier, later)}")
    found = {CHUNKS_IN_ORDER: in_order["P"], DECODES_IN_ORDER: in_order["D"], NO_LONG_WAIT: _long_wait(where)}
    if num_iterations is not None:
        problem = f"this order takes {len(iterations)}; units of different sequences may share an iteration."
        right = len(iterations) == num_iterations
        found[f"It takes {num_iterations} iterations"] = None if right else problem
    return found


def plans(order: Any, num_tokens: Mapping[str, int]) -> list[dict[str, int]]:
    """The engine's plan of each iteration, {request id: tokens}: `num_tokens[label]` for a chunk, 1 for a decode step.

    OrderError when the order is impossible: a plan does not know which chunk it computes, and would run it anyway.
    """
    check_type("num_tokens", num_tokens, Mapping, "a dict from a chunk's label to its number of tokens")
    if problem := impossible(order):
        raise OrderError(f"This order is not executed: {problem}")
    for one in chain.from_iterable(read(order)):
        if one.kind == "P" and str(one) not in num_tokens:
            raise KeyError(f"num_tokens has no size for the chunk {one}, only for {list(num_tokens)}; add it")
    return [{str(one.sequence): num_tokens[str(one)] if one.kind == "P" else 1 for one in iteration}
            for iteration in read(order)]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes)


def _labels_of(entry: Any, index: int) -> list[Any]:
    if not _is_list(entry):
        return [entry]
    if not entry:
        raise OrderError(f"iteration {index} is empty; leave it out")
    return list(entry)


def _where(iterations: list[list[Unit]]) -> dict[Unit, int]:
    """The iteration of each unit."""
    return {one: index for index, iteration in enumerate(iterations) for one in iteration}


def _neighbours(where: Mapping[Unit, int]) -> list[tuple[Unit, Unit]]:
    """Pairs of units of one sequence of which the second needs the first, whether the first is there or not."""
    pairs = [(Unit(one.kind, one.sequence, one.number - 1), one) for one in where if one.number > 1]
    for one in where:
        chunks = [other for other in where if (other.kind, other.sequence) == ("P", one.sequence)]
        if one.kind == "D" and one.number == 1 and chunks:
            pairs.append((max(chunks, key=lambda chunk: chunk.number), one))
    return sorted(pairs, key=lambda pair: (pair[1].kind == "D", pair[1].sequence, pair[1].number))


def _reason(earlier: Unit, later: Unit) -> str:
    if later.kind == "P":
        return f"{later} attends to the keys and values that {earlier} writes."
    return f"{later} needs the token that comes out of {earlier}."


def _long_wait(where: Mapping[Unit, int]) -> str | None:
    for sequence in sorted({one.sequence for one in where}):
        busy = sorted({index for one, index in where.items() if one.sequence == sequence})
        for before, after in pairwise([-1, *busy]):
            if after - before > 2:
                return (f"sequence {sequence} has work left and waits {after - before - 1} iterations in a row, "
                        f"from {before + 1} to {after - 1}.")
    return None
