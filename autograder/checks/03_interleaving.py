"""Hidden checks of notebook 03."""

import random
import re
from collections.abc import Sequence
from itertools import combinations, zip_longest
from typing import Any

from autograder.checking import Call, LearnerError, Result, Tally
from autograder.common_checks import check_choice, check_prediction
from course_lib import checks, orders

MISCONCEPTIONS = {
    "no_guess": "A prediction is any finite number; it need not be right, it has to be there.",
    "unit_missing": "A unit is missing: every chunk and every decode step has to run once.",
    "chunks_swapped": "A chunk does not run after the one before it, whose keys and values it attends to.",
    "decodes_swapped": "A decode step does not run after the one before it, whose token it takes.",
    "prefill_first": "All chunks run first: sequence 2 waits for the whole prompt, as in standard scheduling.",
    "decodes_first": "All decode steps run first: now sequence 1 waits until sequence 2 is done.",
    "two_in_a_row": "A sequence runs twice in a row while the other has work left, so the other waits twice in a row.",
    "not_hybrid": "Every iteration has one unit, so it takes six. A chunk and a decode step may share an iteration.",
    "one_late": "The decode steps begin an iteration late. D21 needs nothing of P11 and can run beside it.",
    "several_steps": "Two units of one sequence stand in one iteration; the second needs what the first gives.",
    "distance": "These are distances; strictly between iterations 0 and 4 lie only three others.",
    "turned_round": "The subtraction is turned round: the later iteration has the larger number.",
    "both_ends": "Both ends are counted; strictly between leaves both out.",
    "lone_step": "One decode step has no next one, so there is no gap: an empty list.",
    "places": "These are the places of the decode steps; a gap is counted between two of them.",
    "before_first": "The wait before the first decode step counts as a gap here; it lies between no two steps.",
    "after_last": "What follows the last decode step counts as a gap here; it lies between no two steps.",
    "zeros_dropped": "Neighbouring decode steps have a gap too: 0. There is one gap for each pair.",
    "chunk_gaps": "These are the gaps between chunks; the user of sequence 2 waits between decode steps.",
    "total": "There is one gap for each pair of consecutive decode steps; their sum hides a long one.",
    "rest_dropped": "The rest of the longer list is missing: zip ends with the shorter one.",
    "none_added": "None stands in the order where the shorter list has ended; leave those places out.",
    "not_flat": "Pairs or lists stand in the order; one unit an iteration is a flat list of labels.",
    "taken_from_end": "The units come out backwards: pop() takes the last one, and the first has to run first.",
    "rest_first": "The rest of the longer list runs before the turns begin, and the other sequence waits for it.",
    "sorted_labels": "The units are sorted by the numbers in their labels; a number says which unit of its sequence it "
                     "is, not when it runs. Take the two lists as they come.",
    "spread_evenly": "The shorter list is spread evenly over the longer one; until it is used up, its sequence waits "
                     "several iterations in a row.",
    "two_at_a_time": "Two units of one sequence run in a row while the other has work left; take turns one by one.",
    "lists_emptied": "The lists that the function was given are changed afterwards; the caller may need them again.",
}

CHOICES = {
    "main_advantage": {
        "A": (False, "One unit an iteration means as many iterations as units, in whatever order they run."),
        "B": (True, "At most one chunk lies between two tokens, where the standard order puts the whole prompt. "
                    "Sequence 1 pays for it with a later first token."),
        "C": (False, "The prompt's last chunk comes later, for decode steps run between the chunks; section 5 counts "
                     "how much later."),
        "D": (False, "The keys and values of the chunks so far stay in the cache while others run; nothing is freed."),
    },
    "one_unit_each": {
        "A": (False, "A request with two units of work is done after two cycles, one with twenty after twenty."),
        "B": (False, "Often, not always: one that arrives late finishes after a long one that is nearly done. Letting "
                     "the shortest go first is another policy, and under it a long one may wait for ever."),
        "C": (True, "Between two turns of a request each other request has one, no more. The cycle itself grows with "
                    "the number of active requests, and a unit that is a chunk takes longer than a decode step."),
        "D": (False, "Equal turns are about waiting, not about output: a turn spent on a chunk gives no token, unless "
                     "it is the last. Throughput depends on what shares an iteration (notebooks 05 and 06)."),
    },
}

FOUR = ["P11", "P12", "D21", "D22"]
SIX = ["P11", "P12", "P13", "D21", "D22", "D23"]


def guess_price(call: Call) -> Result:
    """There is a guess."""
    return check_prediction(call, "guess_price", MISCONCEPTIONS["no_guess"])


def main_advantage(call: Call) -> Result:
    """The right option."""
    return check_choice(call, CHOICES["main_advantage"])


def one_unit_each(call: Call) -> Result:
    """The right option."""
    return check_choice(call, CHOICES["one_unit_each"])


def order_two(call: Call) -> Result:
    """Three constraints on four units."""
    return _order(call({})["order"], FOUR)


def order_three(call: Call) -> Result:
    """Three constraints on six units."""
    return _order(call({})["order"], SIX)


def order_hybrid(call: Call) -> Result:
    """The same three on iterations with several units, and that there are three iterations."""
    return _order(call({})["order"], SIX, num_iterations=3)


def _order(order: Any, labels: list[str], num_iterations: int | None = None) -> Result:
    """A share for each constraint met; nothing for an order that does not hold every unit once."""
    try:
        iterations = [sorted(map(str, iteration)) for iteration in orders.read(order, labels)]
    except orders.OrderError as error:
        cause = MISCONCEPTIONS["unit_missing"] if "missing" in str(error) else None
        return Result(0.0, f"The order is {checks.show(order)}: {error}", cause)
    except NotImplementedError:
        return Result(0.0, "This exercise is not written yet: replace the line between its two markers.")
    if num_iterations is None and len(iterations) < len(labels):
        return Result(0.0, f"The order is {checks.show(order)}: there is one unit an iteration here.")
    where = {label: index for index, iteration in enumerate(iterations) for label in iteration}
    shown = f"The order is {checks.show(order)}"
    tally = Tally("chunks in order", "decodes in order", "nobody waits more than one iteration in a row",
                  *[] if num_iterations is None else [f"{num_iterations} iterations"])
    together = any(len({label[0] for label in iteration}) < len(iteration) for iteration in iterations)
    for kind, requirement, cause in (("P", "chunks in order", "chunks_swapped"),
                                     ("D", "decodes in order", "decodes_swapped")):
        places = [where[label] for label in labels if label[0] == kind]
        cause = "several_steps" if together else cause
        tally.true(requirement, places == sorted(set(places)),
                   f"{shown}; {', '.join(label for label in labels if label[0] == kind)} run in iterations {places}.",
                   MISCONCEPTIONS[cause])
    if num_iterations is not None:
        late = "one_late" if where["D21"] > where["P11"] else None
        cause = "not_hybrid" if len(iterations) == len(labels) else late
        tally.true(f"{num_iterations} iterations", len(iterations) == num_iterations,
                   f"{shown}; it takes {len(iterations)} iterations.", MISCONCEPTIONS.get(cause))
    for kind, sequence in (("P", 1), ("D", 2)):
        # One letter an iteration: x where this sequence runs, . where it does not; cut after its last x.
        turns = "".join("x" if any(label[0] == kind for label in iteration) else "." for iteration in iterations)
        waits = re.search(r"\.\.+", turns[:turns.rindex("x")])
        tally.true("nobody waits more than one iteration in a row", waits is None,
                   f"{shown}; sequence {sequence} has work left and does not run in iterations "
                   f"{waits and list(range(*waits.span()))}.", MISCONCEPTIONS[_why_waiting(iterations)])
    return tally.result()


def _why_waiting(iterations: list[list[str]]) -> str:
    kinds = "".join("".join(sorted({label[0] for label in iteration})) for iteration in iterations)
    if re.fullmatch("P+D+", kinds):
        return "prefill_first"
    return "decodes_first" if re.fullmatch("D+P+", kinds) else "two_in_a_row"


def decode_gaps(call: Call) -> Result:
    """The lengths of what lies between the decode steps, for random orders."""
    tally = Tally("decode steps with chunks between them", "neighbouring decode steps",
                  "what comes before the first and after the last", few := "fewer than two decode steps", edges=[few])
    for requirement, kinds in _kinds():
        order, numbers = [], {"P": 0, "D": 0}
        for kind in kinds:
            numbers[kind] += 1
            order.append(f"{kind}{'1' if kind == 'P' else '2'}{numbers[kind]}")
        expected = [len(between) for between in kinds.split("D")[1:-1]]
        places = [match.start() for match in re.finditer("D", kinds)]
        wrong = [
            ([gap + 1 for gap in expected], "distance"), ([gap + 2 for gap in expected], "both_ends"),
            ([-gap - 1 for gap in expected], "turned_round"), ([-gap - 2 for gap in expected], "turned_round"),
            ([0] * (len(places) == 1), "lone_step"), (places, "places"), (sum(expected), "total"),
            ([len(between) for between in kinds.split("D")[:-1]], "before_first"),
            ([len(between) for between in kinds.split("D")[1:]], "after_last"),
            ([gap for gap in expected if gap], "zeros_dropped"),
            ([len(between) for between in kinds.split("P")[1:-1]], "chunk_gaps"),
        ]
        given = f"decode_gaps({order})"
        try:
            tally.equal(requirement, call({"order": order})["gaps"], expected, given=given,
                        wrong=[(answer, MISCONCEPTIONS[name]) for answer, name in wrong])
        except LearnerError as error:
            tally.error(requirement, error, given)
    return tally.result()


def _kinds() -> list[tuple[str, str]]:
    """(requirement, kinds of the units in their order), drawn anew each time."""
    def spaced(at_least: int) -> str:
        gaps = [random.randint(at_least, at_least + 3) for _ in range(random.randint(3, 6))]
        return "D" + "".join("P" * gap + "D" for gap in gaps)

    cases = []
    for _ in range(4):
        cases.append(("decode steps with chunks between them", spaced(1)))
        cases.append(("neighbouring decode steps", spaced(0) + "D" * random.randint(1, 3)))
        before, after = "P" * random.randint(1, 4), "P" * random.randint(1, 4)
        cases.append(("what comes before the first and after the last", before + spaced(1) + after))
    return cases + [("fewer than two decode steps", kinds) for kinds in ("PPDPP", "PPP", "D", "")]


def interleave(call: Call) -> Result:
    """Membership in the set of all orders that meet the constraints, found by trying every one."""
    tally = Tally("as many chunks as decode steps", "more chunks", "more decode steps", "one list is empty",
                  stay := "the given lists stay as they are", edges=[stay])
    small, large = random.randint(2, 3), random.randint(6, 7)  # in lists of one or two, mistakes look alike
    cases = [("as many chunks as decode steps", n, n) for n in (4, small, 1)]
    cases += [("more chunks", *counts) for counts in ((large, small), (5, 4), (3, 1))]
    cases += [("more decode steps", *counts) for counts in ((small, large), (4, 5), (1, 3))]
    cases += [("one list is empty", *counts) for counts in ((large, 0), (0, small), (0, 0))]
    for requirement, num_chunks, num_decodes in cases:
        one, other = random.sample(range(1, 10), 2)
        first_chunk, first_decode = random.sample((1, 8), 2)  # amid a run: numbers tell nothing about turns
        chunks = [f"P{one}{j}" for j in range(first_chunk, first_chunk + num_chunks)]
        decodes = [f"D{other}{j}" for j in range(first_decode, first_decode + num_decodes)]
        given = f"interleave({chunks}, {decodes})"
        try:
            answer = call({"chunks": chunks, "decodes": decodes})
        except LearnerError as error:
            tally.error(requirement, error, given)
            continue
        _compare_order(tally, requirement, answer["order"], chunks, decodes, given)
        tally.equal(stay, [answer["chunks"], answer["decodes"]], [chunks, decodes],
                    given=f"{given}, the two lists after the call",
                    wrong=[([answer["chunks"], answer["decodes"]], MISCONCEPTIONS["lists_emptied"])])
    return tally.result()


def _compare_order(tally: Tally, requirement: str, got: Any, chunks: list[str], decodes: list[str], given: str) -> None:
    right = _all_right_orders(chunks, decodes)
    cause = next((name for name, wrong in _wrong_orders(chunks, decodes) if got == wrong), None)
    if isinstance(got, list) and any(isinstance(unit, list) for unit in got):
        cause = "not_flat"
    message = checks.explain(given, right[0], got, checks.differs(right[0], got) or "none")
    if len(right) > 1:
        message += f"\nAlso right:       {checks.show(right[1])}"
    tally.true(requirement, got in right, message, MISCONCEPTIONS.get(cause))


def _all_right_orders(chunks: Sequence[str], decodes: Sequence[str]) -> list[list[str]]:
    """Of all ways to merge the two lists, those in which no sequence with work left waits two iterations in a row."""
    found, length = [], len(chunks) + len(decodes)
    for places in combinations(range(length), len(chunks)):
        kinds = "".join("P" if place in places else "D" for place in range(length))
        if "DD" in kinds[:kinds.rfind("P") + 1] or "PP" in kinds[:kinds.rfind("D") + 1]:
            continue
        sources = {"P": iter(chunks), "D": iter(decodes)}
        found.append([next(sources[kind]) for kind in kinds])
    return found


def _wrong_orders(chunks: list[str], decodes: list[str]) -> list[tuple[str, list]]:
    """What typical mistakes make of the two lists, whichever of them starts."""
    wrong = [("prefill_first", chunks + decodes), ("decodes_first", decodes + chunks),
             ("sorted_labels", sorted(chunks + decodes, key=lambda label: label[2:])),
             ("sorted_labels", sorted(chunks + decodes, key=lambda label: int(label[2:])))]
    for one, other in ((chunks, decodes), (decodes, chunks)):
        both = min(len(one), len(other))
        turns = [label for pair in zip(one, other, strict=False) for label in pair]
        padded = [label for pair in zip_longest(one, other) for label in pair]
        backwards = [label for pair in zip_longest(one[::-1], other[::-1]) for label in pair if label]
        pairs = [label for j in range(0, max(len(one), len(other)), 2) for label in one[j:j + 2] + other[j:j + 2]]
        late = [label for pair in zip(one[len(one) - both:], other[len(other) - both:], strict=True) for label in pair]
        wrong += [("rest_dropped", turns), ("none_added", padded), ("taken_from_end", backwards),
                  ("two_at_a_time", pairs), ("spread_evenly", _spread(one, other)),
                  ("rest_first", one[both:] + other[both:] + turns),
                  ("rest_first", one[:len(one) - both] + other[:len(other) - both] + late)]
    return wrong


def _spread(one: list[str], other: list[str]) -> list[str]:
    """`other` put into `one` at equal distances."""
    size = len(one) // max(1, len(other))
    order = [unit for j, label in enumerate(other) for unit in [*one[j * size:(j + 1) * size], label]]
    return order + one[len(other) * size:]
