"""A check's own search for a plan that keeps a promise, and what typical misconceptions would choose instead."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autograder.serving import Figures, Plan, serve
from course_lib.presets import RooflineModel

Promise = tuple[float, float]  # longest P99 TBT, longest median TTFT, in seconds
Outcomes = dict[Plan, Figures]  # in the order of the grid
Rule = Callable[[Outcomes, Promise], Plan | None]
Job = tuple[str, int, int, float]  # id, prompt, output, arrival
ENOUGH = 0.95  # of the best throughput

# The grid of notebook 08.
GRID = [Plan("prefill-first", 8192)] + [Plan("stall-free", budget, threshold) for budget in (256, 512, 1024, 2048, 4096)
                                        for threshold in (0, 128, 256) if threshold < budget]


@dataclass(frozen=True)
class Case:
    """A question to `recommend`; `grid` None stands for the notebook's own."""

    requirement: str
    jobs: tuple[Job, ...]
    clock: RooflineModel
    promise: Promise
    outcomes: Outcomes
    grid: tuple[Plan, ...] | None

    @property
    def expected(self) -> Plan | None:
        """The right answer."""
        return right_plan(self.outcomes, self.promise)

    def accepts(self, answer: Plan | None, exact: bool = False) -> bool:
        """Whether an answer keeps the promise with at least 95% of the best throughput; `exact`: is the right one."""
        if answer is None or self.expected is None or exact:
            return answer == self.expected
        if answer not in self.outcomes or not _meets(self.outcomes[answer], self.promise):
            return False
        return self.outcomes[answer].throughput >= ENOUGH * self.outcomes[self.expected].throughput

    def __str__(self) -> str:
        grid = "the notebook's grid" if self.grid is None else f"grid [{'; '.join(map(str, self.grid))}]"
        return (f"{len(self.jobs)} requests with prompts of {min(job[1] for job in self.jobs)} to "
                f"{max(job[1] for job in self.jobs)} tokens, SLO({self.promise[0]:.4g}, {self.promise[1]:.4g}), {grid}")


def _meets(figures: Figures, promise: Promise) -> bool:
    return figures.p99_tbt <= promise[0] and figures.median_ttft <= promise[1]


def _fastest(outcomes: Outcomes) -> Plan | None:
    """The highest throughput, of equal ones the first."""
    best = max((figures.throughput for figures in outcomes.values()), default=0.0)
    return next((plan for plan, figures in outcomes.items() if figures.throughput == best), None)


def _allowed(outcomes: Outcomes, promise: Promise) -> Outcomes:
    return {plan: figures for plan, figures in outcomes.items() if _meets(figures, promise)}


def right_plan(outcomes: Outcomes, promise: Promise) -> Plan | None:
    """The rule of the notebook."""
    return _fastest(_allowed(outcomes, promise))


def _among_allowed(choose: Callable[[Outcomes], Plan]) -> Rule:
    def rule(outcomes: Outcomes, promise: Promise) -> Plan | None:
        allowed = _allowed(outcomes, promise)
        return choose(allowed) if allowed else None
    return rule


def _lowest(field: str) -> Callable[[Outcomes], Plan]:
    return lambda outcomes: min(outcomes, key=lambda plan: getattr(outcomes[plan], field))


def _strict(outcomes: Outcomes, promise: Promise) -> Plan | None:
    return _fastest({plan: figures for plan, figures in outcomes.items()
                     if figures.p99_tbt < promise[0] and figures.median_ttft < promise[1]})


def _either(outcomes: Outcomes, promise: Promise) -> Plan | None:
    return _fastest({plan: figures for plan, figures in outcomes.items()
                     if figures.p99_tbt <= promise[0] or figures.median_ttft <= promise[1]})


def _best_or_nothing(outcomes: Outcomes, promise: Promise) -> Plan | None:
    best = _fastest(outcomes)
    return best if _meets(outcomes[best], promise) else None


def _ties(key: Callable[[Plan, int], float]) -> Callable[[Outcomes], Plan]:
    def choose(outcomes: Outcomes) -> Plan:
        best = max(figures.throughput for figures in outcomes.values())
        tied = [plan for plan, figures in outcomes.items() if figures.throughput == best]
        return min(tied, key=lambda plan: key(plan, tied.index(plan)))
    return choose


NO_LIMIT = float("inf")
RULES: dict[str, Rule] = {
    "slo_ignored": lambda outcomes, promise: _fastest(outcomes),
    "ttft_ignored": lambda outcomes, promise: right_plan(outcomes, (promise[0], NO_LIMIT)),
    "tbt_ignored": lambda outcomes, promise: right_plan(outcomes, (NO_LIMIT, promise[1])),
    "either": _either,
    "best_or_nothing": _best_or_nothing,
    "lowest_tbt": _among_allowed(_lowest("p99_tbt")),
    "lowest_ttft": _among_allowed(_lowest("median_ttft")),
    "first_that_meets": _among_allowed(lambda outcomes: next(iter(outcomes))),
    "lowest_throughput": _among_allowed(_lowest("throughput")),
    "stall_free_only": lambda outcomes, promise: right_plan(
        {plan: figures for plan, figures in outcomes.items() if plan.policy == "stall-free"}, promise),
    "least_bad": lambda outcomes, promise: (right_plan(outcomes, promise)
                                            or min(outcomes, key=lambda plan: outcomes[plan].p99_tbt)),
    "fastest_anyway": lambda outcomes, promise: right_plan(outcomes, promise) or _fastest(outcomes),
    "strict_limit": _strict,
    "tie_last": _among_allowed(_ties(lambda plan, place: -place)),
    "tie_smallest": _among_allowed(_ties(lambda plan, place: plan.budget)),
}


def drawn_case(requirement: str, apart: Sequence[str], *, exact: bool = False, none: bool = False,
               at_the_limit: bool = False, small_work: bool = False, own_grid: bool = True,
               standard: bool = False) -> Case:
    """A case in which every rule of `apart` gives an answer that is not accepted.

    `none`: no plan keeps the promise; `at_the_limit`: the right plan's outcome equals the promise; `small_work`: large
    budgets make no difference, so that plans tie; `own_grid` False: the notebook's grid; `standard`: prefill-first is
    right.
    """
    for _ in range(2000):
        jobs, clock = _jobs(small_work, own_grid, standard), _clock()
        grid = _grid(small_work) if own_grid else GRID
        outcomes = {plan: serve(jobs, plan, clock) for plan in grid}
        for _ in range(25):
            case = Case(requirement, jobs, clock, _promise(outcomes, at_the_limit), outcomes,
                        tuple(grid) if own_grid else None)
            if (case.expected is None) != none or (standard and case.expected.policy != "prefill-first"):
                continue
            if not any(case.accepts(RULES[rule](outcomes, case.promise), exact) for rule in apart):
                return case
    raise RuntimeError(f"no workload was found that shows {requirement!r}")


def _jobs(small_work: bool, own_grid: bool, standard: bool) -> tuple[Job, ...]:
    """Short prompts and long ones, arriving close together. All times are sums of powers of two: floats stay exact."""
    size = 1 if own_grid else 20
    jobs = []
    for number in range(random.randint(7, 11)):
        long = standard or random.random() < 0.4
        prompt = random.randint(20, 80) * size if long and not small_work else random.randint(2, 12) * size
        arrival = random.randint(8, 8 + 16 * 3) / 16
        jobs.append((f"r{number}", prompt, random.randint(2, 4) if standard else random.randint(3, 12), arrival))
    return tuple(jobs)


def _clock() -> RooflineModel:
    return RooflineModel(base=random.randint(1, 8) / 64, read_weights=random.randint(0, 8) / 64,
                         per_token=random.randint(1, 8) / 1024)


def _grid(small_work: bool) -> list[Plan]:
    budgets = random.sample((64, 128, 256, 512), 3) if small_work else random.sample((8, 12, 16, 24, 32, 48, 96), 4)
    plans = [Plan("stall-free", budget, random.choice((0, 0, 4, 6))) for budget in budgets]
    if small_work:
        plans = [Plan("stall-free", budget) for budget in budgets] + [Plan("stall-free", 8), Plan("stall-free", 12)]
    plans.append(Plan("prefill-first", 128))
    random.shuffle(plans)
    return plans


def _promise(outcomes: Outcomes, at_the_limit: bool) -> Promise:
    """Limits between the outcomes, well apart from each, or exactly those of one plan."""
    if at_the_limit:
        figures = random.choice(list(outcomes.values()))
        return random.choice([(figures.p99_tbt, NO_LIMIT), (NO_LIMIT, figures.median_ttft),
                              (figures.p99_tbt, figures.median_ttft)])
    limits = []
    for field in ("p99_tbt", "median_ttft"):
        values = sorted({getattr(figures, field) for figures in outcomes.values()})
        between = [(one + other) / 2 for one, other in zip(values, values[1:], strict=False) if other > 1.02 * one]
        limits.append(random.choice([values[0] / 2, *between, 2 * values[-1], 2 * values[-1]]))
    return limits[0], limits[1]
