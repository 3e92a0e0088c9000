# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # 05 Decoder idle time
#
# *Measure it.*
#
# | | |
# |---|---|
# | **You will be able to** | read TTFT, TBT, decoder idle time and throughput from the trace of a run, and say which of them to believe |
# | **Time** | 60 minutes |
# | **Difficulty** | two stars of four |
# | **You need** | notebook 04: an iteration-level scheduler, hybrid batches |
# | **GPU** | useful for the measured parts, not needed |
# | **Marks** | 9 automatic, 4 for a written answer |
#
# Chunked prefill lets D₂₂ run in the iteration of P₁₂ instead of waiting for all of P₁. So far we have looked at
# pictures of it. Now we put numbers on it: how long does a generating sequence sit idle, what does its user feel, and
# what does the server gain? The claim to prove, and to distrust: **less decoder idle time becomes throughput and
# latency, but idle time alone is not the goal.**

# %% tags=["setup"]
# include: bootstrap

# %% tags=["setup"]
import math
import statistics
import time
from itertools import pairwise

import torch

from course_lib import checks
from course_lib.cost_model import CPU_DEFAULT, ONE_SECOND, fit
from course_lib.device import choose_device
from course_lib.engine import ModelExecutor, SimulatedExecutor, run
from course_lib.model import SequenceChunk
from course_lib.plots import gap_distribution, timeline
from course_lib.presets import YI_34B
from course_lib.request import Request
from course_lib.scheduler import PlannedScheduler, PrefillFirstScheduler, Scheduler, SchedulerConfig, SchedulerOutput
from course_lib.text_bar import tqdm
from course_lib.trace import Iteration, RequestInfo, Trace, Work
from course_lib.workload import running_example

profile = choose_device()  # a GPU if there is one; on a CPU it also keeps torch to one thread
print(f"running on {profile.name}")

# %% [markdown]
# ## Predict first
#
# Eight sequences take one decode step together: that is one iteration, and it takes some time. Now add these eight
# steps to an iteration that computes a prefill chunk of another sequence anyway. The iteration becomes a little longer.
# **How much longer, in percent of what the eight steps take alone?** 100 means that they cost as much as alone, 0 that
# they come for free. Your guess counts for being there (1 mark), not for being right; you will see it beside the
# measured figure.

# %% nbgrader={"grade": false, "grade_id": "guess_added_percent", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: guess_added_percent
guess_added_percent = None
### BEGIN SOLUTION
guess_added_percent = 50
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "guess_added_percent_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: guess_added_percent
checks.predicted("guess_added_percent", guess_added_percent)
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("05_decoder_idle_time", "guess_added_percent", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 1. A worked example: what a trace knows
#
# Every run of the engine leaves a `Trace`: the requests with their arrival times, and one entry an iteration with its
# `start`, its `end` (in seconds on the run's clock) and its `work`. A piece of work belongs to one request, covers
# `num_tokens` tokens from `start_pos` on, and says whether it gave an output token: `samples_token`.
#
# Here is the running example once more. Sequence 2's prompt comes first, P₂; sequence 1 arrives at 1 s. The clock is
# the simplest one: each iteration takes one second. As in notebook 00, the standard plan starts P₁ one iteration late,
# to show D₂₁ before the wait; prefill-first would give sequence 1 a TTFT of 1 s.

# %%
STANDARD_PLANS = [{"2": 8}, {"2": 1}, {"1": 24}, {"1": 1, "2": 1}, {"1": 1, "2": 1}]
CHUNKED_PLANS = [{"2": 8}, {"1": 8, "2": 1}, {"1": 8, "2": 1}, {"1": 8, "2": 1}, {"1": 1}, {"1": 1}]


def replay(plans: list[dict[str, int]]) -> Trace:
    """The running example under a list of plans, sequence 1 arriving after the first iteration."""
    requests = running_example()
    requests[0].arrival_time = 1.0
    return run(PlannedScheduler(SchedulerConfig(), plans), requests, SimulatedExecutor(ONE_SECOND))


example = {"standard": replay(STANDARD_PLANS), "chunked": replay(CHUNKED_PLANS)}
for request in example["standard"].requests:
    print(request)
for iteration in example["standard"].iterations:
    print(f"\niteration {iteration.index}: {iteration.start} s to {iteration.end} s")
    for work in iteration.work:
        print("   ", work)
timeline(example, numbers={"1": 1, "2": 2}, title="The running example, a second an iteration")

# %% [markdown]
# An iteration's tokens come out when it ends. In the standard run sequence 2's tokens come at 1, 2, 4 and 5 s. Check
# that in the listing: look for `request_id='2'` with `samples_token=True`. By hand, for sequence 2:
#
# - **TTFT** (time to first token, from arrival): 1 − 0 = 1 s.
# - **TBT** (time between tokens, also called ITL, inter-token latency): 2 − 1, 4 − 2, 5 − 4 = 1, **2**, 1 s. Their mean is called **TPOT**,
#   time per output token: here 1.33 s.
# - **Decoder idle time**: 1 s, the time of P₁, while sequence 2 had a token, could decode, and did not.
#
# Now as code. This function is complete: it finds all output tokens of one request, and takes the last one's time.

# %% tags=["given"]
def find_request(trace: Trace, request_id: str) -> RequestInfo:
    """What the trace says about a request; KeyError for an id that it does not know."""
    for request in trace.requests:
        if request.request_id == request_id:
            return request
    known = [request.request_id for request in trace.requests]
    raise KeyError(f"no request {request_id!r}; the requests are {known}")


def latency(trace: Trace, request_id: str) -> float | None:
    """Seconds from arrival to the last output token; None for a request without one."""
    request = find_request(trace, request_id)
    last = None
    for iteration in trace.iterations:
        for work in iteration.work:
            if work.request_id == request_id and work.samples_token:
                last = iteration.end - request.arrival_time
    return last

# %%
for name, trace in example.items():
    print(f"{name}: sequence 1 after {latency(trace, '1')} s, sequence 2 after {latency(trace, '2')} s")

# %% [markdown]
# On this clock the chunked run serves sequence 2 a second earlier and sequence 1 a second later. On this clock P₁'s 24
# tokens take no longer than one decode step, too; that flatters the standard run. Real iterations differ in length,
# and we get to them in section 6.
#
# For the checks we need a trace with more going on. In this one iterations take different times and the server is idle
# now and then: before the first iteration, from 11.0 to 11.5 s, and before sequence 3 arrives. Sequence 1 is passed
# over, then preempted (why a server does that: notebook 07): its cache is dropped at 8.5 s, and computed again in two
# pieces, P₁₁′ and P₁₂′. The second is the narrow box from 11.5 to 12.0 s. Sequence 4 is never scheduled.
# **The picture's clock starts with the first iteration, at 2.0 s of the trace: add 2.0 s to what its axis says.**

# %% tags=["given"]
hand_made = Trace(
    requests=(
        RequestInfo("1", arrival_time=1.5, num_prompt_tokens=2, max_tokens=4),
        RequestInfo("2", arrival_time=2.5, num_prompt_tokens=6, max_tokens=2),
        RequestInfo("3", arrival_time=14.0, num_prompt_tokens=3, max_tokens=1),
        RequestInfo("4", arrival_time=14.25, num_prompt_tokens=5, max_tokens=3),
    ),
    # Iteration(index, start, end, scheduling_seconds, work) of Work(request_id, start_pos, num_tokens, samples_token)
    iterations=(
        Iteration(0, 2.0, 3.0, 0.0, (Work("1", 0, 2, True),)),
        Iteration(1, 3.0, 3.5, 0.0, (Work("1", 2, 1, True),)),
        Iteration(2, 3.5, 6.5, 0.0, (Work("2", 0, 4, False),)),
        Iteration(3, 6.5, 8.5, 0.0, (Work("1", 3, 1, True), Work("2", 4, 2, True))),
        Iteration(4, 8.5, 9.5, 0.0, (Work("2", 6, 1, True),), preempted=("1",)),
        Iteration(5, 9.5, 11.0, 0.0, (Work("1", 0, 3, False),)),
        Iteration(6, 11.5, 12.0, 0.0, (Work("1", 3, 2, True),)),
        Iteration(7, 14.0, 14.5, 0.0, (Work("3", 0, 3, True),)),
    ),
)


def unknown_id(check, function) -> None:
    """A visible check: the trace has no request "5", so there is no answer to give."""
    given = f'{function.__name__}(hand_made, "5"), a request that is not in the trace'
    try:
        got = function(hand_made, "5")
    except KeyError:
        got = KeyError
    check.true(got is KeyError, f"Input:            {given}\nExpected:         KeyError\nGot:              {got!r}\n"
               "Likely cause:     Nothing looks the request up: call `find_request(trace, request_id)` first: it raises "
               "the KeyError.")

# %%
timeline(hand_made, x="ms", title="A hand-made trace; 0 ms is 2.0 s of the trace")

# %% [markdown]
# ## 2. Time to first token
#
# TTFT is what a user waits before anything appears. The lookup and the two loops are given, as in `latency`; fill in
# what happens to one piece of work (1 mark). A request without any token yet has no TTFT: the function then ends with `None`.
#
# <details><summary>Hint: a nudge</summary>
#
# `latency` keeps the last token. Which one do you want here, and do you need to look further once you have it?
# </details>
# <details><summary>Hint: the idea</summary>
#
# A chunk amid a prompt is work for the request, but gives nothing to its user. And a token comes out when its
# iteration is over, not when it begins.
# </details>

# %% nbgrader={"grade": false, "grade_id": "ttft", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: ttft
def ttft(trace: Trace, request_id: str) -> float | None:
    """Seconds from the request's arrival to its first output token; None if it has none."""
    request = find_request(trace, request_id)
    for iteration in trace.iterations:
        for work in iteration.work:
            ### BEGIN SOLUTION
            if work.request_id == request_id and work.samples_token:
                return iteration.end - request.arrival_time
            ### END SOLUTION
    return None

# %% nbgrader={"grade": true, "grade_id": "ttft_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: ttft
with checks.exercise("ttft") as check:
    check.equal(ttft(hand_made, "2"), 6.0, given='ttft(hand_made, "2")', wrong=[
        (8.5, "This is a time on the clock; count from the request's arrival."),
        (5.0, "Counted from the first iteration that works on it; the wait before that counts too."),
        (4.0, "The token comes at the end of the iteration that samples it: not at its start, nor after a first chunk."),
        (7.0, "This is the last token's time; asked is the first."),
        (0.5, "This is another request's token: compare work.request_id."),
        (6.5, "Counted from the run's first iteration; count from the request's arrival."),
        (6000.0, "These are milliseconds; asked are seconds."),
        (None, "Nothing came back: either `return` is missing, or the search stops at the first piece of work that does "
               "not fit."),
    ])
    check.equal(ttft(hand_made, "1"), 1.5, given='ttft(hand_made, "1")')
    check.equal(ttft(hand_made, "3"), 0.5, given='ttft(hand_made, "3")')
    check.equal(ttft(hand_made, "4"), None, given='ttft(hand_made, "4"), a request that was never scheduled')
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("05_decoder_idle_time", "ttft", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Time between tokens
#
# What a user feels while reading along: every gap between one token and the next. Write the whole function (1 mark); an
# unknown id is a `KeyError`, and `find_request` raises it for you.
#
# <details><summary>Hint: a nudge</summary>
#
# Collect the times at which the request's tokens come out. How many gaps lie between *n* times?
# </details>
# <details><summary>Hint: the idea</summary>
#
# `pairwise([1, 2, 4])` gives `(1, 2)` and `(2, 4)`; of a list with one item it gives nothing.
# </details>

# %% nbgrader={"grade": false, "grade_id": "tbt", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: tbt
def tbt(trace: Trace, request_id: str) -> list[float]:
    """Times between tokens: seconds from each output token of the request to its next one, in order.

    Fewer than two tokens: []. An unknown id: KeyError.
    """
    ### BEGIN SOLUTION
    find_request(trace, request_id)
    times = [iteration.end for iteration in trace.iterations for work in iteration.work
             if work.request_id == request_id and work.samples_token]
    return [later - earlier for earlier, later in pairwise(times)]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "tbt_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: tbt
with checks.exercise("tbt") as check:
    check.equal(tbt(hand_made, "1"), [0.5, 5.0, 3.5], given='tbt(hand_made, "1")', wrong=[
        ([1.0, 3.5, 5.0], "From start to start; tokens come out when iterations end."),
        ([0.0, 3.0, 3.0], "This is the idle part of each gap; the user also waits while the token is computed."),
        ([5.0], "Only decode steps; the first token comes from the prompt, the last one here from a recompute."),
        ([0.5, 5.0], "The token after the preemption is missing: the work that gives it computes two tokens."),
        ([0.5, 5.0, 2.5, 1.0], "A recomputed piece amid the sequence gives no token: look at samples_token."),
        ([1.5, 0.5, 5.0, 3.5], "The time from the arrival to the first token is the TTFT; TBT begins with the second."),
        ([1, 2, 3], "These are iterations; asked are seconds."),
        ([0.5, 2.0, 0.5], "These are lengths of iterations; asked is from token to token."),
        ([0.5, 5.5, 9.0], "Each is counted from the first token; asked is the gap from one token to the next."),
        ([-0.5, -5.0, -3.5], "The subtraction is turned round."),
        ([3.0, 3.5, 8.5, 12.0], "These are times on the clock; asked are the gaps."),
        (9.0 / 3, "This is the mean of the gaps (TPOT); asked is each gap."),
    ])
    check.equal(tbt(hand_made, "2"), [1.0], given='tbt(hand_made, "2")')
    check.equal(tbt(hand_made, "3"), [], given='tbt(hand_made, "3"), a request with one token')
    check.equal(tbt(hand_made, "4"), [], given='tbt(hand_made, "4"), a request that was never scheduled')
    unknown_id(check, tbt)
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("05_decoder_idle_time", "tbt", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Decoder idle time
#
# A gap between two tokens has two parts: the iteration that computes the later token, and before it, the time in
# which the sequence only waited. The field has no fixed definition of the second part. Ours:
#
# > **Decoder idle time** of a request: the sum, over consecutive output tokens, of
# > (start of the iteration that gives the later one − end of the iteration that gave the earlier one).
#
# What follows from it:
#
# - Waiting before the first token does not count; that is in the TTFT.
# - The wait between the prompt's last iteration and the first decode step counts.
# - After a preemption, the waiting counts, and so do all iterations that recompute, but for the last: that one gives
#   the next token.
#
# Sequence 1 of `hand_made`, by hand: iteration 0 ends at 3.0, the next token's iteration starts at 3.0: 0 s. Then
# 6.5 − 3.5 = 3 s. Then 11.5 − 8.5 = 3 s: another sequence's decode step, P₁₁′, and half a second in which the server ran
# nothing. Together 6 s. (The hatching in the picture shows 4 of these 6 s: recomputing and an idle server are not
# hatched.)
#
# Write the function (3 marks).
#
# <details><summary>Hint: a nudge</summary>
#
# You need both ends of an iteration here. What must you remember of the iteration that gave the earlier token?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Gather the *iterations* that give the request's tokens instead of their times, then go through them in pairs.
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder_idle_time", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: decoder_idle_time
def decoder_idle_time(trace: Trace, request_id: str) -> float:
    """Seconds in which the request had a token and waited for the iteration that would give its next one.

    Fewer than two tokens: 0.0. An unknown id: KeyError.
    """
    ### BEGIN SOLUTION
    find_request(trace, request_id)
    idle, previous_end = 0.0, None
    for iteration in trace.iterations:
        for work in iteration.work:
            if work.request_id == request_id and work.samples_token:
                if previous_end is not None:
                    idle += iteration.start - previous_end
                previous_end = iteration.end
    return idle
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "decoder_idle_time_check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# check: decoder_idle_time
with checks.exercise("decoder_idle_time") as check:
    check.equal(decoder_idle_time(hand_made, "1"), 6.0, given='decoder_idle_time(hand_made, "1")', wrong=[
        (9.0, "From token to token; the iteration that computes the later token is work, not idling."),
        (3.0, "Either the wait around the preemption is missing, or this is only the longest wait, or a number of "
              "iterations; asked is the sum of all waits in seconds."),
        (4.5, "Either recomputing counts as work here (but the user waits, and those tokens were there before), or the "
              "time after the last token is counted."),
        (2.0, "This is the mean wait, or the number of waits; asked is their sum in seconds."),
        ([0.0, 3.0, 3.0], "These are the waits; return their sum."),
        (2.5, "This is the time in which the server ran nothing; this sequence also waits while others run."),
        (-6.0, "The subtraction is turned round."),
        (8.5, "Time after the last token does not count."),
        (5.5, "Only the time in which iterations ran is counted; waiting for an idle server is waiting too."),
        (6.5, "The wait before the first token does not count: that is the TTFT's business."),
    ])
    check.equal(decoder_idle_time(hand_made, "2"), 0.0, given='decoder_idle_time(hand_made, "2")', wrong=[
        (4.0, "The wait before the first token does not count: that is the TTFT's business."),
        (2.5, "Time after the last token does not count."),
        (5.0, "Time after the last token does not count."),
    ])
    check.equal(decoder_idle_time(hand_made, "3"), 0.0, given='decoder_idle_time(hand_made, "3"), one token')
    check.equal(decoder_idle_time(hand_made, "4"), 0.0, given='decoder_idle_time(hand_made, "4"), never scheduled')
    unknown_id(check, decoder_idle_time)
    for name, expected in {"standard": 1.0, "chunked": 0.0}.items():
        check.equal(decoder_idle_time(example[name], "2"), expected, given=f"sequence 2 of the {name} running example")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("05_decoder_idle_time", "decoder_idle_time", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 5. Throughput
#
# The server's side of the story: output tokens per second, over all requests. Prompt tokens do not count; nobody reads
# them. The seconds are the **makespan**: from the first arrival in the trace to the end of its last iteration, idle
# stretches included. Requests may be listed in any order. Write the function (2 marks).
#
# <details><summary>Hint: a nudge</summary>
#
# Which pieces of work give an output token? You have used the answer three times.
# </details>
# <details><summary>Hint: the idea</summary>
#
# Count, do not add up `num_tokens`: that would also count prompts and recomputed tokens. And treat a trace without
# iterations first, before you divide.
# </details>

# %% nbgrader={"grade": false, "grade_id": "throughput", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: throughput
def throughput(trace: Trace) -> float:
    """Output tokens of all requests per second of makespan (first arrival to the end of the last iteration).

    A trace without iterations: 0.0.
    """
    ### BEGIN SOLUTION
    if not trace.iterations:
        return 0.0
    num_output_tokens = sum(work.samples_token for iteration in trace.iterations for work in iteration.work)
    first_arrival = min(request.arrival_time for request in trace.requests)
    return num_output_tokens / (trace.iterations[-1].end - first_arrival)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "throughput_check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# check: throughput
with checks.exercise("throughput") as check:
    check.call(throughput, hand_made, expect=7 / 13, given="throughput(hand_made): 7 tokens in 13 s", wrong=[
        (19 / 13, "All computed tokens are counted; prompt and recomputed tokens are no output."),
        (10 / 13, "These are the tokens asked for (max_tokens); count those that came out."),
        (3 / 13, "Only decode steps are counted; a prompt's last iteration gives a token too."),
        (7 / 10, "Divided by the time the server was busy; the makespan includes idle stretches."),
        (7 / 8, "Divided by the number of iterations; asked are tokens per second."),
        (7 / 12.5, "Divided by the time since the first iteration; the makespan begins at the first arrival."),
        (7 / 14.5, "Divided by the time since 0 s; the makespan begins at the first arrival."),
    ])
    check.call(throughput, Trace(hand_made.requests[::-1], hand_made.iterations), expect=7 / 13,
               given="throughput of the same trace with its requests listed in another order", wrong=[
        (28.0, "The first request in the list need not be the first to arrive."),
    ])
    check.call(throughput, example["chunked"], expect=7 / 6, given='throughput(example["chunked"])')
    check.call(throughput, Trace(hand_made.requests, ()), expect=0.0, given="throughput of a trace without iterations")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("05_decoder_idle_time", "throughput", globals())
### END HIDDEN TESTS

# %% [markdown]
# Your four functions on the running example:

# %%
print(f"{'':10} {'idle of 2':>10} {'longest TBT of 2':>17} {'TTFT of 1':>10} {'tokens/s':>9}")
for name, trace in example.items():
    print(f"{name:10} {decoder_idle_time(trace, '2'):>8} s {max(tbt(trace, '2')):>15} s {ttft(trace, '1'):>8} s "
          f"{throughput(trace):>9.2f}")

# %% [markdown]
# No idle time for sequence 2 any more, a later first token for sequence 1, and *lower* throughput, since here an
# iteration costs a second whatever is in it and the chunked run needs one more. So where should a gain in throughput
# come from? The one-second clock cannot tell. We have to measure.

# %% [markdown]
# ## 6. Measure: eight decode steps, alone and added to a chunk
#
# Eight sequences with 512 tokens in their caches take one decode step each; another one computes a chunk of 256
# tokens. Three batches: the eight steps alone, the chunk alone, both in one iteration. How to measure so that the
# figures mean something:
#
# - **Warm up**: the first passes on a device are slower, and do not count.
# - **Synchronise**: a GPU works on after the call has returned. `tolist()` waits for it.
# - **Interleave and repeat**: a noisy moment then hits all three. Report the **median** and the **spread**: here the
#   middle half of the readings.

# %% tags=["given"]
def middle_half(values: list[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile."""
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def time_batches(model, batches: dict[str, list[SequenceChunk]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each of `repeats` forward passes over each batch, each from the same caches."""
    seconds = {name: [] for name in batches}
    for repeat in tqdm(range(repeats + 3), desc="measuring"):
        for name, batch in batches.items():
            computed = [chunk.cache.num_computed_tokens for chunk in batch]
            start = time.perf_counter()
            model(batch).argmax(dim=-1).tolist()  # tolist() waits for the device
            if repeat >= 3:  # the first three are warm-up
                seconds[name].append(time.perf_counter() - start)
            for chunk, num_tokens in zip(batch, computed):
                chunk.cache.num_computed_tokens = num_tokens
    return seconds

# %%
timing_model = profile.new_model()
generator = torch.Generator().manual_seed(0)


def random_tokens(num_tokens: int) -> list[int]:
    """Tokens for the timing model, whose weights are random too."""
    return torch.randint(profile.config.vocab_size, (num_tokens,), generator=generator).tolist()


def cache_of(num_tokens: int):
    """A cache that holds `num_tokens` computed tokens, with room for 256 more."""
    cache = timing_model.new_cache(num_tokens + 256)
    timing_model([SequenceChunk(random_tokens(num_tokens), cache)])
    return cache


eight_steps = [SequenceChunk(random_tokens(1), cache_of(512)) for _ in range(8)]
one_chunk = [SequenceChunk(random_tokens(256), cache_of(512))]
seconds = time_batches(timing_model, {"8 decode steps": eight_steps, "chunk of 256": one_chunk,
                                      "both together": one_chunk + eight_steps}, repeats=20)
print(f"{'one iteration of':16} {'median':>9}   middle half")
for name, readings in seconds.items():
    low, median, high = (1000 * value for value in middle_half(readings))
    print(f"{name:16} {median:>6.2f} ms   {low:.2f} to {high:.2f} ms")
seconds_of_eight_steps = statistics.median(seconds["8 decode steps"])
differences = [both - chunk for both, chunk in zip(seconds["both together"], seconds["chunk of 256"])]
low, added, high = middle_half(differences)
percent = 100 / seconds_of_eight_steps
print(f"\nAdded to the chunk, the eight steps cost {1000 * added:.2f} ms (median of the {len(differences)} pairwise "
      f"differences; middle half {1000 * low:.2f} to {1000 * high:.2f} ms).\nThat is {added * percent:.0f}% of what they "
      f"cost alone (middle half {low * percent:.0f} to {high * percent:.0f}%). Your guess was {guess_added_percent}.")

# %% [markdown]
# A figure below 0, or near or above 100, means noise: it was larger than the cost. So does a wide middle half. Run the
# cell again.
#
# Why cheaper? To compute even a single token, an iteration must read **all weights of the model once**. Eight decode
# steps alone read them for eight tokens. In the hybrid batch one reading serves 264 tokens, and the other fixed costs
# of an iteration are paid once too. What the steps still cost is their own arithmetic and reading their own caches.
#
# The larger the model and the faster the device computes in proportion to its memory, the nearer this comes to free.
# In a run of Sarathi-Serve's published artifact (Yi-34B on two A100 GPUs), 1,024 prefill tokens took 217.24 ms, four
# decode steps alone 68.1 ms, and 1,021 prefill tokens with three decode steps 217.65 ms (Agrawal et al., OSDI 2024).
# There the decode steps rode along for nothing.
#
# So this is how less idling becomes **throughput**: in the time in which the standard schedule computes P₁ and
# nothing else, the hybrid batches compute P₁ *and* decode steps, which then need no iterations of their own.

# %% [markdown]
# ## 7. Measure: four policies on this device
#
# The workload: three chats are generating when a long document arrives. The policies:
#
# | policy | an iteration holds |
# |---|---|
# | request-level | a batch of requests that starts together and takes in nobody until it is done |
# | prefill-first | one whole prompt alone; decode steps when no prompt waits. This is *standard* |
# | Orca-style | all decode steps and all waiting prompts, whole, however long: one huge hybrid batch |
# | stall-free | all decode steps, and prefill chunks in what is left of the token budget. This is *chunked* |
#
# The first, second and fourth you know from notebook 04. Orca (Yu et al., OSDI 2022) introduced iteration-level
# scheduling; it has hybrid batches, but no chunks.

# %% tags=["given"]
# From the last notebook: your scheduler, in our version.
# include: 04_scheduler/StallFreeScheduler

# %% tags=["given"]
# include: 04_scheduler/RequestLevelScheduler


class OrcaStyleScheduler(Scheduler):
    """Hybrid batches without a token budget: whoever is there runs, prompts whole."""

    def schedule(self) -> SchedulerOutput:
        """Every decode step and every waiting prompt, as long as there are seats."""
        while self.waiting and len(self.running) < self.config.max_num_seqs:
            self.admit()
        return SchedulerOutput({request.request_id: request.num_tokens - request.num_computed_tokens
                                for request in self.running})


POLICIES = {"request-level": RequestLevelScheduler, "prefill-first": PrefillFirstScheduler,
            "Orca-style": OrcaStyleScheduler, "stall-free": StallFreeScheduler}
CHATS = ["chat 1", "chat 2", "chat 3"]
guess_longest_gap = None  # yours comes below


def chats_and_a_document(document_tokens: int, arrival_time: float, num_chats: int = 3, vocab_size: int = 1024):
    """Chats of 32 prompt and 40 output tokens from 0 s on; later a document with 4 output tokens."""
    tokens = torch.Generator().manual_seed(5)

    def prompt(length: int) -> list[int]:
        return torch.randint(vocab_size, (length,), generator=tokens).tolist()

    chats = [Request(f"chat {number}", prompt(32), max_tokens=40) for number in range(1, num_chats + 1)]
    return [*chats, Request("document", prompt(document_tokens), max_tokens=4, arrival_time=arrival_time)]

# %% [markdown]
# Before you run it, a second guess, only for yourself (no marks): in which policy is the *longest* gap between two
# tokens of a chat the longest? Give a policy's name, e.g. `"request-level"`.

# %% nbgrader={"grade": false, "grade_id": "guess_longest_gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: guess_longest_gap
guess_longest_gap = None
### BEGIN SOLUTION
guess_longest_gap = "prefill-first"
### END SOLUTION

# %%
checks.predicted("guess_longest_gap", guess_longest_gap)

# %%
DOCUMENT = profile.long_prompt // 2  # tokens; long enough to hurt
BUDGET = DOCUMENT // 8  # max_num_batched_tokens; only the stall-free policy heeds it
ARRIVAL = 6 * seconds_of_eight_steps  # while the chats are generating, on whatever device this is
REPEATS = 3


def serve(policy: str) -> Trace:
    """One run of the workload on this device."""
    scheduler = POLICIES[policy](SchedulerConfig(max_num_batched_tokens=BUDGET))
    requests = chats_and_a_document(DOCUMENT, ARRIVAL, vocab_size=profile.config.vocab_size)
    return run(scheduler, requests, ModelExecutor(timing_model))


serve("stall-free")  # warm-up
measured = {policy: [] for policy in POLICIES}
for _ in tqdm(range(REPEATS), desc="serving"):
    for policy in POLICIES:
        measured[policy].append(serve(policy))
print(f"{REPEATS} runs of each of {len(POLICIES)} policies; budget {BUDGET} tokens, "
      f"document {DOCUMENT} tokens")

# %% [markdown]
# Now your functions on these traces. Idle time, TPOT and TBT are of the chats, TTFT is of the document. P99 by the
# nearest-rank rule: sort the gaps; the first that at least 99% of them do not exceed.

# %% tags=["given"]
def p99(values: list[float]) -> float:
    """The 99th percentile by the nearest-rank rule."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def report(trace: Trace) -> dict[str, float]:
    """The figures of one run of chats and a document, in ms and tokens per second."""
    gaps = [tbt(trace, chat) for chat in CHATS]
    return {
        "idle ms": 1000 * max(decoder_idle_time(trace, chat) for chat in CHATS),
        "TPOT ms": 1000 * statistics.mean(statistics.mean(one) for one in gaps),
        "P99 TBT ms": 1000 * p99(sum(gaps, [])),
        "max TBT ms": 1000 * max(sum(gaps, [])),
        "TTFT ms": 1000 * ttft(trace, "document"),
        "tokens/s": throughput(trace),
    }


def report_table(traces: dict[str, list[Trace]]) -> dict[str, dict[str, list[float]]]:
    """Prints each figure's median over a policy's runs, below it lowest and highest; returns all."""
    figures = {}
    for policy, runs in traces.items():
        reports = [report(trace) for trace in runs]
        figures[policy] = {key: [one[key] for one in reports] for key in reports[0]}
    columns = list(next(iter(figures.values())))
    print(f"{'':13}" + "".join(f"{column:>14}" for column in columns))
    for policy, values in figures.items():
        print(f"{policy:13}" + "".join(f"{statistics.median(values[column]):>14.1f}" for column in columns))
        if len(traces[policy]) > 1:
            spread = [f"{min(values[column]):.0f}–{max(values[column]):.0f}" for column in columns]
            print(" " * 13 + "".join(f"{text:>14}" for text in spread))
    return figures

# %%
figures = report_table(measured)
longest_gaps = {policy: values["max TBT ms"] for policy, values in figures.items()}
longest = max(longest_gaps, key=lambda policy: statistics.median(longest_gaps[policy]))
ties = [policy for policy, values in longest_gaps.items() if max(values) >= min(longest_gaps[longest])]
print(f"\nThe longest gap is in the runs of {' and '.join(ties)}"
      + (": their ranges overlap, so this is a tie." if len(ties) > 1 else "."))
if guess_longest_gap is not None:
    print(f"Your guess was {guess_longest_gap}.")

# %% [markdown]
# Each second line is the lowest and highest of three runs. Where two ranges overlap, there is no difference to explain;
# the simulated clock in section 9 has no noise. With that in mind, read the table column by column.
#
# - **Idle**: prefill-first leaves the chats idle for about as long as the document's prefill. The three others leave
#   them no idle time at all. Idle time alone calls all three perfect. (Idle is a sum over all waits of the chat that
#   waited most, so it can exceed the longest gap: chat 1 also waits for the other chats' prompts.)
# - **Max TBT**: Orca-style is about as bad as prefill-first: the decode steps are in the same iteration as the whole
#   document, and come out when it ends. The waiting has not gone; it has moved from the idle time into the TBT. Only
#   the chunks make the iterations short. P99 equals max here: of 117 gaps it is the 116th, and a stall hits all three
#   chats.
# - **TTFT**: request-level leaves the chats alone, by letting the document wait until they are done.
# - **TPOT**: each chat's mean over 39 gaps, and of these the mean over chats. One gap as long as a prefill is spread
#   over 38 short ones, so prefill-first comes out close to stall-free: in many runs the ranges overlap. Compare how far
#   apart the two are in max TBT. **The mean hides a stall; P99 and max do not.**
# - **Tokens/s**: on a CPU the ranges of prefill-first and stall-free usually overlap. Decode steps that ride along cost
#   less, but the document now takes several iterations instead of one, and each has a fixed price. On a large GPU the
#   first effect is larger (section 9). There is another gain that this column does not show: a server must keep its
#   gaps short, so it may only take in as much load as its *longest* gaps allow. Measured that way, as the load that can
#   be served within a P99 TBT target, Sarathi-Serve reports 2.6 times the capacity of the vLLM of its time for
#   Mistral-7B on one A100.
#
# So report at least two numbers: idle time, which says *why* a user waits, and P99 or max TBT, which says *how long*.
# Sarathi-Serve's own ablation agrees (Yi-34B, OSDI 2024): hybrid batches alone gave a P99 TBT of 0.68 s, chunks
# alone 0.17 s, both together 0.14 s.

# %% [markdown]
# ### Multiple choice
#
# A server moves from prefill-first to Orca-style hybrid batches, without a token budget. Decoder idle time falls to
# zero. What do users notice who are reading along while long prompts arrive? (1 mark)
#
# - **A** The stalls are gone: where nothing is idle, nothing waits.
# - **B** The stalls stay about as long: the token that shares an iteration with a long prompt comes when that
#   iteration ends.
# - **C** The stalls become much longer: decode steps in a hybrid batch are computed twice.
# - **D** Nothing changes but the first token of each long prompt, which comes later.

# %% nbgrader={"grade": false, "grade_id": "zero_idle", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: zero_idle
zero_idle = None
### BEGIN SOLUTION
zero_idle = "B"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "zero_idle_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: zero_idle
checks.choice("zero_idle", zero_idle, "@sealed zero_idle")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("05_decoder_idle_time", "zero_idle", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 8. See it: before and after, and every gap
#
# The middle one of your runs by its makespan, with the idle time that you computed at the end of each row; then the
# gaps between tokens of all chats under all policies. Read the second picture from right to left: how far does each
# curve reach?

# %%
def typical(runs: list[Trace]) -> Trace:
    """The run with the median makespan."""
    return sorted(runs, key=lambda trace: trace.iterations[-1].end)[len(runs) // 2]


before_and_after = {"prefill-first (standard)": typical(measured["prefill-first"]),
                    "stall-free (chunked)": typical(measured["stall-free"])}
idle_times = {name: {chat: decoder_idle_time(trace, chat) for chat in CHATS}
              for name, trace in before_and_after.items()}
timeline(before_and_after, x="ms", idle_times=idle_times, names={name: name for name in [*CHATS, "document"]},
         title=f"Before and after, on this device ({profile.name})")

# %%
gap_distribution({policy: [gap for trace in runs for chat in CHATS for gap in tbt(trace, chat)]
                  for policy, runs in measured.items()}, title="Gaps between the chats' tokens")

# %% [markdown]
# ## 9. A clock of your own, and a run in which chunking does not help
#
# Timing is slow and noisy. So we describe this device by a formula: seconds of an iteration = base + per token + per
# key that chunks look at + per cached token of decode steps. `fit` finds the four coefficients that suit the measured
# iterations best (least squares). Then the simulated executor replays the same workload. Compare the two rows of each
# policy: this is how far you may believe the clock.

# %%
fitted = fit([trace for runs in measured.values() for trace in runs], source=f"fitted to {profile.name}")
print(f"an iteration costs {1000 * fitted.base:.2f} ms, and {1e6 * fitted.per_token:.1f} µs for each token,\n"
      f"{1e9 * fitted.per_attention:.1f} ns for each key a chunk's token looks at, "
      f"{1e9 * fitted.per_context:.0f} ns for each cached token of a decode step\n")
for policy, scheduler in POLICIES.items():
    requests = chats_and_a_document(DOCUMENT, ARRIVAL)
    config = SchedulerConfig(max_num_batched_tokens=BUDGET)
    simulated = run(scheduler(config), requests, SimulatedExecutor(fitted))
    lengths = {"measured": [max(step.end - step.start for step in one.iterations) for one in measured[policy]],
               "simulated": [max(step.end - step.start for step in simulated.iterations)]}
    makespans = {"measured": [one.iterations[-1].end for one in measured[policy]],
                 "simulated": [simulated.iterations[-1].end]}
    for kind in lengths:
        print(f"{policy:13} {kind:9}  longest iteration {1000 * statistics.median(lengths[kind]):>7.1f} ms   "
              f"makespan {1000 * statistics.median(makespans[kind]):>7.1f} ms")

# %% [markdown]
# With a simulated clock you can try a hundred settings in a second, and everybody gets the same figures. `experiment`
# runs three of the policies side by side on one of two preset clocks:
#
# - `CPU_DEFAULT`: our toy transformer on one thread of a CPU. Every iteration pays a fixed price, then for its work.
# - `YI_34B`: a model of 34 billion parameters on two A100 GPUs, fitted to the 33 measurements that Sarathi-Serve's
#   artifact publishes (OSDI 2024; `course_lib.presets` lists them). Such a device reads all weights *while* it computes,
#   and the longer of the two counts: up to about 185 tokens an iteration takes hardly longer than with one.

# %% tags=["given"]
def simulate(clock, policy: str, document_tokens: int, budget: int, num_chats: int, arrival_time: float = 0.1) -> Trace:
    """One policy on some chats (40 tokens each) and one document, on a simulated clock."""
    scheduler = POLICIES[policy](SchedulerConfig(max_num_batched_tokens=budget))
    return run(scheduler, chats_and_a_document(document_tokens, arrival_time, num_chats), SimulatedExecutor(clock))


def experiment(clock, document_tokens: int, budget: int, num_chats: int) -> None:
    """Prints what three policies do with some chats and one document; times in ms, `done` is the makespan."""
    print(f"document of {document_tokens} tokens, budget {budget}, {num_chats} chat{'s' * (num_chats != 1)}\n"
          f"{'':15}{'idle':>9}{'max TBT':>9}{'TTFT':>9}{'done':>9}{'tokens/s':>10}")
    for policy in ("prefill-first", "Orca-style", "stall-free"):
        trace = simulate(clock, policy, document_tokens, budget, num_chats)
        chats = [request.request_id for request in trace.requests if request.request_id != "document"]
        idle = max([decoder_idle_time(trace, chat) for chat in chats], default=0.0)
        longest_gap = max([gap for chat in chats for gap in tbt(trace, chat)], default=0.0)
        times = [idle, longest_gap, ttft(trace, "document"), trace.iterations[-1].end]
        print(f"  {policy:13}" + "".join(f"{1000 * seconds:>9.1f}" for seconds in times) + f"{throughput(trace):>10.1f}")


# %%
print("CPU:", end=" ")
experiment(CPU_DEFAULT, document_tokens=2048, budget=256, num_chats=3)
print("\nYi-34B on two A100 GPUs, simulated:", end=" ")
experiment(YI_34B, document_tokens=2048, budget=512, num_chats=3)
decodes = YI_34B([(40, 1)] * 3)
print(f"\nOn the second clock, three decode steps take {1000 * decodes:.1f} ms alone. In the iteration of the document's "
      f"first chunk\nthey add {1000 * (YI_34B([(0, 509)] + [(40, 1)] * 3) - YI_34B([(0, 509)])):.1f} ms.")

# %% [markdown]
# On both clocks stall-free has no stall. It raises throughput on the second one only: there it is done 239 ms sooner
# than prefill-first, for two reasons that the three rows tell apart:
#
# - **Hybrid batches.** Orca-style has them too, and gains 144 ms. 96 of these have nothing to do with the document: the
#   three chats' prompts share one iteration, where prefill-first runs three. (Try `num_chats=1`: then prefill-first and
#   stall-free differ by 142 ms, the part that is about the document.) The rest is the one decode step of each chat that
#   rides along with it.
# - **Chunks.** They bring the other 95 ms. The document's five iterations together take 112 ms longer than Orca-style's
#   one; but five decode steps of each chat ride along instead of one, and each of the four iterations that this saves
#   would have taken 52 ms.
#
# On the first clock each chunk pays the fixed price again and reads earlier keys again, which eats up what the shared
# iterations save.
#
# **Your turn: change the numbers and find a run in which chunking does not help**: no better for the chats, or worse
# for the document, or fewer tokens per second. (Try a small budget, or no chats.) You will need it for the written
# answer.

# %%
experiment(CPU_DEFAULT, document_tokens=2048, budget=256, num_chats=1)

# %% [markdown]
# ## 10. The same on a large GPU, simulated
#
# Nothing in the next picture was measured in this notebook. It is the workload of section 9 on the clock `YI_34B`,
# fitted to what Sarathi-Serve's artifact published for two A100 GPUs: the same functions of yours, another device.
# In the upper half, look for the stall of all three chats; in the lower half, for the five hybrid iterations, longer
# than a decode iteration and far shorter than the stall.

# %%
print(YI_34B.source)
large = {f"{policy} ({name})": simulate(YI_34B, policy, document_tokens=2048, budget=512, num_chats=3)
         for policy, name in [("prefill-first", "standard"), ("stall-free", "chunked")]}
timeline(large, x="ms", idle_times={name: {chat: decoder_idle_time(trace, chat) for chat in CHATS}
                                    for name, trace in large.items()},
         names={name: name for name in [*CHATS, "document"]}, title="Simulated: Yi-34B on two A100 GPUs")

# %% [markdown]
# ## Reflect
#
# A colleague writes: "With chunked prefill our decoder idle time has fallen to zero. So throughput has gone up, and all
# our users are better off." In six to ten sentences, with numbers from your own runs (figures from `experiment` count):
# (1) how does less idling become throughput? (2) how does it become latency, and for whom? (3) describe a run in which
# chunking did not help: the setting, the figures, the reason; (4) which numbers should the colleague report, and why?
# (4 marks, read by a person.)

# %% [markdown] nbgrader={"grade": true, "grade_id": "less_idling", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# <!-- answer: less_idling -->
# <!-- BEGIN SOLUTION -->
# **Sample answer.** Reading the weights and the other fixed costs are paid once an iteration. While a prompt runs alone,
# none of that serves the sequences that could decode. In a hybrid batch their steps share it: here eight steps cost
# 39% of their price when added to a chunk, and on the simulated Yi-34B clock stall-free raised throughput from 48.5 to
# 53.5 tokens/s (some of it since the chats' prompts share an iteration; Orca-style gains that too: 51.4). For users who
# are reading along, the longest gap fell from 542 to 118 ms on that clock, since their next token no longer waits for
# the whole prompt; so less idling becomes lower tail TBT. The document's user does not gain: its TTFT rose from 437 to
# 560 ms. Zero idle time proves none of this: Orca-style batches have none either, and their longest gap was 397 ms,
# since the waiting moved into the iteration. A run in which chunking did not help: `experiment(CPU_DEFAULT, 2048,
# budget=32, num_chats=3)`. The gaps fell to 9 ms, far below what anyone can read, but TTFT rose from 352 to 658 ms and
# throughput fell from 220.6 to 160.0 tokens/s: about 70 small iterations each pay the fixed price of 4.45 ms and read
# earlier keys again. Without chats there is nobody to protect at all: TTFT 350 against 400 ms. The colleague should
# report idle time (the cause) with P99 or max TBT (what is felt; the mean hides a stall), and beside them TTFT and
# throughput, as median and spread over several runs.
#
# **Rubric.** 1 point: throughput by sharing (weights or fixed costs once for both; decode steps that ride along need no
# iteration of their own), with a figure. 1 point: latency, for whom (shorter longest gap for those who decode; the
# long prompt's own TTFT does not gain). 1 point: a run of their own in which chunking did not help, with setting,
# figures and a fitting reason (tiny chunks, nobody decoding, prompts shorter than a chunk, …). 1 point: idle time
# together with tail TBT, and why idle alone or a mean misleads.
# <!-- END SOLUTION -->

# %% [markdown]
# ## What you have shown
#
# - TTFT, TBT, decoder idle time and throughput can all be read from one event log: when did each token come out, and
#   when did its iteration begin?
# - Decode steps added to a chunk cost less than alone, since the weights are read once for both. That is where less
#   idling becomes throughput.
# - Zero idle time is not the goal. A huge hybrid batch has none, and the worst gaps; mean TPOT hides a stall that P99
#   and max TBT show. Report idle time and tail TBT together, and the TTFT of whoever pays.
#
# How large should a chunk be, then? That is notebook 06.
