"""Hidden checks of notebook 05: traces drawn anew each time, against a brute force over their event log."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from autograder.checking import Call, LearnerError, Result, Tally
from autograder.common_checks import check_choice, check_prediction
from autograder.random_traces import (
    Kind,
    decode_iterations,
    gaps,
    interesting_trace,
    random_trace,
    simulated_trace,
    token_iterations,
    trace_amid_a_prompt,
    waits,
    working_iterations,
)
from autograder.trace_cases import Case, Wrong, all_right, common_cause, run_cases, tally_cases
from course_lib.trace import Iteration, RequestInfo, Trace

MISCONCEPTIONS = {
    "no_guess": "A prediction is any finite number; it need not be right, it has to be there.",
    "ttft_from_schedule": "Counted from the first iteration that works on it; the user waits from the arrival.",
    "ttft_at_start": "The token comes out at the end of the iteration that samples it, not at its start.",
    "ttft_first_chunk": "This is the end of the request's first chunk; the first token follows the prompt's last one.",
    "ttft_clock_time": "This is a time on the clock; TTFT counts from the request's arrival.",
    "ttft_last_token": "This is the last token's time, the latency; TTFT asks for the first.",
    "ttft_any_request": "This is another request's token: compare work.request_id.",
    "ttft_nothing": "Nothing came back: a `return` is missing where the token is found.",
    "ttft_stops": "The search stops at the first piece of work that does not fit: go on; None comes after the last.",
    "ttft_none": "A request without a token has no TTFT: None. A number would pass for a measured one.",
    "tbt_starts": "Gaps from start to start; tokens come out when iterations end.",
    "tbt_idle": "This is only the idle part of each gap; the user also waits while the next token is computed.",
    "tbt_decodes": "Only decode steps are looked at; the first token comes from the iteration that completes the "
                   "prompt, and after a preemption the next one comes from a recompute.",
    "tbt_any_work": "Chunks amid a prompt or a recompute give no token: only work with samples_token does.",
    "tbt_arrival": "The time from arrival to the first token is the TTFT; TBT begins with the second token.",
    "tbt_mean": "This is one number for all gaps (their mean, TPOT); asked is each gap: a mean hides a stall.",
    "tbt_iterations": "The gaps are counted in iterations; asked are seconds, and iterations differ in length.",
    "tbt_lengths": "These are lengths of iterations; asked is from token to token.",
    "tbt_times": "These are times on the clock; asked are the gaps.",
    "one_token": "A request with fewer than two tokens has no gap between tokens: give the empty result, not an error.",
    "unknown_id": "An id that is not in the trace has no answer: KeyError. A value would look like a measured one.",
    "idle_running": "The iteration that computes the later token is work: subtract from its start, not from its end.",
    "idle_after_last": "Time after the last token does not count: there is no next token to wait for.",
    "idle_list": "These are the waits; return their sum.",
    "idle_before_first": "The wait before the first token does not count as decoder idle time; it is in the TTFT.",
    "idle_decodes": "The gap between the iteration that gave the first token and the first decode step is missing "
                    "(or, after a preemption, the one that a recompute ends).",
    "idle_iterations": "Iterations are counted; they differ in length, so sum their seconds.",
    "idle_recompute": "Recomputing after a preemption is counted as work; those tokens were there before, and the user "
                      "waits for the next one.",
    "idle_longest": "This is the longest wait; asked is the sum over all consecutive tokens.",
    "idle_mean": "This is the mean wait; asked is the sum over all consecutive tokens.",
    "idle_server": "Only the time in which the server ran iterations is counted; a sequence that waits for an idle "
                   "server waits too.",
    "all_tokens": "Prompt (and recomputed) tokens are counted; throughput counts output tokens only.",
    "decodes_only": "Only decode steps are counted; the iteration that completes a prompt gives an output token too.",
    "asked_tokens": "These are the tokens that were asked for (max_tokens); count those that came out.",
    "busy_time": "Divided by the time in which iterations ran; the makespan includes the stretches in which the server "
                 "was idle.",
    "from_zero": "Divided by the time since 0 s on the clock; the makespan begins at the first arrival.",
    "first_listed": "The first request in the list need not be the first to arrive: take the earliest arrival.",
    "from_first_start": "Divided by the time since the first start; the makespan starts with the first arrival.",
    "per_iteration": "Divided by the number of iterations; throughput is tokens per second.",
    "empty_trace": "A trace without iterations has no output and no makespan: return 0.0 before you divide.",
}

CHOICES = {
    "zero_idle": {
        "A": (False, "Idle time leaves out the iteration that computes the token. In a hybrid batch with a long prompt "
                     "it is this iteration that the user waits for."),
        "B": (True, "The decode step starts at once, so it is not idle, but its token comes out when the whole "
                    "iteration ends. The stall has moved from idle time into the TBT; only chunks make it short."),
        "C": (False, "Nothing is computed twice: a hybrid batch computes each token once, in one forward pass. The "
                     "stall is about as long as the prefill, as before."),
        "D": (False, "The first token of a long prompt comes at about the same time as before: its prompt still runs "
                     "in one iteration. Look at the TBT of the others."),
    },
}


def guess_added_percent(call: Call) -> Result:
    """There is a guess."""
    return check_prediction(call, "guess_added_percent", MISCONCEPTIONS["no_guess"])


def zero_idle(call: Call) -> Result:
    """The right option."""
    return check_choice(call, CHOICES["zero_idle"])


# What common mistakes answer, as functions of trace and request.


def _busy(trace: Trace, earlier: Iteration, later: Iteration) -> float:
    return sum(step.end - step.start for step in trace.iterations[earlier.index + 1:later.index])


def _between(trace: Trace, info: RequestInfo, measure: Callable[[Iteration, Iteration], float]) -> list[float]:
    steps = token_iterations(trace, info)
    return [measure(steps[index], steps[index + 1]) for index in range(len(steps) - 1)]


WRONG_TTFT: Wrong = {
    "ttft_clock_time": lambda trace, info: _first(trace, info).end,
    "ttft_from_schedule": lambda trace, info: _first(trace, info).end - working_iterations(trace, info)[0].start,
    "ttft_at_start": lambda trace, info: _first(trace, info).start - info.arrival_time,
    "ttft_first_chunk": lambda trace, info: working_iterations(trace, info)[0].end - info.arrival_time,
    "ttft_any_request": lambda trace, info: _first_of_all(trace).end - info.arrival_time,
    "ttft_nothing": lambda trace, info: None,
    "ttft_stops": lambda trace, info: (_first(trace, info).end - info.arrival_time if _is_first_work(trace, info)
                                       else None),
    "ttft_last_token": lambda trace, info: token_iterations(trace, info)[-1].end - info.arrival_time,
}
WRONG_TBT: Wrong = {
    "tbt_starts": lambda trace, info: _between(trace, info, lambda one, other: other.start - one.start),
    "tbt_idle": lambda trace, info: waits(token_iterations(trace, info)),
    "tbt_decodes": lambda trace, info: gaps(decode_iterations(trace, info)),
    "tbt_any_work": lambda trace, info: gaps(working_iterations(trace, info)),
    "tbt_arrival": lambda trace, info: [_first(trace, info).end - info.arrival_time,
                                        *gaps(token_iterations(trace, info))],
    "tbt_mean": lambda trace, info: _mean(gaps(token_iterations(trace, info))),
    "tbt_lengths": lambda trace, info: _between(trace, info, lambda one, other: other.end - other.start),
    "tbt_times": lambda trace, info: [step.end for step in token_iterations(trace, info)],
    "tbt_iterations": lambda trace, info: _between(trace, info, lambda one, other: other.index - one.index),
}
WRONG_IDLE: Wrong = {
    "idle_running": lambda trace, info: sum(gaps(token_iterations(trace, info))),
    "idle_before_first": lambda trace, info: (sum(waits(token_iterations(trace, info)))
                                              + _first(trace, info).start - info.arrival_time),
    "idle_after_last": lambda trace, info: (sum(waits(token_iterations(trace, info))) + trace.iterations[-1].end
                                            - token_iterations(trace, info)[-1].end),
    "idle_list": lambda trace, info: waits(token_iterations(trace, info)),
    "idle_decodes": lambda trace, info: sum(waits(decode_iterations(trace, info))),
    "idle_iterations": lambda trace, info: sum(
        _between(trace, info, lambda one, other: other.index - one.index - 1)),
    "idle_recompute": lambda trace, info: sum(waits(
        [step for step in working_iterations(trace, info) if step.start >= _first(trace, info).start])),
    "idle_longest": lambda trace, info: max(waits(token_iterations(trace, info))),
    "idle_mean": lambda trace, info: _mean(waits(token_iterations(trace, info))),
    "idle_server": lambda trace, info: sum(_between(trace, info, lambda one, other: _busy(trace, one, other))),
}


def _first(trace: Trace, info: RequestInfo) -> Iteration:
    return token_iterations(trace, info)[0]


def _first_of_all(trace: Trace) -> Iteration:
    return min((_first(trace, info) for info in _with_tokens(trace, 1)), key=lambda step: step.end)


def _is_first_work(trace: Trace, info: RequestInfo) -> bool:
    """Whether the very first piece of work in the trace gives this request a token."""
    return trace.iterations[0].work[0].request_id == info.request_id and _first(trace, info) is trace.iterations[0]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _cause(cases: list[Case], wrong: Wrong) -> str | None:
    return MISCONCEPTIONS.get(common_cause(cases, wrong))


def _edge_cases(call: Call, tally: Tally, name: str, cases: list[Case], misconception: str, others: list[Case]) -> None:
    """Cases whose right answer is the empty one; any other answer, or an error, is the one misconception.

    Where the `others` are wrong already, their mistake shows here, too: then nothing is named.
    """
    run_cases(call, cases)
    tally_cases(tally, name, cases, MISCONCEPTIONS[misconception] if all_right(others) else None)


def _few_tokens(call: Call, tally: Tally, name: str, requirement: str, expected: Any, others: list[Case]) -> None:
    """One token, none at all, and an id that is not there."""
    counts: list[int] = []
    while 1 not in counts:
        trace = interesting_trace(Kind(max_tokens=(1, 1, 1, 2)))
        counts = [len(token_iterations(trace, info)) for info in trace.requests]
    cases = [Case(requirement, trace, info, expected) for info, count in zip(trace.requests, counts, strict=True)
             if count < 2]
    _edge_cases(call, tally, name, cases, "one_token", others)
    try:
        got = call({"trace": trace.to_json(), "request_id": "nobody"})["value"]
        message = f'Input:            {name}(trace, "nobody")\nExpected:         KeyError\nGot:              {got!r}'
        tally.true(requirement, False, message, MISCONCEPTIONS["unknown_id"])
    except LearnerError as error:
        message = f'Input:            {name}(trace, "nobody")\nExpected:         KeyError\n{error}'
        tally.true(requirement, error.type_name == "KeyError", message, MISCONCEPTIONS["unknown_id"])


def _with_tokens(trace: Trace, least: int) -> list[RequestInfo]:
    return [info for info in trace.requests if len(token_iterations(trace, info)) >= least]


PASSED_OVER, RECOMPUTE, IDLE_SERVER = "waits between tokens", "preemption and recompute", "an idle server"


def _traces() -> list[tuple[str, Trace]]:
    """Traces, each with the requirement that it shows."""
    kinds = {PASSED_OVER: Kind(), RECOMPUTE: Kind(preemption=True), IDLE_SERVER: Kind(idle_server=True)}
    drawn = [(requirement, interesting_trace(kind)) for requirement, kind in kinds.items() for _ in range(3)]
    cut_off = random_trace(Kind(idle_server=True, cut_off=True))
    return [*drawn, (PASSED_OVER, simulated_trace()), (IDLE_SERVER, cut_off)]


def ttft(call: Call) -> Result:
    """First tokens on many traces; None where there is none."""
    tally = Tally(PASSED_OVER, RECOMPUTE, IDLE_SERVER, "no token: None", edges=["no token: None"])
    cases = [Case(requirement, trace, info, _first(trace, info).end - info.arrival_time)
             for requirement, trace in _traces() for info in _with_tokens(trace, 1)]
    run_cases(call, cases)
    tally_cases(tally, "ttft", cases, _cause(cases, WRONG_TTFT))
    trace = trace_amid_a_prompt()
    without = [Case("no token: None", trace, info, None) for info in trace.requests]
    _edge_cases(call, tally, "ttft", without, "ttft_none", cases)
    return tally.result()


def tbt(call: Call) -> Result:
    """All gaps on many traces; none for fewer than two tokens."""
    return _about_gaps(call, "tbt", gaps, [], WRONG_TBT)


def decoder_idle_time(call: Call) -> Result:
    """The sum of waits on many traces; 0.0 for fewer than two tokens."""
    return _about_gaps(call, "decoder_idle_time", lambda steps: sum(waits(steps)), 0.0, WRONG_IDLE)


def _about_gaps(call: Call, name: str, answer: Callable[[list[Iteration]], Any], empty: Any, wrong: Wrong) -> Result:
    few = f"fewer than two tokens: {empty}; an unknown id: KeyError"
    tally = Tally(PASSED_OVER, RECOMPUTE, IDLE_SERVER, few, edges=[few])
    cases = [Case(requirement, trace, info, answer(token_iterations(trace, info)))
             for requirement, trace in _traces() for info in _with_tokens(trace, 2)]
    run_cases(call, cases)
    tally_cases(tally, name, cases, _cause(cases, wrong))
    _few_tokens(call, tally, name, few, empty, cases)
    return tally.result()


def throughput(call: Call) -> Result:
    """Output tokens per second of makespan."""
    kinds = {PASSED_OVER: Kind(), "unfinished requests": Kind(cut_off=True),
             IDLE_SERVER: Kind(idle_server=True), RECOMPUTE: Kind(preemption=True)}
    another = "requests listed in another order"
    tally = Tally(*kinds, another, empty := "no iterations: 0.0", edges=[empty])
    traces = [(requirement, interesting_trace(kind)) for requirement, kind in kinds.items() for _ in range(3)]
    for _ in range(2):
        trace = interesting_trace(Kind())
        traces.append((another, replace(trace, requests=trace.requests[::-1])))
    cases = [Case(requirement, trace, None, _tokens(trace) / _makespan(trace)) for requirement, trace in traces]
    run_cases(call, cases)
    tally_cases(tally, "throughput", cases, _cause(cases, WRONG_THROUGHPUT))
    without = [Trace((), ()), replace(cases[0].trace, iterations=())]
    _edge_cases(call, tally, "throughput", [Case(empty, trace, None, 0.0) for trace in without],
                "empty_trace", cases)
    return tally.result()


def _tokens(trace: Trace) -> int:
    return sum(len(token_iterations(trace, info)) for info in trace.requests)


def _makespan(trace: Trace) -> float:
    return trace.iterations[-1].end - min(info.arrival_time for info in trace.requests)


WRONG_THROUGHPUT: Wrong = {
    "all_tokens": lambda trace, _: sum(step.num_tokens for step in trace.iterations) / _makespan(trace),
    "decodes_only": lambda trace, _: (sum(len(decode_iterations(trace, info)) for info in trace.requests)
                                      / _makespan(trace)),
    "asked_tokens": lambda trace, _: sum(info.max_tokens for info in trace.requests) / _makespan(trace),
    "busy_time": lambda trace, _: _tokens(trace) / sum(step.end - step.start for step in trace.iterations),
    "first_listed": lambda trace, _: _tokens(trace) / (trace.iterations[-1].end - trace.requests[0].arrival_time),
    "from_zero": lambda trace, _: _tokens(trace) / trace.iterations[-1].end,
    "from_first_start": lambda trace, _: _tokens(trace) / (trace.iterations[-1].end - trace.iterations[0].start),
    "per_iteration": lambda trace, _: _tokens(trace) / len(trace.iterations),
}
