"""Hidden checks of notebook 08: workloads drawn anew, against a simulation and a search of the check's own."""

import random
import statistics
from collections.abc import Callable
from dataclasses import replace

from autograder.checking import Call, LearnerError, Result, Tally
from autograder.common_checks import check_choice, check_prediction
from autograder.plan_search import GRID, RULES, Case, drawn_case, right_plan
from autograder.serving import Figures, Plan, nearest_rank, serve
from course_lib.checks import differs, explain
from course_lib.cost_model import CostModel
from course_lib.presets import YI_34B, RooflineModel
from course_lib.workload import running_example

MISCONCEPTIONS = {
    "no_guess": "A prediction is any finite number; it need not be right, it has to be there.",
    "p99_is_max": "This is the longest gap; asked is the P99, which 99% of all gaps do not exceed.",
    "p99_is_mean": "This is the mean gap; a mean hides the stalls that the promise is about. Asked is the P99.",
    "p99_per_request": "This is the mean of each request's own P99; asked is the P99 of all gaps in one list.",
    "p99_of_tpot": "This is the P99 of the requests' mean gaps; asked is the P99 of all gaps in one list.",
    "one_request": "Only one request's gaps are counted; the promise is about the gaps of all requests.",
    "last_request": "Only the last request's gaps are counted; the promise is about the gaps of all requests.",
    "ttft_mean": "This is the mean TTFT; asked is the median over the requests.",
    "ttft_p99": "This is the P99 of the TTFTs; asked is their median.",
    "policy_ignored": "Every plan is run with the stall-free scheduler: make the scheduler that the plan names.",
    "threshold_ignored": "The plan's long_prefill_token_threshold is lost: make the scheduler from the whole plan.",
    "clock_ignored": "The run does not go by the cost model that it was given, but by YI_34B.",
    "hand_clock": "The run does not go by the cost model that it was given, but by HAND_CLOCK.",
    "workload_ignored": "These are the requests of the running example: serve those that `workload()` makes.",
    "milliseconds": "These are milliseconds; an Outcome holds seconds.",
    "fields_swapped": "P99 TBT and median TTFT are swapped: an Outcome holds the P99 TBT first.",
    "slo_ignored": "This plan has the highest throughput, whatever it promises: only plans that keep the SLO count.",
    "ttft_ignored": "The promise about the TTFT is ignored: both limits must hold.",
    "tbt_ignored": "The promise about the TBT is ignored: both limits must hold.",
    "either": "One of the two limits is enough for your plan: both must hold, so it is `and`, not `or`.",
    "best_or_nothing": "If the plan with the highest throughput breaks the promise, others may still keep it: leave "
                       "out the plans that break it first, then choose.",
    "lowest_tbt": "This is the plan with the lowest TBT; of those that keep the promise, take the highest throughput.",
    "lowest_ttft": "This plan has the lowest TTFT; of those that keep the promise, take the highest throughput.",
    "first_that_meets": "This is the first plan that keeps the promise; look at all, and take the highest throughput.",
    "lowest_throughput": "This is the lowest throughput among the plans that keep the promise; take the highest.",
    "stall_free_only": "prefill-first is never recommended, but where it keeps the promise it may be the fastest: "
                       "look at every plan of the grid.",
    "least_bad": "No plan keeps the promise, and the one with the lowest TBT is recommended all the same: return None.",
    "fastest_anyway": "No plan keeps the promise, and the fastest is recommended all the same: return None.",
    "strict_limit": "An outcome equal to the limit keeps the promise: compare with <=.",
    "tie_last": "Of equal throughputs the last in the grid is taken; the first is preferred.",
    "tie_smallest": "Of equal throughputs the smallest budget is taken; here the first in the grid is preferred.",
    "nothing_left": "No plan keeps the promise, and the choice is made among none: return None before you choose.",
    "grid_ignored": "The recommended plan is not on the grid that was given: search `grid`, not GRID.",
    "outcome_returned": "The plan's outcome is returned; asked is the plan itself.",
}

CHOICES = {
    "new_ridge": {
        "A": (False, "Each token takes less time, so it takes more of them to fill the time in which the weights "
                     "arrive. Small chunks leave more of the new arithmetic idle, not less."),
        "B": (False, "The ridge is read_weights / per_token: both are seconds of a machine, and they do not shrink by "
                     "the same factor."),
        "C": (True, "read_weights is divided by 1.7, per_token by 3.2, so their ratio grows by 3.2 / 1.7 = 1.8: from "
                    "185 to 339 tokens. A chunk of 256 was above the ridge; now it is below."),
        "D": (False, "It would, if memory stayed as it was. The weights arrive 1.7 times as fast, which takes that "
                     "factor off again."),
    },
}


def guess_budget(call: Call) -> Result:
    """There is a guess."""
    return check_prediction(call, "guess_budget", MISCONCEPTIONS["no_guess"])


def new_ridge(call: Call) -> Result:
    """The right option."""
    return check_choice(call, CHOICES["new_ridge"])


Answer = tuple[float, float, float]  # throughput, P99 TBT, median TTFT
Jobs = list[tuple[str, int, int, float]]


def _answer(figures: Figures) -> Answer:
    return figures.throughput, figures.p99_tbt, figures.median_ttft


def _mean_p99(figures: Figures) -> float:
    return statistics.fmean(nearest_rank(job.gaps, 99) for job in figures.jobs if job.gaps)


# What common mistakes would measure, from the right run or from another one.
WRONG_P99: dict[str, Callable[[Figures], float]] = {
    "p99_is_max": lambda figures: max(figures.gaps),
    "p99_is_mean": lambda figures: statistics.fmean(figures.gaps),
    "p99_per_request": _mean_p99,
    "p99_of_tpot": lambda figures: nearest_rank([statistics.fmean(job.gaps) for job in figures.jobs if job.gaps], 99),
    "one_request": lambda figures: nearest_rank(figures.jobs[0].gaps, 99),
}
WRONG_TTFT: dict[str, Callable[[Figures], float]] = {
    "ttft_mean": lambda figures: statistics.fmean(figures.ttfts),
    "ttft_p99": lambda figures: nearest_rank(figures.ttfts, 99),
}


HAND_CLOCK = CostModel(base=1.0, per_token=0.125)  # of the worked example, as are its requests
OTHER_CLOCKS = {"clock_ignored": YI_34B, "hand_clock": HAND_CLOCK}
EXAMPLE: Jobs = [(request.request_id, request.num_prompt_tokens, request.max_tokens, arrival)
                 for request, arrival in zip(running_example(prompt_1=24, prompt_2=8), (1.0, 0.0), strict=True)]


def _wrong_answers(jobs: Jobs, plan: Plan, clock: RooflineModel) -> dict[str, Answer]:
    right = serve(jobs, plan, clock)
    others = {"policy_ignored": serve(jobs, replace(plan, policy="stall-free"), clock),
              "threshold_ignored": serve(jobs, replace(plan, threshold=0), clock),
              "clock_ignored": serve(jobs, plan, YI_34B), "hand_clock": serve(jobs, plan, HAND_CLOCK),
              "workload_ignored": serve(EXAMPLE, plan, clock)}
    last = next(job for job in right.jobs if job.request_id == jobs[-1][0])
    mixed_up = {"last_request": (right.throughput, nearest_rank(last.gaps, 99), right.median_ttft),
                "milliseconds": (right.throughput, 1000 * right.p99_tbt, 1000 * right.median_ttft),
                "fields_swapped": (right.throughput, right.median_ttft, right.p99_tbt)}
    return ({name: (right.throughput, rule(right), right.median_ttft) for name, rule in WRONG_P99.items()}
            | {name: (right.throughput, right.p99_tbt, rule(right)) for name, rule in WRONG_TTFT.items()}
            | {name: _answer(figures) for name, figures in others.items()} | mixed_up)


def evaluate(call: Call) -> Result:
    """The three figures of several plans, on workloads in which every misconception shows."""
    fields = ("throughput", "P99 TBT", "median TTFT")
    tally = Tally(*fields, "the plan is in the outcome")
    suspects: set[str] | None = None  # the misconceptions that explain all answers so far
    failures: list[tuple[str, str]] = []
    for jobs, plan, clock in _telling_workloads():
        given = f"evaluate({plan}, {len(jobs)} requests, a cost model made for this check)"
        try:
            got = call({"plan": plan.fields, "jobs": [list(job) for job in jobs], "clock": vars(clock)})
        except LearnerError as error:
            for field in fields:
                tally.error(field, error, given)
            return tally.result()
        answer = got["throughput"], got["p99_tbt"], got["median_ttft"]
        suspects = {name for name, wrong in _wrong_answers(jobs, plan, clock).items()
                    if (suspects is None or name in suspects) and differs(list(wrong), list(answer)) is None}
        for field, value, expected in zip(fields, answer, _answer(serve(jobs, plan, clock)), strict=True):
            difference = differs(expected, value)
            failures += [(field, explain(f"{given}, {field}", expected, value, difference))] if difference else []
            tally.true(field, True, "")
        tally.equal("the plan is in the outcome", got["plan"], plan.fields, given=given)
    cause = MISCONCEPTIONS[min(suspects)] if suspects else None
    for field, message in failures:
        tally.true(field, False, message, cause)
    return tally.result()


def _telling_workloads() -> list[tuple[Jobs, Plan, RooflineModel]]:
    """Workloads that together tell each misconception from all others."""
    plans = (Plan("prefill-first", 64), Plan("stall-free", 16, 4), Plan("stall-free", 24),
             Plan("stall-free", random.randint(10, 40), random.randint(2, 6)), Plan("prefill-first", 32))
    for _ in range(100):
        workloads = [_telling_workload(plan) for plan in plans]
        answers = [_wrong_answers(*workload) for workload in workloads]
        rounded = {name: tuple(round(value, 6) for one in answers for value in one[name]) for name in answers[0]}
        if len(set(rounded.values())) == len(rounded):
            return workloads
    raise RuntimeError("no workloads were found that tell all misconceptions apart")


def _telling_workload(plan: Plan) -> tuple[Jobs, Plan, RooflineModel]:
    """Requests and a clock on which each misconception that can show with this plan gives another answer."""
    shown = {"p99_is_mean", "clock_ignored", "hand_clock", "workload_ignored", "fields_swapped", *WRONG_TTFT}
    if plan.policy == "prefill-first":  # a budget makes many gaps equally long, and the P99 is often the longest
        shown |= {"policy_ignored", "last_request", *WRONG_P99}
    elif plan.threshold:
        shown.add("threshold_ignored")
    for _ in range(1000):
        jobs = [(f"r{number}", random.choice((random.randint(2, 12), random.randint(40, 90))), random.randint(8, 20),
                 random.random() * 4 + 1) for number in range(random.choice((10, 12)))]
        clock = RooflineModel(base=random.uniform(0.05, 0.2), read_weights=random.uniform(0.01, 0.1),
                              per_token=random.uniform(0.001, 0.01))
        right, wrong = _answer(serve(jobs, plan, clock)), _wrong_answers(jobs, plan, clock)
        if all(differs(list(right), list(wrong[name])) for name in shown):
            return jobs, plan, clock
    raise RuntimeError(f"no workload was found on which {plan} shows every misconception")


KEPT_TBT, KEPT_TTFT = "the P99 TBT is kept", "the median TTFT is kept"
FAST, NONE = "throughput within 5% of the best", "None when no plan keeps both promises"
LIMIT, TIE = "an outcome equal to the limit is allowed", "of equal throughputs the first in the grid"
OWN_GRID = "the notebook's grid, when none is given"


def recommend(call: Call) -> Result:
    """Answers on cases that each tell some misconceptions apart; any plan within 5% of the best is accepted."""
    tally = Tally(KEPT_TBT, KEPT_TTFT, FAST, NONE, LIMIT, TIE, OWN_GRID, edges=[NONE])
    cases = _cases()
    answers: list[tuple[Case, Plan | None]] = []
    for case in cases:
        try:
            got = call({"jobs": [list(job) for job in case.jobs], "clock": vars(case.clock), "slo": list(case.promise),
                        "grid": case.grid and [plan.fields for plan in case.grid]})["plan"]
        except LearnerError as error:
            returned = error.type_name == "AttributeError" and "'Outcome' object" in error.message
            nothing_left = case.expected is None and error.type_name in ("ValueError", "IndexError")
            cause = "outcome_returned" if returned else "nothing_left" if nothing_left else None
            tally.error(case.requirement, error, f"recommend(...): {case}", MISCONCEPTIONS.get(cause))
            continue
        answers.append((case, got and Plan(*got)))
    cause = _cause(answers)
    for case, got in answers:
        accepted = case.accepts(got, exact=case.requirement == TIE)
        tally.true(case.requirement, accepted, _message(case, got), cause)
    return tally.result()


def _cases() -> list[Case]:
    """Cases that together tell each misconception from the right rule and from all others."""
    for _ in range(100):
        cases = [
            drawn_case(KEPT_TBT, ["slo_ignored", "tbt_ignored", "either", "best_or_nothing"]),
            drawn_case(KEPT_TTFT, ["slo_ignored", "ttft_ignored", "either", "best_or_nothing"]),
            drawn_case(FAST, ["lowest_tbt", "first_that_meets", "lowest_throughput"]),
            drawn_case(FAST, ["lowest_ttft", "lowest_throughput"]),
            drawn_case(FAST, ["stall_free_only"], standard=True),
            drawn_case(NONE, ["slo_ignored", "ttft_ignored", "tbt_ignored", "either", "least_bad", "fastest_anyway"],
                       none=True),
            drawn_case(LIMIT, ["strict_limit"], at_the_limit=True),
            drawn_case(TIE, ["tie_last", "tie_smallest"], small_work=True, exact=True),
            drawn_case(OWN_GRID, ["slo_ignored", "lowest_tbt"], own_grid=False),
        ]
        answers = {tuple(rule(case.outcomes, case.promise) for case in cases) for rule in RULES.values()}
        if len(answers) < len(RULES):
            continue
        answers |= {tuple(_on_clock(case, clock) for case in cases) for clock in OTHER_CLOCKS.values()}
        if len(answers) == len(RULES) + len(OTHER_CLOCKS):
            return cases
    raise RuntimeError("no set of cases was found that tells all misconceptions apart")


def _cause(answers: list[tuple[Case, Plan | None]]) -> str | None:
    """The misconception that explains every answer."""
    if any(got is not None and got not in case.outcomes and got in GRID for case, got in answers):
        return MISCONCEPTIONS["grid_ignored"]
    fitting = [name for name, rule in RULES.items()
               if answers and all(rule(case.outcomes, case.promise) == got for case, got in answers)]
    for name, clock in OTHER_CLOCKS.items():
        if not fitting and answers and all(_on_clock(case, clock) == got for case, got in answers):
            fitting.append(name)
    return MISCONCEPTIONS[fitting[0]] if fitting else None


def _on_clock(case: Case, clock: CostModel | RooflineModel) -> Plan | None:
    """What is right on another clock."""
    return right_plan({plan: serve(case.jobs, plan, clock) for plan in case.outcomes}, case.promise)


def _message(case: Case, got: Plan | None) -> str:
    def facts(plan: Plan | None) -> str:
        if plan not in case.outcomes:
            return "None" if plan is None else f"{plan}, which is not on the grid"
        throughput, p99_tbt, median_ttft = _answer(case.outcomes[plan])
        return f"{plan}: {throughput:.4g} tokens/s, P99 TBT {p99_tbt:.4g} s, median TTFT {median_ttft:.4g} s"
    return f"Input:            {case}\nExpected:         {facts(case.expected)}\nGot:              {facts(got)}"
