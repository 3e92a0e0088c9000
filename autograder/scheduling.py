"""A check's own count of a schedule: the queues, what a fair sharing of the budget gives, and what mistakes would give.

Nothing here runs the learner's code or the reference solution.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

from autograder.checking import Result, Tally
from course_lib.checks import show


@dataclass
class Progress:
    """How far one request has come."""

    request_id: str
    num_prompt_tokens: int
    max_tokens: int
    num_output_tokens: int = 0
    num_computed_tokens: int = 0

    @property
    def left(self) -> int:
        return self.num_prompt_tokens + self.num_output_tokens - self.num_computed_tokens


@dataclass
class State:
    """The queues before an iteration, and its limits."""

    budget: int
    seats: int
    threshold: int = 0
    running: list[Progress] = field(default_factory=list)
    waiting: list[Progress] = field(default_factory=list)

    @property
    def config(self) -> dict[str, int]:
        return {"max_num_batched_tokens": self.budget, "max_num_seqs": self.seats,
                "long_prefill_token_threshold": self.threshold}

    def __str__(self) -> str:
        queues = ["; ".join(f"{one.request_id} with {one.left} left" for one in queue) or "nobody"
                  for queue in (self.running, self.waiting)]
        return (f"budget {self.budget}, max_num_seqs {self.seats}, threshold {self.threshold}; "
                f"running: {queues[0]}; waiting: {queues[1]}")


def share_out(line: list[Progress], wants: list[int], budget: int) -> dict[str, int]:
    """Each in line gets what it wants of what those before it left, in closed form; zeros stay in."""
    return {one.request_id: max(0, min(want, budget - sum(wants[:place])))
            for place, (one, want) in enumerate(zip(line, wants, strict=True))}


def flawed_plans(state: State) -> list[tuple[dict[str, int], str]]:
    """What typical misconceptions would plan in this state, each with its key in MISCONCEPTIONS of notebook 04."""
    budget, limit, running = state.budget, state.threshold or state.budget, state.running
    seats = max(0, state.seats - len(running))
    new, newest = state.waiting[:seats], state.waiting[::-1][:seats]
    line, everybody = running + new, running + state.waiting
    decodes = [one for one in running if one.num_output_tokens]
    chunks = [one for one in line if one not in decodes]

    def left(queue: list[Progress]) -> list[int]:
        return [one.left for one in queue]

    def want(queue: list[Progress]) -> list[int]:
        return [min(one.left, limit) for one in queue]

    def alone(queue: list[Progress], most: int) -> dict[str, int]:
        return {one.request_id: min(one.left, limit, most) for one in queue}

    def boundless(queue: list[Progress], used: int, most: float) -> dict[str, int]:
        plan: dict[str, int] = {}
        for one in queue:
            if used + sum(plan.values()) < budget or one in running:
                plan[one.request_id] = min(one.left, most)
        return plan

    def uncut(queue: list[Progress]) -> dict[str, int]:
        plan: dict[str, int] = {}
        for one in queue:
            if sum(plan.values()) + min(one.left, limit) <= budget:
                plan[one.request_id] = min(one.left, limit)
        return plan

    def whole(skip: bool) -> dict[str, int]:
        plan, free = share_out(running, want(running), budget), budget - sum(want(running))
        for one in new if not skip else state.waiting:
            if min(one.left, limit) <= free and len(plan) < state.seats:
                plan[one.request_id] = min(one.left, limit)
                free -= plan[one.request_id]
            elif not skip:
                break
        return plan

    running_plan = share_out(running, want(running), budget)
    counted = {one.request_id: max(0, min(n, budget - place))
               for place, (one, n) in enumerate(zip(running, want(running), strict=True))}
    padded = [min(limit, budget) if one in chunks else 1 for one in line]
    wrong = [
        (share_out(line, want(line), budget), "zero_tokens"),
        (share_out(line, [0 if state.threshold == 0 else n for n in want(line)], budget), "threshold_zero"),
        (share_out(line, left(line), budget), "threshold_ignored"),
        (share_out(line, want(running) + left(new), budget), "threshold_not_for_new"),
        (share_out(line, want(line), min(limit, budget)), "threshold_total"),
        (alone(decodes, 1) | share_out(chunks, want(chunks), budget), "decode_free"),
        (uncut(running), "not_cut"),
        (share_out(running + newest, want(running + newest), budget), "takes_tail"),
        (whole(skip=True), "skips_head"),
        (whole(skip=False), "whole_or_nothing"),
        (boundless(line, 0, limit) if state.threshold else share_out(line, want(line), budget), "budget_or_threshold"),
        (alone(line, budget), "budget_not_reduced"),
        (running_plan | alone(new, budget - sum(running_plan.values())), "budget_not_reduced"),
        (running_plan | share_out(new, want(new), budget - len(running)), "one_token_each"),
        (counted | share_out(new, want(new), budget - len(running)), "one_token_each"),
        (boundless(line, 0, state.threshold or inf), "no_budget"),
        (running_plan | boundless(new, sum(running_plan.values()), state.threshold or inf), "no_budget"),
        (running_plan | boundless(new, sum(running_plan.values()), limit), "no_budget"),
        (share_out(everybody, want(everybody), budget), "seats_ignored"),
        (share_out(line[:len(running) + 1], want(line[:len(running) + 1]), budget), "one_admission"),
        (share_out(line, padded, budget), "padded"),
        (share_out(new + running, want(new + running), budget), "waiting_first"),
        (share_out(chunks + decodes, want(chunks + decodes), budget), "chunks_first"),
        (share_out(line, [max(0, min(one.num_prompt_tokens - one.num_computed_tokens, limit)) for one in line], budget),
         "prompt_only"),
    ]
    return wrong + [({key: n for key, n in plan.items() if n}, name) for plan, name in wrong]


class Suspects:
    """Which mistake explains the learner's plans best: a plan may look like several, all plans together rarely do."""

    def __init__(self) -> None:
        self.num_explained: Counter[str] = Counter()  # plans, right ones too, that equal what the mistake would plan
        self.guilty: dict[str, None] = {}  # mistakes that explain a wrong plan, in the order of flawed_plans

    def see(self, state: State, plan: dict[str, int], is_wrong: bool) -> None:
        """Takes note of one plan, made in `state`."""
        names = dict.fromkeys(name for flawed, name in flawed_plans(state) if flawed == plan)
        self.num_explained.update(list(names))
        if is_wrong:
            self.guilty.update(names)

    def name(self, result: Result, misconceptions: Mapping[str, str]) -> Result:
        """The result with the likeliest mistake in words, unless a misconception is known for sure."""
        if result.share == 1 or result.misconception or not self.guilty:
            return result
        likeliest = max(self.guilty, key=lambda name: self.num_explained[name])
        return replace(result, misconception=misconceptions[likeliest])


INVARIANTS = ("the budget is kept", "max_num_seqs is kept", "no token is skipped or repeated",
              "planned requests move from waiting to running", "no request that could decode waits",
              "all requests finish")


class Drive:
    """One scenario: says who arrives, believes only the plans, and stops at one that cannot be executed."""

    def __init__(self, tally: Tally, requirement: str, state: State, arrivals: list[list[Progress]],
                 expected: list[dict[str, int]] | None, suspects: Suspects, misconceptions: Mapping[str, str]) -> None:
        """`arrivals`: who comes before each iteration. `expected`: the plans, or None where only the INVARIANTS are
        asked for; failures go to `tally` under `requirement` and under the INVARIANTS' names."""
        self.tally, self.requirement, self.state = tally, requirement, state
        self.suspects, self.misconceptions = suspects, misconceptions
        self.arrivals, self.expected, self.step = list(arrivals), expected, -1

    def __call__(self, question: dict) -> dict:
        """The answer to the adapter: whether to stop, and who arrives before the next iteration."""
        stop = "plan" in question and not self._take(question)
        self.step += 1
        state = self.state
        if not stop and not (self.arrivals or state.running or state.waiting):
            for requirement in INVARIANTS:
                self.tally.true(requirement, True, "")
            stop = True
        new = self.arrivals.pop(0) if self.arrivals and not stop else []
        state.waiting += new
        return {"stop": stop, "arrivals": [vars(one) for one in new]}

    def _take(self, question: dict) -> bool:
        """Compares one plan, then executes it on the check's own count; False when it cannot be executed."""
        state, plan = self.state, dict(question["plan"])
        given = f"iteration {self.step}: {state}"
        expected = self.expected[self.step] if self.expected else plan
        self.suspects.see(state, plan, is_wrong=plan != expected)
        if self.expected and not self.tally.equal(self.requirement, plan, expected, given=given):
            self.expected = None  # from here on the queues are the learner's own
        shown = f"Input:            {given}\nGot:              {show(plan)}"
        moved = [one for one in state.waiting if one.request_id in plan]
        self._require("the budget is kept", sum(plan.values()) <= state.budget, shown)
        self._require("max_num_seqs is kept", len(state.running) + len(moved) <= state.seats, shown)
        late = [one.request_id for one in state.running if one.num_output_tokens and one.request_id not in plan]
        self._require("no request that could decode waits", not late, f"{shown}\nLeft out:         {late}")
        left = {one.request_id: one.left for one in state.running + moved}
        legal = all(type(n) is int and 1 <= n <= left.get(key, 0) for key, n in plan.items())
        self._require("no token is skipped or repeated", legal, shown)
        self._compare_queues(question, plan, shown)
        if not legal or (not plan and (state.running or state.waiting)):
            self._require("all requests finish", False, f"{shown}\nThis plan cannot be executed.")
            return False
        state.running += moved
        state.waiting = [one for one in state.waiting if one not in moved]
        for one in state.running:
            one.num_computed_tokens += plan.get(one.request_id, 0)
            one.num_output_tokens += one.left == 0
        state.running = [one for one in state.running if one.num_output_tokens < one.max_tokens]
        return True

    def _compare_queues(self, question: dict, plan: dict, shown: str) -> None:
        requirement = "planned requests move from waiting to running"
        queues = f"{shown}\nwaiting after it: {question['waiting']}\nrunning after it: {question['running']}"
        both = set(plan) & set(question["waiting"]) & set(question["running"])
        self._require(requirement, not both, queues, self.misconceptions["not_popped"])
        self._require(requirement, set(plan) <= set(question["running"]), queues, self.misconceptions["not_moved"])
        mine = {one.request_id: one.num_computed_tokens for one in self.state.running + self.state.waiting}
        theirs = dict(zip(question["running"], question["num_computed_tokens"], strict=True))
        self._require("no token is skipped or repeated", all(mine.get(key) == n for key, n in theirs.items()),
                      f"{shown}\nnum_computed_tokens after schedule(): {theirs}", self.misconceptions["counts_itself"])

    def _require(self, requirement: str, condition: bool, message: str, cause: str | None = None) -> None:
        """Counts failures only: a requirement is met when a scenario has come to its end without one."""
        if not condition:
            self.tally.true(requirement, False, message, cause)
