# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # 04 A scheduler with a token budget
#
# *What runs in the next iteration, decided anew each time.*
#
# | | |
# |---|---|
# | **You will be able to** | write an iteration-level scheduler that mixes prefill chunks and decode steps under a token budget, and say why no decode ever waits in it |
# | **Time** | 80 minutes |
# | **Difficulty** | three stars of four |
# | **You need** | notebook 02: chunks and when a token is sampled; notebook 03: what a hybrid iteration is |
# | **GPU** | not used: the clock is simulated, and the model that recites runs on the CPU |
# | **Marks** | 12 automatic, 4 for a written answer |
#
# *Prefill* reads a prompt into the KV cache, a *decode* step makes one new token, an *iteration* is one forward pass
# over a batch. Two sequences share one server. Sequence 1 arrives with a long prompt. Sequence 2 is already generating.
# In notebook 03 you wrote down by hand what runs when. A server cannot do that: it does not know who arrives next.
# It needs a **scheduler**, a rule that looks at the requests before every iteration and plans only that one.
#
# The claim to prove: **a few lines with one number, the token budget, keep every generating request generating
# while long prompts come in, and change none of the tokens.**
#
# Notation: P₁₂ is the second chunk of sequence 1's prompt, D₂₁ the first decode step of sequence 2. Request `"1"` in the
# code is sequence 1.

# %% tags=["setup"]
# include: bootstrap

# %% tags=["setup"]
import inspect
from itertools import pairwise
from statistics import median

from course_lib import checks
from course_lib.cost_model import CPU_DEFAULT
from course_lib.device import choose_device
from course_lib.documents import DOCUMENTS, decode, prompt_for
from course_lib.engine import ModelExecutor, SimulatedExecutor, run
from course_lib.plots import timeline
from course_lib.recite import reciting_model
from course_lib.request import Request
from course_lib.scheduler import PrefillFirstScheduler, Scheduler, SchedulerConfig, SchedulerOutput
from course_lib.text_bar import tqdm
from course_lib.workload import conversation_workload, mixed_workload, running_example

profile = choose_device()  # on a CPU it also keeps torch to one thread

# %% [markdown]
# ## Predict first
#
# At the end of this notebook, three chats are generating text when a document of about 1,000 tokens arrives.
# Under *prefill-first* scheduling its prompt runs as one iteration. Under your scheduler an iteration computes at most
# 128 tokens. Look at the longest time that a chat waits for its next token.
# **How many times longer is it under prefill-first than under your scheduler?** Guess a number.
# It counts for being there (1 mark), not for being right; you will see it beside the result.

# %% nbgrader={"grade": false, "grade_id": "guess_gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: guess_gap
guess_gap = None
### BEGIN SOLUTION
guess_gap = 8
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "guess_gap_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: guess_gap
checks.predicted("guess_gap", guess_gap)
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("04_scheduler", "guess_gap", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 1. Worked example: two schedulers to read
#
# The engine's `run(scheduler, requests, executor)` repeats three calls until every request is finished:
#
#     output = scheduler.schedule()                    # the plan: request id -> number of tokens
#     execution = executor.execute(output, requests)   # the model computes them
#     scheduler.update_from_output(output, execution.sampled)   # counts them, keeps new tokens
#
# A policy is a class with a `schedule` of its own. The rest it inherits from `Scheduler`:
#
# | you have | what it is |
# |---|---|
# | `self.waiting` | queue of requests not admitted yet, first come first |
# | `self.running` | list of admitted requests, in admission order; finished ones are taken out for you |
# | `self.admit()` | moves the head of `waiting` to the end of `running`, and returns it |
# | `self.config` | the limits: `max_num_batched_tokens`, most tokens in an iteration (the *token budget*); `max_num_seqs`, most requests that run at once (*seats*); `long_prefill_token_threshold`, a cap on one request's tokens in an iteration |
# | `request.num_tokens` | how many tokens the request has: prompt and output so far |
# | `request.num_computed_tokens` | for how many of them the cache holds keys and values |
#
# `schedule` only plans. `num_computed_tokens` is counted by `update_from_output` alone, after the work is done.
#
# **Request-level** scheduling is the oldest policy: take a batch of requests, run it until all of them are finished,
# then take the next batch. (In Orca's account of such servers a finished request even keeps its place until the whole
# batch is done. Here it leaves, but nobody takes its place.)


# %% tags=["given"]
class RequestLevelScheduler(Scheduler):
    """A new batch only when the last one is done. Each prompt is computed as a whole."""

    def schedule(self) -> SchedulerOutput:
        if not self.running:
            while self.waiting and len(self.running) < self.config.max_num_seqs:
                self.admit()
        return SchedulerOutput({request.request_id: request.num_tokens - request.num_computed_tokens
                                for request in self.running})


# %% [markdown]
# Orca (Yu et al., OSDI 2022) chose the batch anew before every iteration, so that a new request can join at once and
# a finished one makes room: **iteration-level** scheduling. The paper reports 36.9 times the throughput of
# FasterTransformer (a library that schedules request by request) at the same latency, for a model of GPT-3's size.
# The course library holds a policy of this kind, as vLLM used it before chunked prefill: **prefill-first**. Read it.

# %%
print(inspect.getsource(PrefillFirstScheduler.schedule))

# %% [markdown]
# Here are both on the running example. Sequence 2 arrives at 0 s; sequence 1, with its prompt of 24 tokens, at 1 s.
# Every iteration takes one second, so that you can count.


# %% tags=["given"]
class OneSecond:
    """A clock for counting: one second an iteration. It gives up on a scheduler that never comes to an end."""

    def __init__(self, most: int = 500) -> None:
        self.most = self.left = most

    def __call__(self, spans: list[tuple[int, int]]) -> float:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError(f"{self.most} iterations have run and there are still unfinished requests: does every "
                               "request that you admit leave `waiting`?")
        return 1.0


def arriving_mid_run() -> list[Request]:
    """The running example on one clock: sequence 2 comes at 0 s, sequence 1 with its long prompt at 1 s."""
    requests = running_example()
    requests[0].arrival_time = 1.0
    return requests


def plans_of(trace) -> list[dict[str, int]]:
    """The plan of each iteration: request id -> number of tokens."""
    return [{work.request_id: work.num_tokens for work in iteration.work} for iteration in trace.iterations]


NUMBERS = {"1": 1, "2": 2}  # sequence 1 is request "1", though request "2" arrives first

# %%
config = SchedulerConfig(max_num_batched_tokens=9, max_num_seqs=4)
traces = {name: run(policy(config), arriving_mid_run(), SimulatedExecutor(OneSecond()))
          for name, policy in [("request-level", RequestLevelScheduler), ("prefill-first", PrefillFirstScheduler)]}
for name, trace in traces.items():
    print(f"{name}: {plans_of(trace)}")
timeline(traces, numbers=NUMBERS, title="Two policies on the running example")

# %% [markdown]
# Two things to notice:
# 1. *Request-level:* sequence 2 is never disturbed, but sequence 1 is not even looked at until sequence 2 is done. On a
#    server with long answers that is a long time.
# 2. *Prefill-first:* sequence 1 starts at once, and now sequence 2 waits: a generation stall. In one-second iterations
#    it costs one box. But P₁ computes 24 tokens and D₂₁ only one, so in real time that box is the widest of all.
#
# Neither looks at the budget, `max_num_batched_tokens`.

# %% [markdown]
# ## 2. One rule for chunks and decodes
#
# vLLM's scheduler knows no prefill phase and no decode phase. It knows for each request the work left,
# `num_tokens - num_computed_tokens`, and hands out tokens until the budget of the iteration is spent:
#
# 1. **Running requests first**, in admission order. Each gets its work left, but not more than
#    `long_prefill_token_threshold` (a cap on one request's tokens in an iteration; 0: no cap), and not more than what
#    is left of the budget.
# 2. **Then new requests**, from the head of `waiting`, while there is budget and a seat (`max_num_seqs`).
#    Each gets its share by the same formula.
#
# A request that decodes has one token left: the newest, whose keys and values are not in the cache yet. So a decode step
# costs one token of the budget. Here are the rules by hand, on the running example with a budget of 9
# (`max_num_batched_tokens=9`) and no threshold:
#
# | iteration | running (work left) | waiting (work left) | plan | budget left |
# |---|---|---|---|---|
# | 0 | | 2 (8) | 2: 8 tokens, P₂ | 1 |
# | 1 | 2 (1) | 1 (24) | 2: 1 token, D₂₁; then 1: 8 tokens, P₁₁ | 0 |
# | 2 | 2 (1), 1 (16) | | 2: 1 token, D₂₂; then 1: 8 tokens, P₁₂ | 0 |
# | 3 | 2 (1), 1 (8) | | 2: 1 token, D₂₃; then 1: 8 tokens, P₁₃ | 0 |
# | 4 | 1 (1) | | 1: 1 token, D₁₁ | 8 |
# | 5 | 1 (1) | | 1: 1 token, D₁₂ | 8 |
#
# Nobody has chosen a chunk size: it is what the decodes leave of the budget.
#
# Write the first rule (2 marks). The loop and the work left are given; the share, the plan and the budget are yours.
#
# <details><summary>Hint: a nudge</summary>
#
# Three limits hold at once. Which function gives you the strictest of several numbers? And what does a threshold
# of 0 mean: "no tokens" or "no limit"?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Lower `num_tokens` step by step: by the threshold if there is one, by the budget always. If something is left, write
# it into the plan and take it off the budget, whether it is a chunk or a decode.
# </details>


# %% nbgrader={"grade": false, "grade_id": "plan_running", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: plan_running
def plan_running(running: list[Request], config: SchedulerConfig) -> dict[str, int]:
    """How many tokens each running request computes in the next iteration, request id -> number of tokens.

    A request for which no budget is left is not in the plan. The requests stay as they are.
    """
    budget = config.max_num_batched_tokens
    plan = {}
    for request in running:
        num_tokens = request.num_tokens - request.num_computed_tokens  # the work left
        ### BEGIN SOLUTION
        if config.long_prefill_token_threshold > 0:
            num_tokens = min(num_tokens, config.long_prefill_token_threshold)
        num_tokens = min(num_tokens, budget)
        if num_tokens > 0:
            plan[request.request_id] = num_tokens
        budget -= num_tokens
        ### END SOLUTION
    return plan


# %% nbgrader={"grade": true, "grade_id": "plan_running_check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# check: plan_running
def in_progress(request_id: str, num_prompt_tokens: int, num_computed_tokens: int, num_output_tokens: int = 0) -> Request:
    """A request as it stands in the middle of a run."""
    request = Request(request_id, [0] * num_prompt_tokens, max_tokens=20)
    request.num_computed_tokens, request.output_token_ids = num_computed_tokens, [0] * num_output_tokens
    return request


with checks.exercise("plan_running") as check:
    decoding, prefilling = in_progress("2", 8, 8, num_output_tokens=1), in_progress("1", 24, 8)
    check.equal(plan_running([decoding, prefilling], SchedulerConfig(9, 4)), {"2": 1, "1": 8},
                given="plan_running(request 2 with 1 token left, request 1 with 16 left; budget 9)", wrong=[
        ({"2": 1, "1": 9}, "What request 2 takes is gone for request 1, though it is only a decode: 10 tokens are planned."),
        ({"2": 1, "1": 16}, "Nobody looks at the budget: 17 tokens are planned."),
        ({"1": 9}, "Request 2 gets nothing. Its output counts as well: the work left is num_tokens - num_computed_tokens."),
        ({"2": 0, "1": 0}, "A threshold of 0 means no limit, not no tokens."),
        ({}, "The plan is empty: is `plan[request.request_id]` written? And a threshold of 0 means no limit."),
        ({"2": 1}, "Request 1 gets nothing though 8 tokens of budget are left: cut its work, and go through all requests."),
    ])
    check.true(prefilling.num_computed_tokens == 8, "plan_running changes num_computed_tokens: it should only plan.")
    one, other = in_progress("a", 40, 10), in_progress("b", 30, 5)
    check.equal(plan_running([one, other], SchedulerConfig(32, 4)), {"a": 30, "b": 2},
                given="plan_running(request a with 30 tokens left, request b with 25 left; budget 32)", wrong=[
        ({"a": 30, "b": 25}, "A request costs as many tokens as it computes; what one takes is gone for the next."),
    ])
    check.equal(plan_running([one, other], SchedulerConfig(32, 4, long_prefill_token_threshold=12)), {"a": 12, "b": 12},
                given="plan_running(request a with 30 tokens left, request b with 25 left; budget 32, threshold 12)",
                wrong=[({"a": 30, "b": 2}, "long_prefill_token_threshold is ignored."),
                       ({"a": 12}, "The threshold limits each request, not all of them together.")])
    check.equal(plan_running([one, other], SchedulerConfig(16, 4, long_prefill_token_threshold=12)), {"a": 12, "b": 4},
                given="plan_running(request a with 30 tokens left, request b with 25 left; budget 16, threshold 12)",
                wrong=[({"a": 12, "b": 12},
                        "The budget counts beside the threshold too: 24 tokens are planned under a budget of 16.")])
    check.equal(plan_running([decoding, one, other], SchedulerConfig(40, 4)), {"2": 1, "a": 30, "b": 9},
                given="plan_running(request 2 with 1 token left, a with 30, b with 25; budget 40)", wrong=[
        ({"2": 1, "a": 30, "b": 10}, "Only what the request just before takes is taken off: keep lowering the budget."),
        ({"2": 1, "a": 30}, "Request b gets nothing though 9 tokens of budget are left: cut its work."),
    ])
    check.equal(plan_running([one, other], SchedulerConfig(30, 4)), {"a": 30},
                given="plan_running(request a with 30 tokens left, request b with 25 left; budget 30)", wrong=[
        ({"a": 30, "b": 0}, "A plan of 0 tokens is not work: leave the request out (the engine would refuse it)."),
    ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("04_scheduler", "plan_running", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 3. The whole scheduler
#
# Now both rules in one `schedule` (5 marks). The policy has a name: **stall-free** batching, from Sarathi-Serve (Agrawal
# et al., OSDI 2024), because no decode stalls while prompts come in. For the running requests, use `plan_running` or
# write its lines again. Then admit from the head of `waiting`. **Stop when there is no budget or no seat left for the
# head; never take one from behind it instead**, or a stream of short prompts could keep a long one waiting for ever.
# A head that is longer than what is left is cut, not refused.
#
# `schedule` returns `SchedulerOutput(plan)`, with an empty plan when there are no requests. Memory is ample: nothing
# limits how many tokens the caches hold. Notebook 07 takes that away. Three kinds of mistakes the engine tells you by a
# `PlanError`: a request planned but not moved to `running`, more tokens than the request has left, a plan of nothing
# although work is left. If a cell never ends, stop it (the square button): your loop waits for something that no turn
# changes.
#
# <details><summary>Hint: a nudge</summary>
#
# Which three conditions must all hold for admitting one more request? After the admission, which of them have changed?
# </details>
# <details><summary>Hint: the idea</summary>
#
# What is left of the budget after the first rule? A `while` loop over the three conditions admits one request a turn,
# computes its share, writes the plan and lowers the budget. `self.admit()` moves the request between the queues.
# </details>


# %% nbgrader={"grade": false, "grade_id": "StallFreeScheduler", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: StallFreeScheduler
class StallFreeScheduler(Scheduler):
    """Hybrid batches under a token budget: running requests first, then new ones from the head of the queue.

    The policy of Sarathi-Serve (Agrawal et al., 2024), by the rules of vLLM V1, with ample KV cache memory.
    """

    def schedule(self) -> SchedulerOutput:
        """The next iteration's plan; admits requests from `waiting` to `running`."""
        ### BEGIN SOLUTION
        config = self.config
        budget = config.max_num_batched_tokens
        threshold = config.long_prefill_token_threshold or budget
        plan: dict[str, int] = {}
        for request in self.running:
            num_tokens = min(request.num_tokens - request.num_computed_tokens, threshold, budget)
            plan[request.request_id] = num_tokens  # never 0: what a running request asks for only shrinks
            budget -= num_tokens
        while self.waiting and budget > 0 and len(self.running) < config.max_num_seqs:
            request = self.admit()
            num_tokens = min(request.num_tokens - request.num_computed_tokens, threshold, budget)
            plan[request.request_id] = num_tokens
            budget -= num_tokens
        return SchedulerOutput(plan)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "StallFreeScheduler_check", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
# check: StallFreeScheduler
def plans_for(requests: list[Request], **limits: int) -> list[dict[str, int]]:
    """The plans that your scheduler makes for some requests."""
    scheduler = StallFreeScheduler(SchedulerConfig(**limits))
    return plans_of(run(scheduler, requests, SimulatedExecutor(OneSecond(60))))


def new(request_id: str, num_prompt_tokens: int, max_tokens: int) -> Request:
    """A request that is there from the start."""
    return Request(request_id, [0] * num_prompt_tokens, max_tokens)


with checks.exercise("StallFreeScheduler") as check:
    scheduler, request = StallFreeScheduler(SchedulerConfig(9, 4)), new("a", 4, 1)
    output = scheduler.schedule()
    check.true(isinstance(output, SchedulerOutput), f"schedule() must return SchedulerOutput(plan), got {output!r}")
    check.equal(output.num_scheduled_tokens, {}, given="the plan when there are no requests")
    scheduler.add_request(request)
    output = scheduler.schedule()
    check.true(request in scheduler.running and request not in scheduler.waiting,
               "a is planned, so it must be in `running` and no longer in `waiting`: self.admit() does both.")
    check.equal(output.num_scheduled_tokens, {"a": 4}, given="the plan for a: prompt 4; budget 9", wrong=[
        ({"a": 9}, "The last chunk is rounded up past the end of the prompt."),
        ({"a": 0}, "A threshold of 0 means no limit, not no tokens."),
    ])
    check.true(request.num_computed_tokens == 0,
               "schedule() changes num_computed_tokens: it should only plan, update_from_output counts.")
    check.equal(plans_for([new("a", 6, 1), new("b", 5, 1), new("c", 2, 1)], max_num_batched_tokens=8, max_num_seqs=4),
                [{"a": 6, "b": 2}, {"b": 3, "c": 2}],
                given="a: prompt 6, b: prompt 5, c: prompt 2; budget 8", wrong=[
        ([{"a": 6, "b": 5, "c": 2}], "What one new request takes is gone for the next: 13 tokens are planned."),
        ([{"a": 6, "b": 5}, {"c": 2}], "What is left of the budget limits b too: 11 tokens are planned."),
        ([{"a": 6, "c": 2}, {"b": 5}], "b is passed over for c. Cut it: what is left of the budget is its first chunk."),
        ([{"c": 2, "b": 5, "a": 1}, {"a": 5}], "c comes first, though a was there before it: take the head of `waiting`."),
        ([{"a": 6}, {"b": 5}, {"c": 2}], "One request is admitted, though there is budget for the next."),
        ([{"a": 6}, {"b": 5, "c": 2}], "b waits until it fits as a whole. Cut it: what is left is its first chunk."),
    ])
    check.equal(plans_for(arriving_mid_run(), max_num_batched_tokens=9, max_num_seqs=4),
                [{"2": 8}, {"2": 1, "1": 8}, {"2": 1, "1": 8}, {"2": 1, "1": 8}, {"1": 1}, {"1": 1}],
                given="the plans for the running example, budget 9", wrong=[
        ([{"2": 8}, {"2": 1, "1": 9}, {"2": 1, "1": 9}, {"2": 1, "1": 6}, {"1": 1}, {"1": 1}],
         "The decode is not counted: it costs one token of the budget, like any other."),
        ([{"2": 8}, {"1": 9}, {"2": 1, "1": 8}, {"2": 1, "1": 7}, {"2": 1, "1": 1}, {"1": 1}],
         "New requests come first and sequence 2 stalls: running requests are served first."),
        ([{"2": 8}, {"2": 1, "1": 24}, {"2": 1, "1": 1}, {"2": 1, "1": 1}],
         "The prompt is not cut: a new request gets at most what is left of the budget."),
        ([{"2": 8}, {"2": 1, "1": 9}, {"2": 1, "1": 8}, {"2": 1, "1": 7}, {"1": 1}, {"1": 1}],
         "Iteration 1 plans 10 tokens: a new request gets at most what the running ones left of the budget."),
        ([{"2": 8}, {"2": 1}, {"2": 1}, {"2": 1}, {"1": 9}, {"1": 9}, {"1": 6}, {"1": 1}, {"1": 1}],
         "Sequence 1 waits until all its work fits. Cut it: what is left of the budget is its first chunk."),
    ])
    check.equal(plans_for([new("a", 20, 1), new("b", 4, 2)], max_num_batched_tokens=16, max_num_seqs=4,
                          long_prefill_token_threshold=8),
                [{"a": 8, "b": 4}, {"a": 8, "b": 1}, {"a": 4}],
                given="a: prompt 20, b: prompt 4; budget 16, long_prefill_token_threshold 8", wrong=[
        ([{"a": 8}, {"a": 8, "b": 4}, {"a": 4, "b": 1}], "One request is admitted, though there is budget for the next."),
        ([{"a": 16}, {"a": 4, "b": 4}, {"b": 1}],
         "long_prefill_token_threshold is ignored; it limits running requests and new ones."),
        ([{"a": 8, "b": 4}, {"a": 12, "b": 1}], "The threshold limits running requests too, not only new ones."),
        ([{"a": 8}, {"a": 8}, {"a": 4, "b": 4}, {"b": 1}], "The threshold limits each request, not all of them together."),
    ])
    check.equal(plans_for([new("a", 20, 1), new("b", 20, 1)], max_num_batched_tokens=16, max_num_seqs=4),
                [{"a": 16}, {"a": 4, "b": 12}, {"b": 8}], given="a and b: prompt 20; budget 16", wrong=[
        ([{"a": 16}, {"a": 4, "b": 15}, {"b": 5}],
         "A running request costs as many tokens as it computes, not one each: 19 tokens are planned."),
    ])
    check.equal(plans_for([new("a", 20, 1), new("b", 20, 1), new("c", 20, 1)], max_num_batched_tokens=16,
                          max_num_seqs=4, long_prefill_token_threshold=12),
                [{"a": 12, "b": 4}, {"a": 8, "b": 8}, {"b": 8, "c": 8}, {"c": 12}],
                given="a, b and c: prompt 20; budget 16, long_prefill_token_threshold 12", wrong=[
        ([{"a": 12, "b": 12}, {"a": 8, "b": 8}, {"c": 12}, {"c": 8}],
         "The budget counts beside the threshold too: 24 tokens are planned under a budget of 16."),
    ])
    check.equal(plans_for([new("a", 1, 3), new("b", 1, 2), new("c", 4, 1)], max_num_batched_tokens=8, max_num_seqs=2),
                [{"a": 1, "b": 1}, {"a": 1, "b": 1}, {"a": 1, "c": 4}],
                given="a and b: prompt 1, c: prompt 4; budget 8, max_num_seqs 2", wrong=[
        ([{"a": 1, "b": 1, "c": 4}, {"a": 1, "b": 1}, {"a": 1}], "max_num_seqs is ignored: three requests run."),
    ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("04_scheduler", "StallFreeScheduler", globals())
### END HIDDEN TESTS

# %% [markdown]
# The running example under all three policies. The third pair of rows is your scheduler's:

# %%
traces = {name: run(policy(config), arriving_mid_run(), SimulatedExecutor(OneSecond()))
          for name, policy in [("request-level", RequestLevelScheduler), ("prefill-first", PrefillFirstScheduler),
                               ("stall-free", StallFreeScheduler)]}
timeline(traces, numbers=NUMBERS, title="The running example under three policies")

# %% [markdown]
# That is the plan which you typed by hand (notebook 03, section 6, `order_hybrid`): D₂₂ runs in the iteration of P₁₂. Nobody wrote it down
# this time.

# %% [markdown]
# ## 4. When do the tokens come out?
#
# A plan says how many tokens a request computes, not which iteration gives one back. `update_from_output` decides that
# by the rule of notebook 02: a token is sampled if and only if `num_computed_tokens` reaches `num_tokens`.
# Write this bookkeeping for one request (3 marks). `plans` holds for each iteration how many tokens the plan gives to
# it, 0 where it is left out. Sequence 1 above has `plans = [0, 8, 8, 8, 1, 1]`, and its three tokens come out in iterations
# 3, 4 and 5.
#
# <details><summary>Hint: a nudge</summary>
#
# Play `update_from_output` with two counters. What happens to `num_tokens` whenever a token comes out?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Add each iteration's tokens to the computed ones. When they have reached the number of tokens there are, one comes out:
# note the index. From then on there is one token more to compute. An iteration that computes nothing gives nothing.
# </details>


# %% nbgrader={"grade": false, "grade_id": "token_iterations", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: token_iterations
def token_iterations(num_prompt_tokens: int, max_tokens: int, plans: list[int]) -> list[int]:
    """The indices of the iterations in which a request's output tokens come out.

    plans: for each iteration, how many tokens its plan gives to this request (0: not in the plan), never more than
    the work left. A request that is not finished at the end of `plans` has fewer tokens than `max_tokens`. Whatever
    `plans` holds after its last token is not the request's any more.
    """
    ### BEGIN SOLUTION
    iterations = []
    num_computed_tokens = 0
    for index, num_scheduled_tokens in enumerate(plans):
        num_computed_tokens += num_scheduled_tokens
        num_tokens = num_prompt_tokens + len(iterations)
        if len(iterations) < max_tokens and num_computed_tokens == num_tokens:
            iterations.append(index)
    return iterations
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "token_iterations_check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# check: token_iterations
with checks.exercise("token_iterations") as check:
    check.call(token_iterations, 24, 3, [0, 8, 8, 8, 1, 1], expect=[3, 4, 5], wrong=[
        ([3], "Only the first token comes out. Each token that comes out is one more to compute: num_tokens grows by one."),
        ([4, 5], "The first token is missing: it comes from the iteration that completes the prompt."),
        ([1, 2, 3, 4, 5], "A chunk amid the prompt gives no token."),
        ([1, 2, 3], "A chunk amid the prompt gives no token."),
        ([4, 5, 6], "A token comes out in the iteration that completes the work, not in the next one."),
        ([2, 3, 4], "Count iterations from the start of the run: those that leave the request out count too."),
    ])
    check.call(token_iterations, 8, 4, [8, 0, 1, 1, 0, 0, 1], expect=[0, 2, 3, 6], wrong=[
        ([2, 3, 6], "The first token is missing: it comes from the iteration that completes the prompt."),
        ([0, 1, 2, 3], "An iteration that leaves the request out gives no token."),
    ])
    check.call(token_iterations, 3, 2, [1, 1, 1, 1], expect=[2, 3], wrong=[
        ([0, 1], "A chunk of one token amid the prompt is still a chunk: it gives no token."),
        ([0, 1, 2, 3], "A chunk of one token amid the prompt is still a chunk: it gives no token."),
    ])
    check.call(token_iterations, 5, 1, [5], expect=[0])
    check.call(token_iterations, 6, 2, [2, 2], expect=[])
    check.call(token_iterations, 3, 2, [3, 1, 1, 1], expect=[0, 1], wrong=[
        ([0, 1, 2, 3], "After max_tokens tokens the request is finished: no more come out."),
        ([0, 1, 2], "After max_tokens tokens the request is finished: no more come out."),
    ])
    check.call(token_iterations, 6, 3, [2, 4, 1], expect=[1, 2], wrong=[
        ([], "The request is not finished, but it has given two tokens by then."),
    ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("04_scheduler", "token_iterations", globals())
### END HIDDEN TESTS

# %% [markdown]
# ### No decode ever waits. Why?
#
# Your rules do not mention decodes. Still, here is what they do on 100 random workloads. A request that never
# waits has its tokens in consecutive iterations, which `token_iterations` can tell.


# %%
def tokens_after_a_wait(trace) -> tuple[int, int]:
    """How many tokens did not come out in the iteration right after the one of the token before, and of how many?"""
    late = total = 0
    for request in trace.requests:
        plans = [plan.get(request.request_id, 0) for plan in plans_of(trace)]
        iterations = token_iterations(request.num_prompt_tokens, request.max_tokens, plans)
        late += sum(later > earlier + 1 for earlier, later in pairwise(iterations))
        total += len(iterations) - 1  # the first token has none before it
    return late, total


counts = {"prefill-first": [], "stall-free": []}
for seed in tqdm(range(100), desc="workloads"):
    limits = SchedulerConfig(max_num_batched_tokens=16 + seed % 17, max_num_seqs=4 + seed % 5,
                             long_prefill_token_threshold=seed % 3 * 7)
    for name, policy in [("prefill-first", PrefillFirstScheduler), ("stall-free", StallFreeScheduler)]:
        workload = conversation_workload(12, rate=0.3, prompt_tokens=(1, 80), output_tokens=(1, 20), seed=seed)
        counts[name].append(tokens_after_a_wait(run(policy(limits), workload, SimulatedExecutor(OneSecond(5000)))))
for name, pairs in counts.items():
    late, total = map(sum, zip(*pairs))
    print(f"{name}: {late} of {total} tokens came late (first tokens apart)")

# %% [markdown]
# Why does a running request that could decode always get its token? (Multiple choice, 1 mark.)
#
# - **A** The scheduler sorts the running requests so that decodes come before chunks.
# - **B** A request whose chunk the budget cut short has used the budget up, so nobody was admitted behind it. Those
#   before it never ask for more than they got last time. So there is always something left for each.
# - **C** The budget is large enough for all running requests to compute all their work at once.
# - **D** A decode is bound by memory, not by arithmetic, so it does not count in the budget.

# %% nbgrader={"grade": false, "grade_id": "why_no_wait", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: why_no_wait
why_no_wait = None
### BEGIN SOLUTION
why_no_wait = "B"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "why_no_wait_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: why_no_wait
checks.choice("why_no_wait", why_no_wait, "@sealed why_no_wait")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("04_scheduler", "why_no_wait", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 5. The same tokens under every policy
#
# Now with a model behind it. The reciting model of notebook 02 gets three requests at once: each asks for another
# document. First each request runs alone; then all three run under each policy, batched, chunked and interleaved.

# %%
NUM_WORDS = 24


def recite(policy, names: list[str]) -> dict[str, str]:
    """What the engine with this policy answers to requests for the named documents, served together."""
    requests = [Request(name, prompt_for(DOCUMENTS[name]), NUM_WORDS) for name in names]
    limits = SchedulerConfig(max_num_batched_tokens=48, max_num_seqs=3)
    trace = run(policy(limits), requests, ModelExecutor(reciter))
    print(f"{policy.__name__}: {', '.join(names)}: {len(trace.iterations)} iterations, "
          f"at most {max(iteration.num_tokens for iteration in trace.iterations)} tokens in one")
    return {request.request_id: decode(request.output_token_ids) for request in requests}


reciter = reciting_model()
alone = {}
for name in DOCUMENTS:
    alone |= recite(PrefillFirstScheduler, [name])
for policy in [RequestLevelScheduler, PrefillFirstScheduler, StallFreeScheduler]:
    together = recite(policy, list(DOCUMENTS))
    print("   the same words as alone:", together == alone)
for name, text in together.items():
    print(f"\n{name}: {text}")

# %% [markdown]
# A policy decides when a token is computed, never which token comes out. The numbers of iterations show the price of a
# small budget: with at most 48 tokens in one, the same work takes more of them.

# %% [markdown]
# ## 6. Three policies, one workload
#
# Last, a small server's day. Four chats arrive over time; so does one long document. The clock is simulated: how long
# an iteration takes comes from a cost model fitted to the toy transformer on a CPU. Your `token_iterations` finds
# where each chat's tokens come out, and so the longest gap between two of them.


# %%
# picture: one workload under three policies
def chat_gaps(trace) -> list[float]:
    """The times in ms between two consecutive tokens of a chat, all chats together."""
    gaps = []
    for request in trace.requests:
        if request.request_id.startswith("chat"):
            plans = [plan.get(request.request_id, 0) for plan in plans_of(trace)]
            indices = token_iterations(request.num_prompt_tokens, request.max_tokens, plans)
            gaps += [trace.iterations[later].end - trace.iterations[earlier].end for earlier, later in pairwise(indices)]
    return [1000 * gap for gap in gaps]


def small_day() -> list[Request]:
    """Four chats and a document."""
    return mixed_workload(4, 1, chat_rate=25, document_rate=10, chat_prompt_tokens=(8, 24),
                          chat_output_tokens=(16, 32), document_prompt_tokens=(900, 1100),
                          document_output_tokens=(6, 10), seed=4)


limits = SchedulerConfig(max_num_batched_tokens=128, max_num_seqs=8)
traces = {name: run(policy(limits), small_day(), SimulatedExecutor(CPU_DEFAULT))
          for name, policy in [("request-level", RequestLevelScheduler), ("prefill-first", PrefillFirstScheduler),
                               ("stall-free", StallFreeScheduler)]}
longest = {}
for name, trace in traces.items():
    gaps = chat_gaps(trace)
    longest[name] = max(gaps)
    print(f"{name}: gaps between a chat's tokens: median {median(gaps):.1f} ms, longest {max(gaps):.1f} ms; "
          f"all done after {1000 * (trace.iterations[-1].end - trace.iterations[0].start):.0f} ms")
print(f"\nUnder prefill-first the longest gap is {longest['prefill-first'] / longest['stall-free']:.1f} times as long as under "
      f"stall-free. Your guess was {guess_gap}.")
timeline(traces, x="ms", names={request.request_id: request.request_id for request in small_day()},
         numbers={"chat 1": 1, "chat 2": 2, "chat 3": 3, "chat 4": 4, "document 1": 5},
         title="One workload under three policies")

# %% [markdown]
# Read the picture from top to bottom (chats are numbered 1 to 4, the document is 5; the clock starts with the first
# iteration, and so do the printed times):
# - *Request-level:* nobody is interrupted, and everybody who came after chat 1 waits until it is done. Then four
#   prompts run in one iteration, chats and document alike: hence four boxes of the same width.
# - *Prefill-first:* the document's prompt is one wide box, and every chat that was generating is hatched beside it. The
#   printed longest gap is more than that box: chat 4's prompt, which runs next, and then the decode step itself.
# - *Stall-free:* no hatching. While the document's chunks run, the chats' tokens come more slowly: each gap then is as
#   long as a whole iteration with a chunk in it, up to the printed longest one, several times the median. And the
#   document's own first token comes later than under prefill-first: its chunks share their iterations.
#
# So there is a price, and a budget that sets it. Notebook 05 measures both sides, notebook 06 chooses the number.

# %% [markdown]
# ## Reflect
#
# Compare `PrefillFirstScheduler` with your `StallFreeScheduler`. In four to six sentences: what does the chunked
# scheduler have to remember between two iterations that the prefill-first one did not, what has to stay in memory for it,
# and why does it matter for sampling? Name the attributes of `Request` and `Scheduler` that hold it.
# Answer in the cell below (4 marks, read by a person).

# %% [markdown] nbgrader={"grade": true, "grade_id": "what_to_remember", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# <!-- answer: what_to_remember -->
# <!-- BEGIN SOLUTION -->
# **Sample answer.** For the prefill-first scheduler a prompt is either not started or done: the queue in which a request
# stands says it all, and every running request needs exactly one token. The chunked scheduler has requests in
# `running` whose prompt is half done. For each it must remember how far it is, `num_computed_tokens`, because the next
# chunk starts there and the work left is `num_tokens - num_computed_tokens`. The keys and values of the chunks
# computed so far must stay in the KV cache until the request is finished, so a request occupies memory and a seat
# of `max_num_seqs` before it has given a single token. The same number decides about sampling: the logits of a chunk
# amid the prompt are dropped, and a token is kept only when `num_computed_tokens` reaches `num_tokens`. The order of
# `running` matters as well, since the budget is handed out along it.
#
# **Rubric.** 1 point: progress of a partly computed prompt, `num_computed_tokens`, one per running request. 1 point: the
# contrast (before, the queue alone told whether a prompt was done, and a running request always needed one token). 1
# point: the partial KV cache (and the seat) must be held across iterations. 1 point: whether a chunk is the last decides
# if a token is sampled. (Admission order of `running`, or what is left of the budget, with a reason, can stand in for
# one of the four. The budget itself is not remembered: it starts anew in each iteration.)
# <!-- END SOLUTION -->

# %% [markdown]
# ## What you have shown
#
# - A scheduler needs no phases: work left, a budget and two queues plan chunks and decodes alike.
# - No running decode ever waits, and that follows from the rules: whoever is cut short is the last in line.
# - The tokens are the same under every policy; what changes is when they come.
# - Chunk sizes are nobody's choice: they are what the decodes leave of `max_num_batched_tokens`.
#
# Next, in notebook 05: how long did everybody wait? You measure decoder idle time, and what it costs to have none.
