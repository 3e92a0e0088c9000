"""Hidden checks of notebook 06: rows against a brute force over the check's own event log, picks against all rows."""

import random
from dataclasses import replace

from autograder.budget_picks import (
    ERROR,
    FLAWED_PICKS,
    all_allowed,
    answer,
    equal_is_best,
    infeasible,
    no_rows,
    random_rows,
    right_pick,
    some_allowed,
    tied,
    tied_small_first,
)
from autograder.checking import Call, LearnerError, Result, Tally
from autograder.common_checks import check_choice, check_prediction
from autograder.sweep_log import NOT_MADE, EventLog, flawed_rows, right_row, simulated_run, stalling_run
from course_lib.checks import differs, show
from course_lib.cost_model import CostModel
from course_lib.request import Request

MISCONCEPTIONS = {
    "no_guess": "A prediction is any finite number; it need not be right, it has to be there.",
    "one_request": "Only one request's gaps are in P99 and max; every gap of every request is one wait of a user.",
    "mean_of_p99s": "The P99 is averaged over requests; put all gaps into one list first, then take its P99.",
    "p99_of_tpots": "The P99 is taken over the mean gap of each request (TPOT); a mean hides the stalls.",
    "p99_is_max": "This is the longest gap, or the largest of the requests' P99s; the P99 of all gaps in one list lets "
                  "one gap in a hundred be longer.",
    "max_is_p99": "max_tbt is the longest of all gaps, not the P99.",
    "with_ttft": "The time to the first token is among the gaps; TBT begins with the second token.",
    "fields_swapped": "P99 and max TBT are swapped: in a Row the P99 comes first.",
    "interpolated": "This percentile lies between two gaps; by the nearest-rank rule it is one of them.",
    "rank_median": "This is one of the TTFTs; the median of an even number is the mean of the middle two.",
    "mean_ttft": "This is the mean TTFT; asked is the median over the requests.",
    "milliseconds": "Times in a Row are in seconds.",
    "no_gaps": "When no request has two tokens there are no gaps: P99 and max TBT are 0.0, not an error.",
    "requests_reused": "The requests are made once for all rows. They are used up after the first: call "
                       "make_requests() for every budget.",
    "scheduler_reused": "One scheduler serves several rows, and keeps the budget it was made with: call "
                        "make_scheduler(budget) for every budget.",
    "own_requests": "The runs do not serve the requests that make_requests makes: call it for every budget.",
    "own_scheduler": "The runs do not use the schedulers that make_scheduler makes: call it with every budget.",
    "same_budget": "Every scheduler is made with the same budget; each row needs one with its own.",
    "own_executor": "The runs did not use the given executor, so the clock is another one.",
    "return_in_loop": "There is only the first row: the `return` stands inside the loop.",
    "rows_sorted": "The rows are sorted; they come in the order of `budgets`.",
    "budgets_twice": "`budgets` is gone through twice; an iterator is empty after the first time.",
    "last_trace": "Every row describes the same run; make each row from the trace of its own budget.",
    "slo_ignored": "The SLO is not looked at: this is the highest throughput of all rows.",
    "best_or_nothing": "The row with the highest throughput breaks the promise, but others may keep it: leave out "
                       "those that break it first, then choose.",
    "zero_for_none": "No row meets the SLO: the answer is None. A 0 would be taken for a budget.",
    "strict": "A P99 TBT equal to the SLO meets it: compare with <=.",
    "largest_budget": "The largest budget that meets the SLO does not always have the highest throughput.",
    "smallest_budget": "The smallest budget that meets the SLO is safe, but asked is the highest throughput.",
    "lowest_tbt": "The lowest P99 TBT is not asked: among the rows that meet the SLO the highest throughput wins.",
    "tie_larger": "Of equal throughputs the smaller budget is asked.",
    "tie_first": "Of equal throughputs the smaller budget is asked, wherever it stands in the list.",
    "least_bad": "No row meets the SLO: the answer is None. Any row would break the promise silently.",
    "none_is_error": "No row meets the SLO: the answer is None, not an error; there may also be no rows at all.",
    "returns_row": "This is the row; asked is its budget.",
    "max_instead": "The SLO is about the P99 TBT, not about the longest gap.",
    "slo_in_ms": "The SLO is taken as milliseconds; it is in seconds, as the rows are.",
}

CHOICES = {
    "documents_in_chunks": {
        "A": (False, "The same tokens are computed, but in more iterations: each pays its fixed cost and re-reads what "
                     "the chunks before it left in the cache. Your sweep shows the lost throughput."),
        "B": (False, "Below the roofline's ridge an iteration takes as long as reading the weights. Smaller chunks "
                     "then make no iteration shorter; there are only more of them."),
        "C": (True, "A gap lasts one iteration, and the budget bounds that. The price is paid by the documents' first "
                    "token and by the throughput; how much, your sweep says."),
        "D": (False, "A chat gets one token an iteration, with or without chunks beside it, and decode steps are "
                     "served before new chunks: none is pushed out."),
    },
}


def guess_loss_percent(call: Call) -> Result:
    """There is a guess."""
    return check_prediction(call, "guess_loss_percent", MISCONCEPTIONS["no_guess"])


def documents_in_chunks(call: Call) -> Result:
    """The right option."""
    return check_choice(call, CHOICES["documents_in_chunks"])


FIELDS = ("throughput", "p99_tbt", "max_tbt", "median_ttft", "makespan")


def row_of(call: Call) -> Result:
    """Rows of simulated runs, field by field, and of one without gaps."""
    tally = Tally("budget", *FIELDS, "a run without gaps")
    for _ in range(3):
        trace, times = stalling_run()
        budget = random.randint(100, 9999)
        right = right_row(budget, times, trace.iterations[-1].end)
        num_tokens = sum(len(tokens) for _, tokens in times.values())
        given = f"row_of({budget}, a run of {len(times)} requests with {num_tokens} output tokens)"
        got = _named_row(call({"budget": budget, "trace": trace.to_json()})["row"])
        cause = next((MISCONCEPTIONS[name] for flawed, name in flawed_rows(right, times)
                      if differs(flawed, got, 1e-9) is None), None)
        for name in ("budget", *FIELDS):
            tally.equal(name, got.get(name), right[name], given=f"{given}, its {name}",
                        wrong=[(got.get(name), cause)] if cause else ())
    requests = [Request(f"request {n}", [1] * random.randint(2, 9), 1) for n in range(random.randint(2, 5))]
    trace, times = simulated_run(requests)
    given = "row_of(64, a run in which each request gets one token)"
    try:
        got = _named_row(call({"budget": 64, "trace": trace.to_json()})["row"])
        right = right_row(64, times, trace.iterations[-1].end)
        gaps = {name: got.get(name) for name in ("p99_tbt", "max_tbt")}
        tally.equal("a run without gaps", gaps, {name: right[name] for name in gaps}, given=given)
    except LearnerError as error:
        tally.error("a run without gaps", error, given, MISCONCEPTIONS["no_gaps"])
    return tally.result()


def _named_row(row: object) -> dict:
    return row if isinstance(row, dict) else {"row": row}


IN_ORDER = "one row a budget, in the order of the budgets"
FRESH_REQUESTS = "fresh requests for every row"
FRESH_SCHEDULERS = "a fresh scheduler with its own budget for every row"
AS_LOGGED = "rows equal to the grader's log"
ANY_ITERABLE = "budgets may be any iterable"


def sweep(call: Call) -> Result:
    """Which objects were made for which row, and every row against the grader's own log of what was executed."""
    tally = Tally(IN_ORDER, FRESH_REQUESTS, FRESH_SCHEDULERS, AS_LOGGED, ANY_ITERABLE)
    for budgets in ([9, 30, 17], [25, 12]):
        shift = random.randint(0, 5)
        _one_sweep(call, tally, [budget + shift for budget in budgets])
    _iterator_sweep(call, tally, [random.randint(31, 45), random.randint(8, 30)])
    return tally.result()


def _payload(budgets: list[int], iterator: bool) -> dict:
    requests = [{"request_id": f"request {n}", "num_prompt_tokens": random.randint(3, 25),
                 "max_tokens": random.randint(2, 8), "arrival_time": random.uniform(0.1, 6.0)} for n in range(5)]
    return {"requests": requests, "budgets": budgets, "iterator": iterator}


def _one_sweep(call: Call, tally: Tally, budgets: list[int]) -> None:
    payload = _payload(budgets, iterator=False)
    log = EventLog(CostModel(random.uniform(0.5, 1.5), random.uniform(0.05, 0.2)))
    given = f"sweep(5 requests, budgets={budgets})"
    try:
        rows = [_named_row(row) for row in call(payload, log)["rows"]]
    except LearnerError as error:
        if "was served before" in error.message:
            tally.error(FRESH_REQUESTS, error, given, MISCONCEPTIONS["requests_reused"])
        else:
            tally.error(IN_ORDER, error, given)
        return
    tally.equal(IN_ORDER, [row.get("budget") for row in rows], budgets, given=f"{given}, the rows' budgets",
                wrong=_named([(budgets[:1], "return_in_loop"), (sorted(budgets), "rows_sorted"),
                              (sorted(budgets, reverse=True), "rows_sorted")]))
    tally.true(FRESH_REQUESTS, log.num_requests_made >= len(budgets),
               f"Input:            {given}\nExpected:         make_requests() called for each row\n"
               f"Got:              {log.num_requests_made} calls",
               MISCONCEPTIONS["own_requests"] if log.num_requests_made == 0 else None)
    causes = [(NOT_MADE in log.plans, "own_scheduler"),
              (len(log.budgets) < len(budgets), "scheduler_reused"), (len(set(log.budgets)) == 1, "same_budget")]
    tally.true(FRESH_SCHEDULERS, set(budgets) <= set(log.budgets) and NOT_MADE not in log.plans,
               f"Input:            {given}\nExpected:         make_scheduler called with each of {budgets}\n"
               f"Got:              called with {log.budgets}",
               next((MISCONCEPTIONS[name] for holds, name in causes if holds), None))
    _compare_with_log(tally, log, rows, payload["requests"], given)


def _compare_with_log(tally: Tally, log: EventLog, rows: list[dict], requests: list[dict], given: str) -> None:
    """Each row against the log of the run with its budget."""
    if not log.plans:
        tally.true(AS_LOGGED, False, f"Input: {given}\nThe given executor executed nothing.",
                   MISCONCEPTIONS["own_executor"])
    logged = {log.budgets[number]: log.row(number, requests) for number in log.plans if number != NOT_MADE}
    for row in rows if logged else ():
        budget = row.get("budget")
        right = logged.get(budget)
        if right is None:
            tally.true(AS_LOGGED, False, f"Input: {given}\nNo run with budget {show(budget)} finished all requests.")
            continue
        others = [(other | {"budget": budget}, "last_trace") for other in logged.values() if other not in (right, None)]
        tally.equal(AS_LOGGED, row, right, given=f"{given}, the row of budget {budget}", wrong=_named(others))


def _iterator_sweep(call: Call, tally: Tally, budgets: list[int]) -> None:
    given = f"sweep(5 requests, budgets=iter({budgets}))"
    log = EventLog(CostModel(1.0, 0.1))
    try:
        got = [_named_row(row).get("budget") for row in call(_payload(budgets, iterator=True), log)["rows"]]
    except LearnerError as error:
        tally.error(ANY_ITERABLE, error, given)
        return
    tally.equal(ANY_ITERABLE, got, budgets, given=f"{given}, the rows' budgets", wrong=_named([
        ([], "budgets_twice"), (budgets[:1], "return_in_loop"), (sorted(budgets), "rows_sorted")]))


HIGHEST = "the highest throughput that meets the SLO"
EQUAL = "a P99 TBT equal to the SLO meets it"
TIE = "a tie goes to the smaller budget"
INFEASIBLE = "None when no row meets the SLO"


def pick_budget(call: Call) -> Result:
    """Random sweeps in any order: rows at the SLO, ties, none that meets it, no rows at all."""
    tally = Tally(HIGHEST, EQUAL, TIE, INFEASIBLE, edges=[INFEASIBLE])
    suspects = FLAWED_PICKS
    for requirement, prepare in [(HIGHEST, some_allowed), (HIGHEST, all_allowed), (EQUAL, equal_is_best),
                                 (TIE, tied), (TIE, tied_small_first), (INFEASIBLE, infeasible),
                                 (INFEASIBLE, no_rows)] * 2:
        rows, slo = prepare(random_rows())
        shown = ", ".join(f"{row['budget']}: {row['throughput']:.1f} tokens/s with P99 {row['p99_tbt']:.4f} s"
                          for row in rows)
        given = f"pick_budget(rows, {slo:.4f}), rows: {shown or 'none'}"
        try:
            got = call({"rows": rows, "tbt_slo": slo})["budget"]
            tally.equal(requirement, got, right_pick(rows, slo), given=given)
        except LearnerError as error:
            got = ERROR
            tally.error(requirement, error, given)
        suspects = [(name, flaw) for name, flaw in suspects if answer(flaw, rows, slo) == got]
    result = tally.result()
    if result.share == 1 or not suspects:
        return result
    return replace(result, misconception=MISCONCEPTIONS[suspects[0][0]])


def _named(wrong: list[tuple[object, str]]) -> list[tuple[object, str]]:
    return [(answer, MISCONCEPTIONS[name]) for answer, name in wrong]
