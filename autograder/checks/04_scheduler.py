"""Hidden checks of notebook 04. The scheduler is driven step by step; the progress of requests is kept here."""

import random
from itertools import product

from autograder.checking import Call, Result, Tally
from autograder.common_checks import check_choice, check_prediction
from autograder.scheduling import INVARIANTS, Drive, Progress, State, Suspects, share_out

MISCONCEPTIONS = {
    "no_guess": "A prediction is any finite number; it need not be right, it has to be there.",
    "decode_free": "Decodes are not counted: each costs one token of the budget, like any other token.",
    "budget_not_reduced": "Each request may take the whole budget; what one takes is gone for the next.",
    "budget_or_threshold": "The budget counts beside the threshold too: a cap on each request is none on their sum.",
    "one_token_each": "A running request costs as many tokens as it computes, not one each.",
    "no_budget": "Work is planned without a look at the budget: take at most what is left of it.",
    "not_cut": "A running request that wants more than what is left of the budget gets nothing: cut its work.",
    "takes_tail": "New requests are taken from the end of `waiting`: first come, first served, from its head.",
    "unfinished_dropped": "A request that is not finished has tokens all the same: those that have come out so far.",
    "threshold_ignored": "long_prefill_token_threshold is ignored: no request gets more tokens than that at once.",
    "threshold_zero": "A long_prefill_token_threshold of 0 means no limit, not no tokens.",
    "threshold_total": "The threshold limits each request, not all of them together.",
    "threshold_not_for_new": "The threshold holds for new requests too, not only for running ones.",
    "zero_tokens": "A request is planned with 0 tokens: without budget, leave it out (and do not admit it).",
    "prompt_only": "The work left is num_tokens - num_computed_tokens; without its output a decode has nothing to do.",
    "counts_itself": "schedule() changes num_computed_tokens; update_from_output counts, once the work is done.",
    "waiting_first": "New requests come before running ones: serve the running ones first, then admit.",
    "chunks_first": "Chunks come before decodes and take their budget: serve running requests in admission order.",
    "skips_head": "The head of the queue is passed over for a shorter request behind it: stop there, or cut it.",
    "whole_or_nothing": "A prompt that does not fit as a whole has to wait: cut it, what is left is its first chunk.",
    "seats_ignored": "max_num_seqs is ignored: no more requests than that may run at once.",
    "one_admission": "Only one request is admitted in an iteration, though budget and seats are left for more.",
    "padded": "The last chunk is rounded up past the end of the prompt.",
    "not_moved": "A request is planned but not moved to `running`: admit it, or nobody counts its tokens.",
    "not_popped": "A request is in `running` and still in `waiting`: it will be admitted again.",
    "first_token_missing": "The first token is missing: it comes from the iteration that completes the prompt.",
    "total_fixed": "Only the first token comes out. Each token that comes out is one more to compute: num_tokens grows "
                   "by one.",
    "one_token_chunk": "A chunk of one token amid the prompt is still a chunk: it gives no token.",
    "every_chunk": "A chunk amid the prompt gives no token: only reaching num_tokens does.",
    "next_iteration": "A token comes out in the iteration that completes the work (counted from 0), not the next.",
    "left_out_not_counted": "Iterations that leave the request out count too: indices are those of the run.",
    "left_out_gives": "An iteration that leaves the request out gives no token.",
    "after_the_last": "After max_tokens tokens the request is finished: no more come out.",
}

CHOICES = {
    "why_no_wait": {
        "A": (False, "Nothing is sorted: running requests are served in admission order, and with a threshold a long "
                     "prompt may well come before a decode."),
        "B": (True, "A decode asks for 1 in every iteration, a prompt never for more than the time before unless the "
                    "budget had cut it; and one that was cut is the last in line. What was enough stays enough."),
        "C": (False, "It is not: a prompt of 1,000 tokens under a budget of 128 has work for eight iterations and "
                     "more. That is why there are chunks."),
        "D": (False, "It does cost little time, but it counts: one token of the budget. Otherwise iterations would "
                     "grow with every request that decodes."),
    },
}


def guess_gap(call: Call) -> Result:
    """There is a guess."""
    return check_prediction(call, "guess_gap", MISCONCEPTIONS["no_guess"])


def why_no_wait(call: Call) -> Result:
    """The right option."""
    return check_choice(call, CHOICES["why_no_wait"])


def plan_running(call: Call) -> Result:
    """Shares of hand-made running requests with random sizes."""
    together = "threshold and budget together"
    requirements = ("the budget is shared", "long_prefill_token_threshold", together,
                    "nobody is planned with 0 tokens", "the requests stay as they are")
    tally, suspects = Tally(*requirements, edges=requirements[-1:]), Suspects()
    for requirement in requirements * 3:
        sizes = [*(random.randint(20, 60) for _ in range(3)), random.randint(100, 200)]
        done = [random.randint(1, size - 12) for size in sizes]
        outputs = random.choice([1, 3])
        running = [Progress("decode a", sizes[0], 9, 1, sizes[0]),
                   Progress("chunk b", sizes[1], 9, 0, done[1]),
                   Progress("decode c", sizes[2], 9, outputs, sizes[2] + outputs - 1),
                   Progress("chunk d", sizes[3], 9, 0, done[3])]
        lefts = running[1].left + 2
        state = State(lefts + random.randint(2, 10), 8, running=running)
        if requirement == "long_prefill_token_threshold":
            state.threshold = random.randint(3, 10)
        if requirement == together:
            state.threshold = random.randint(4, 10)  # b may have as much, and d would like to
            state.budget, state.seats = 2 + state.threshold + random.randint(1, state.threshold - 1), 4
        if requirement == "nobody is planned with 0 tokens":
            state.budget = lefts - random.choice([0, 1, 1 + random.randint(1, 5)])
        wants = [min(one.left, state.threshold or one.left) for one in running]
        expected = {key: n for key, n in share_out(running, wants, state.budget).items() if n}
        got = call({"config": state.config, "running": [vars(one) for one in running]})
        if requirement == "the requests stay as they are":
            before = [one.num_computed_tokens for one in running]
            tally.true(requirement, got["num_computed_tokens"] == before, f"num_computed_tokens was {before} before "
                       f"and is {got['num_computed_tokens']} after plan_running", MISCONCEPTIONS["counts_itself"])
        else:
            suspects.see(state, dict(got["plan"]), is_wrong=dict(got["plan"]) != expected)
            tally.equal(requirement, dict(got["plan"]), expected, given=f"plan_running: {state}")
    return suspects.name(tally.result(), MISCONCEPTIONS)


def StallFreeScheduler(call: Call) -> Result:
    """Plans of small cases, as maps, and the invariants on these and on random workloads."""
    cases = _small_cases()
    tally, suspects = Tally(*dict.fromkeys(requirement for requirement, *_ in cases), *INVARIANTS), Suspects()
    for requirement, state, arrivals, expected in cases + [_random_case(threshold) for threshold in (0, 5, 5)]:
        call({"config": state.config}, Drive(tally, requirement, state, arrivals, expected, suspects,
                                              MISCONCEPTIONS))
    return suspects.name(tally.result(), MISCONCEPTIONS)


def _small_cases() -> list[tuple]:
    """(requirement, limits, who arrives before each iteration, the plans): worked out by hand, numbers drawn anew."""
    c, k, m = random.randint(6, 12), random.randint(2, 4), random.randint(2, 4)
    request, edge = Progress, "edge cases"
    return [
        ("the running example", State(c + 1, 4), [[request("2", c - 2, 4)], [request("1", 3 * c, 3)]],
         [{"2": c - 2}, *[{"2": 1, "1": c}] * 3, {"1": 1}, {"1": 1}]),
        ("the head of the queue", State(c, 4), [[request("a", c - 2, 1), request("b", c - 1, 1), request("c", 2, 1)]],
         [{"a": c - 2, "b": 2}, {"b": c - 3, "c": 2}]),
        ("the head of the queue", State(5 * c, 6), [[request(name, m, 1) for name in "abcde"]],
         [{name: m for name in "abcde"}]),
        ("long_prefill_token_threshold", State(4 * c, 4, threshold=c), [[request("a", 6 * c + m, 2)]],
         [*[{"a": c}] * 6, {"a": m}, {"a": 1}]),
        ("long_prefill_token_threshold", State(4 * c, 4, threshold=c),
         [[request("a", 2 * c, 1), request("b", c + 1, 2), request("c", 2, 2)]],
         [{"a": c, "b": c, "c": 2}, {"a": c, "b": 1, "c": 1}, {"b": 1}]),
        ("the budget is shared", State(c, 4), [[request("a", c + 3, 1), request("b", c + 3, 1)]],
         [{"a": c}, {"a": 3, "b": c - 3}, {"b": 6}]),
        ("the budget is shared", State(5 * c, 4), [[request("a", 3 * c, 1), request("b", 4 * c, 1)]],
         [{"a": 3 * c, "b": 2 * c}, {"b": 2 * c}]),
        ("threshold and budget together", State(c + m, 4, threshold=c),
         [[request("a", 2 * c, 1), request("b", c + m, 1)]],
         [{"a": c, "b": m}, {"a": c, "b": m}, {"b": c - m}]),
        ("max_num_seqs", State(3 * c, 2), [[request("a", 1, m + 1), request("b", 2, m), request("c", 3, 1)]],
         [{"a": 1, "b": 2}, *[{"a": 1, "b": 1}] * (m - 1), {"a": 1, "c": 3}]),
        (edge, State(c, 4), [[request("a", k * c, 2)]], [*[{"a": c}] * k, {"a": 1}]),
        (edge, State(c, 4), [[request("a", k * c + 1, 2)]], [*[{"a": c}] * k, {"a": 1}, {"a": 1}]),
        (edge, State(c, 4), [[request("a", c - 3, 1), request("b", 3, 1)]], [{"a": c - 3, "b": 3}]),
        (edge, State(k, k), [[*[request(f"d{n}", 1, m) for n in range(k)], request("e", 1, 1)]],
         [*[{f"d{n}": 1 for n in range(k)}] * m, {"e": 1}]),
        (edge, State(k + 2, k + 2),
         [[request(f"d{n}", 1, 3) for n in range(k)], [request("e", 5, 1), request("f", 1, 1)]],
         [{f"d{n}": 1 for n in range(k)}, *[{f"d{n}": 1 for n in range(k)} | {"e": 2}] * 2, {"e": 1, "f": 1}]),
        (edge, State(c, 4), [[], [request("a", 2, 2)], [], [], [request("b", 3, 1)]],
         [{}, {"a": 2}, {"a": 1}, {}, {"b": 3}]),
    ]


def _random_case(threshold: int) -> tuple:
    """A workload with arrivals mid-run and idle times; whatever order is planned, the invariants must hold."""
    seats = random.randint(2, 5)
    arrivals = [[Progress(f"r{step}.{number}", random.randint(1, 40), random.randint(1, 6))
                 for number in range(random.choice([0, 0, 1, 2]))] for step in range(8)]
    return "", State(seats + random.randint(0, 12), seats, threshold), arrivals, None


def token_iterations(call: Call) -> Result:
    """Random plans of one request; output token j comes from the iteration that computes the position before it."""
    requirements = ("the first token", "decode steps", "iterations that leave the request out", "max_tokens=1",
                    "a request that is not finished", "nothing after the last token", "chunks of one token")
    tally = Tally(*requirements)
    for requirement, none_yet in product(requirements, (False, True)):
        prompt, most, plans = _one_request(requirement, none_yet)
        computed_in = [index for index, num_tokens in enumerate(plans) for _ in range(num_tokens)]
        expected = computed_in[prompt - 1:prompt - 1 + most]
        got = call({"num_prompt_tokens": prompt, "max_tokens": most, "plans": plans})["iterations"]
        single = [index for index, num_tokens in enumerate(plans)
                  if num_tokens == 1 or (num_tokens and sum(plans[:index + 1]) == prompt)]
        work = [index for index, num_tokens in enumerate(plans) if num_tokens]
        wrong = [
            (expected[:1], "total_fixed"),
            (expected[1:], "first_token_missing"),
            (computed_in[prompt:prompt + most], "first_token_missing"),
            (computed_in[prompt - 1:], "after_the_last"), (computed_in[prompt - 1:prompt + most], "after_the_last"),
            ([] if len(expected) < most else expected, "unfinished_dropped"),
            (single, "one_token_chunk"), (single[:most], "one_token_chunk"),
            (work, "every_chunk"), (work[:most], "every_chunk"),
            ([index + 1 for index in expected], "next_iteration"),
            ([work.index(index) for index in expected], "left_out_not_counted"),
            (list(range(len(plans)))[expected[0]:][:most] if expected else [], "left_out_gives"),
            ([index for index in range(len(plans)) if sum(plans[:index + 1]) == prompt][:most], "total_fixed"),
        ]
        tally.equal(requirement, got, expected, given=f"token_iterations({prompt}, {most}, {plans})",
                    wrong=_named(wrong))
    return tally.result()


def _one_request(requirement: str, none_yet: bool) -> tuple[int, int, list[int]]:
    """Prompt length, max_tokens and plans: chunks of random sizes, then decode steps, changed as required.

    `none_yet`: a request that is not finished has no token yet, or else some.
    """
    chunks = [random.randint(2, 9) for _ in range(random.randint(2, 4))]
    if requirement == "chunks of one token":
        chunks.insert(random.randrange(len(chunks)), 1)  # never the last
    prompt, most = sum(chunks), 1 if requirement == "max_tokens=1" else random.randint(4, 6)
    plans = [0] * random.randint(len(chunks), 5) + chunks
    if requirement == "the first token":
        return prompt, 1, plans
    plans += [1] * (most - 1)
    if requirement == "iterations that leave the request out":
        for _ in range(random.randint(4, 8)):
            plans.insert(random.randrange(len(plans)), 0)
        plans.insert(-1, 0)  # between two tokens
    elif requirement == "a request that is not finished":
        plans = plans[:-most if none_yet else -2]
    elif requirement == "nothing after the last token":
        plans += [1, 0, 1]
    return prompt, most, plans


def _named(wrong: list[tuple[object, str]]) -> list[tuple[object, str]]:
    return [(answer, MISCONCEPTIONS[name]) for answer, name in wrong]
