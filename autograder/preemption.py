"""A check's own count of a scheduler with a pool of KV blocks: block by block, after the four rules.

Nothing here runs the learner's code or the reference solution.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from autograder.checking import Tally
from autograder.scheduling import Progress, State


@dataclass
class PoolState(State):
    """The queues before an iteration, its limits and its pool. Between iterations a running request holds the blocks
    that its computed tokens touch, and a waiting one none."""

    block_size: int = 4
    num_kv_blocks: int | None = None
    num_preemptions: int = 0

    @property
    def config(self) -> dict[str, int | None]:
        return super().config | {"block_size": self.block_size, "num_kv_blocks": self.num_kv_blocks}

    @property
    def num_free_blocks(self) -> float:
        return self.pool - sum(len(self.blocks(one.num_computed_tokens)) for one in self.running)

    @property
    def pool(self) -> float:
        return float("inf") if self.num_kv_blocks is None else self.num_kv_blocks

    def blocks(self, num_tokens: int) -> set[int]:
        """The places in a request's block table that its first tokens touch."""
        return {position // self.block_size for position in range(num_tokens)}

    def share(self, one: Progress, budget: int) -> int:
        """Rule 1."""
        return min(one.left, self.threshold or budget, budget)

    def __str__(self) -> str:
        free = "" if self.num_kv_blocks is None else f" ({self.num_free_blocks} free)"
        running = "; ".join(f"{one.request_id} with {one.num_computed_tokens} computed, {one.left} left"
                            for one in self.running)
        waiting = "; ".join(f"{one.request_id} with {one.left} left" for one in self.waiting)
        return (f"budget {self.budget}, max_num_seqs {self.seats}, threshold {self.threshold}, "
                f"{self.num_kv_blocks or 'ample'} blocks of {self.block_size} tokens{free}; "
                f"running: {running or 'nobody'}; waiting: {waiting or 'nobody'}")


@dataclass
class Step:
    """What an iteration should do, and the queues (request ids) when it is planned. `preempted`: in that order."""

    plan: dict[str, int] = field(default_factory=dict)
    preempted: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


def plan_step(state: PoolState) -> Step:
    """Rules 1 to 3, by trying: is it enough if nobody goes, if the last one goes, the last two, ...?"""
    step, budget = Step(), state.budget
    held = {one.request_id: state.blocks(one.num_computed_tokens) for one in state.running}
    in_line = [one.request_id for one in state.running]
    for one in state.running:
        if one.request_id not in in_line:
            break
        num_tokens = state.share(one, budget)
        wanted = state.blocks(one.num_computed_tokens + num_tokens)
        for num_victims in range(len(in_line) + 1):
            stay = in_line[:len(in_line) - num_victims]
            if one.request_id not in stay:
                break
            if len(wanted) + sum(len(held[other]) for other in stay if other != one.request_id) <= state.pool:
                break
        step.preempted += reversed(in_line[len(stay):])
        in_line = stay
        if one.request_id in stay:
            held[one.request_id] = wanted
            step.plan[one.request_id] = num_tokens
            budget -= num_tokens
    waiting = step.preempted[::-1] + [one.request_id for one in state.waiting]
    for one in state.waiting if not step.preempted else []:
        num_tokens = state.share(one, budget)
        in_use = sum(len(held[other]) for other in in_line)
        if budget == 0 or len(in_line) == state.seats or in_use + len(state.blocks(num_tokens)) > state.pool:
            break
        in_line.append(waiting.pop(0))
        held[one.request_id] = state.blocks(num_tokens)
        step.plan[one.request_id] = num_tokens
        budget -= num_tokens
    step.running, step.waiting = in_line, waiting
    return step


def execute(state: PoolState, step: Step) -> list[str]:
    """Rule 4: books a step, and returns the ids of those who got a token."""
    everybody = {one.request_id: one for one in [*state.running, *state.waiting]}
    for request_id in step.preempted:
        everybody[request_id].num_computed_tokens = 0
    state.num_preemptions += len(step.preempted)
    state.waiting = [everybody[request_id] for request_id in step.waiting]
    state.running = [everybody[request_id] for request_id in step.running]
    sampled = []
    for one in state.running:
        one.num_computed_tokens += step.plan.get(one.request_id, 0)
        if one.left == 0:
            one.num_output_tokens += 1
            sampled.append(one.request_id)
    state.running = [one for one in state.running if one.num_output_tokens < one.max_tokens]
    return sampled


def likely_mistake(state: PoolState, right: Step, got: Step) -> str | None:
    """The key (in MISCONCEPTIONS of notebook 07) of the mistake that a wrong step looks like."""
    ids = [one.request_id for one in state.running]
    everybody = {one.request_id: one for one in [*state.running, *state.waiting]}
    total = {key: one.num_prompt_tokens + one.num_output_tokens for key, one in everybody.items()}
    if not all(type(n) is int and n <= total.get(key, 0) for key, n in got.plan.items()):
        return None  # not a number, or more tokens than there are: nothing below could be counted
    new = [request_id for request_id in got.plan if request_id not in ids]
    expected_new = [request_id for request_id in right.plan if request_id not in ids]
    more = [request_id for request_id in new if request_id not in expected_new]
    gone = [request_id for request_id in ids if request_id in got.waiting]

    def in_use(requests: list[str]) -> int:
        return sum(len(state.blocks(everybody[one].num_computed_tokens + got.plan.get(one, 0)))
                   for one in requests if one not in got.preempted)

    rules = [
        ("not_reported", set(gone) - set(got.preempted)),
        ("not_the_tail", set(got.preempted) != set(ids[len(ids) - len(got.preempted):])),
        ("overcommitted", in_use(ids) > state.pool),
        ("admits_after_preemption", right.preempted and (more or set(got.preempted) & set(got.running))),
        ("planned_after_preemption", set(got.plan) & set(got.preempted)),
        ("left_out", right.preempted and not got.preempted),
        ("last_block", len(got.preempted) > len(right.preempted)),
        ("no_seat", more and len(got.running) > state.seats),
        ("budget_used_up", any(got.plan[one] == 0 for one in more)),
        ("skips_head", more and [one.request_id for one in state.waiting][:len(new)] != new),
        ("pool_ignored_for_new", more and in_use([*ids, *more]) > state.pool),
        ("budget_not_reduced", sum(got.plan.values()) > state.budget),
        ("whole_prompt", not more and len(new) < len(expected_new) and len(state.blocks(
            everybody[expected_new[len(new)]].left)) > state.num_free_blocks),
        ("cut_to_fit", any(got.plan[one] < state.share(everybody[one], state.budget) for one in more)),
        ("back_of_queue", got.plan == right.plan and set(got.waiting) == set(right.waiting)
         and got.waiting != right.waiting),
    ]
    return next((name for name, holds in rules if holds), None)


class PoolDrive:
    """One scenario: says who arrives and which tokens come out; compares each step, stops at a wrong one."""

    def __init__(self, tally: Tally, requirement: str, state: PoolState, arrivals: list[list[Progress]],
                 tokens: list[int], misconceptions: Mapping[str, str]) -> None:
        """`arrivals`: who comes before each iteration. `tokens`: what is sampled, over and over from the start."""
        self.tally, self.requirement, self.state, self.misconceptions = tally, requirement, state, misconceptions
        self.arrivals, self.tokens, self.iteration = list(arrivals), tokens, 0
        self.outputs: dict[str, list[int]] = {}

    def __call__(self, question: dict) -> dict:
        """The answer to the adapter: who arrives before the next plan, or what was sampled, or to stop."""
        if "plan" not in question:
            new = self.arrivals.pop(0) if self.arrivals else []
            self.state.waiting += new
            self.outputs |= {one.request_id: [] for one in new}
            idle = not (self.arrivals or self.state.running or self.state.waiting)
            if idle:
                self.tally.true(self.requirement, True, "")
            return {"stop": idle, "arrivals": [vars(one) for one in new]}
        step = plan_step(self.state)
        if not self._is_right(question, step):
            return {"stop": True, "sampled": {}}
        candidates = {one: self.tokens[(self.iteration + place) % len(self.tokens)]
                      for place, one in enumerate(step.plan)}
        for request_id in execute(self.state, step):
            self.outputs[request_id].append(candidates[request_id])
        self.iteration += 1
        return {"stop": False, "sampled": candidates}

    def _is_right(self, question: dict, step: Step) -> bool:
        got = Step(dict(question["plan"]), question["preempted"], question["running"], question["waiting"])
        given = f"iteration {self.iteration}: {self.state}"
        cause = self.misconceptions.get(likely_mistake(self.state, step, got) or "")
        shown, expected = ({"plan": one.plan, "preempted": sorted(one.preempted)} for one in (got, step))
        for what, one, other in [
            ("(plan and preempted)", shown, expected),
            ("(running after schedule())", got.running, step.running),
            ("(waiting after schedule())", got.waiting, step.waiting),
        ]:
            if not self.tally.equal(self.requirement, one, other, given=f"{given} {what}", wrong=[(one, cause)]):
                return False
        computed = {one.request_id: 0 if one.request_id in step.preempted else one.num_computed_tokens
                    for one in [*self.state.running, *self.state.waiting]}
        return (self.tally.equal(self.requirement, question["num_computed_tokens"], computed,
                                 given=f"{given} (num_computed_tokens after schedule())",
                                 wrong=[(question["num_computed_tokens"], self.misconceptions["counts_itself"])])
                and self.tally.equal(self.requirement, question["outputs"],
                                     {one: self.outputs[one] for one in computed},
                                     given=f"{given} (output tokens after schedule())"))


def small_cases() -> list[tuple[str, PoolState, list[list[Progress]]]]:
    """(requirement, limits and pool, who arrives before each iteration); block size and lengths drawn anew."""
    b, k, request = random.randint(3, 6), random.randint(2, 4), Progress
    ample, tail, itself = "ample memory", "the tail is preempted", "the tail is the request itself"
    enough, nobody_new, new = "as many as it takes, no more", "nobody new after a preemption", "new requests"

    def state(budget: int, blocks: int | None, threshold: int = 0, seats: int = 6) -> PoolState:
        return PoolState(budget, seats, threshold, block_size=b, num_kv_blocks=blocks)

    return [
        (ample, state(9, None), [[request("2", 8, 4)], [request("1", 24, 3)]]),
        (ample, state(2 * b, None, b, 3), [[request(name, 2 * b + 1, 3) for name in "abcd"], [request("e", 1, 2)]]),
        # The first needs a new block for its first decode step, and all blocks are taken.
        (tail, state(20 * b, 2 * k), [[request("a", k * b, 4), request("b", k * b, 2)]]),
        (tail, state(20 * b, 3 * k), [[request("a", k * b, 3), request("b", k * b - 1, 3), request("c", k * b, 2)],
                                      [request("d", b, 2)]]),
        # The last one's next chunk does not fit; in the last case below not even if it goes.
        (itself, state(2 * b + 1, k + 5), [[request("2", 2 * b, b)], [request("1", (k + 4) * b, 2)]]),
        # A long prompt takes two blocks an iteration, and the small ones behind it go, two at a time.
        (enough, state(20 * b, 5, 2 * b), [[request("a", 4 * b, 1), *(request(name, b - 1, 3) for name in "cde")]]),
        # The first takes the last free block, the second needs two, and even without the third it has but one.
        (enough, state(20 * b, 6, 2 * b), [[request("a", 3 * b, 2), request("b", 4 * b, 1), request("c", b - 1, 3)]]),
        # The last free block is there to be taken.
        (enough, state(20 * b, k + 2), [[request("a", k * b, 2), request("b", b - 1, 2)]]),
        (nobody_new, state(20 * b, 5, b), [[request("a", 2 * b, 3), request("b", 3 * b, 2)], [], [request("c", 1, 1)]]),
        # The head needs four blocks, fewer are free, and one behind it would fit.
        (new, state(20 * b, k + 4), [[request("a", k * b, 4)], [request("big", 4 * b, 1), request("small", b - 1, 1)]]),
        # Only the first chunk has to fit.
        (new, state(20 * b, 6, b), [[request("a", b, b)], [], [request("long", 5 * b, 2)]]),
        (new, state(20 * b, k), [[request("a", k * b, 1), request("b", k * b, 1)], [request("c", 1, 1)]]),
        (new, state(2 * b + 2, None, seats=4), [[request(name, b + 1, 2) for name in "abcdef"]]),
        (itself, state(3 * b, 5), [[request("a", 2 * b, 3), request("b", 4 * b, 1)]]),
    ]


def random_case() -> tuple[str, PoolState, list[list[Progress]]]:
    """A workload in a pool hardly larger than its largest request; many are preempted, some over and over."""
    size, seats = random.randint(1, 6), random.randint(2, 6)
    arrivals = [[Progress(f"r{step}.{number}", random.randint(1, 30), random.randint(1, 8))
                 for number in range(random.choice([0, 1, 2]))] for step in range(6)]
    largest = max((one.num_prompt_tokens + one.max_tokens - 1 for come in arrivals for one in come), default=1)
    state = PoolState(seats + random.randint(0, 20), seats, random.choice([0, 0, 7]), block_size=size,
                      num_kv_blocks=-(-largest // size) + random.randint(0, 4))
    return "random workloads, tokens included", state, arrivals
