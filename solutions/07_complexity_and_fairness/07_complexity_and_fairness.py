# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # 07 Complexity and fairness
#
# *What chunking costs the scheduler, and what "fair" means.*
#
# | | |
# |---|---|
# | **You will be able to** | say what small chunks cost the scheduler, write the preemption that keeps it alive when memory runs out, and tell three kinds of fairness apart |
# | **Time** | 80 minutes |
# | **Difficulty** | three stars of four |
# | **You need** | notebook 04: an iteration-level scheduler; notebook 05: decoder idle time |
# | **GPU** | useful for one measurement, not needed |
# | **Marks** | 8 automatic, 3 for a written answer |
#
# So far chunks were all gain. Sequence 1's long prompt is cut into P₁₁ P₁₂ P₁₃, sequence 2's D₂₂ runs in the
# iteration of P₁₂, and nobody asked for the bill. Here it comes, in three parts: the scheduler has more to do, a
# request holds memory for longer before it is done, and "everybody gets one chunk or one decode" is fair only if you
# do not look closely.
#
# The claim to prove: **the scheduler may cut, interleave, throw away and repeat work as it likes; it changes who
# waits and who pays, never which tokens come out.**

# %% tags=["setup"]
# include: bootstrap

# %% tags=["setup"]
import math
import statistics
from itertools import pairwise

from course_lib import checks
from course_lib.cost_model import CPU_DEFAULT, ONE_SECOND
from course_lib.device import choose_device
from course_lib.documents import DOCUMENTS, decode, prompt_for
from course_lib.engine import ModelExecutor, SimulatedExecutor, run
from course_lib.plots import service_curves, timeline
from course_lib.recite import reciting_model
from course_lib.request import Request, RequestStatus
from course_lib.scheduler import PlannedScheduler, Scheduler, SchedulerConfig, SchedulerOutput
from course_lib.text_bar import tqdm
from course_lib.trace import RequestInfo, Trace
from course_lib.workload import conversation_workload, running_example

profile = choose_device()  # a GPU if there is one; on a CPU it also keeps torch to one thread
print(f"running on {profile.name}")

# %% [markdown]
# ## Predict first
#
# At the end of this notebook a document of 1,024 tokens and three chats with short prompts share a server. In every cycle each of them
# gets **one unit of work**: a chunk of at most 64 tokens, or one decode step. We stop when the document is finished.
# **How many tokens has the server computed for the document by then, for each token it computed for a chat?**
# Guess a number (1 mark). It counts for being there, not for being right; you will see it beside the result.

# %% nbgrader={"grade": false, "grade_id": "guess_tokens", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: guess_tokens
guess_tokens = None
### BEGIN SOLUTION
guess_tokens = 10
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "guess_tokens_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: guess_tokens
checks.predicted("guess_tokens", guess_tokens)
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("07_complexity_and_fairness", "guess_tokens", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 1. A worked example: one unit each
#
# The simplest fair rule: in every **cycle** each active request gets one unit of work. A unit is one prefill chunk of at
# most `chunk_size` tokens, or one decode step. The units of a cycle run together, as one hybrid iteration. Here is the
# running example by hand, with a chunk size of 8. Sequence 2 has its first token and wants three more.

# %%
cycles_by_hand = [
    {"1": 8, "2": 1},  # P₁₁ and D₂₁
    {"1": 8, "2": 1},  # P₁₂ and D₂₂
    {"1": 8, "2": 1},  # P₁₃ and D₂₃: sequence 2 has all its tokens and departs
    {"1": 1},  # D₁₁
    {"1": 1},  # D₁₂
]
by_hand = run(PlannedScheduler(SchedulerConfig(), cycles_by_hand, prologue=[{"2": 8}]), running_example(),
              SimulatedExecutor(ONE_SECOND)).after(1)
timeline(by_hand, title="One unit each, by hand")

# %% [markdown]
# Three cycles in which both are active: three units for sequence 1, three for sequence 2. Perfectly fair, in units.
# In tokens it is 24 against 3. Keep that in mind for section 7.

# %% [markdown]
# ## 2. One cycle
#
# Now for any requests. `active` holds requests in any state: amid their prompt, generating, or finished a moment ago.
# A finished request has departed and gets nothing. The check of `chunk_size` and the loop are given; write what is inside
# (1 mark).
#
# <details><summary>Hint: a nudge</summary>
#
# How many tokens does a generating request have left to compute? Is it a special case?
# </details>
# <details><summary>Hint: the idea</summary>
#
# As in notebook 04 the work left is `num_tokens - num_computed_tokens`, and a decode step is the case of 1. A unit is
# all of it or one chunk, whichever is less. `request.is_finished` tells who has departed.
# </details>


# %% nbgrader={"grade": false, "grade_id": "fair_cycle", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: fair_cycle
def fair_cycle(active: list[Request], chunk_size: int) -> dict[str, int]:
    """One unit of work for every active request: request id -> number of tokens.

    A unit is one decode step, or one prefill chunk of at most `chunk_size` tokens. Finished requests are left out,
    and the requests stay as they are. A chunk_size below 1 is a ValueError.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    units = {}
    for request in active:
        ### BEGIN SOLUTION
        if not request.is_finished:
            units[request.request_id] = min(request.num_tokens - request.num_computed_tokens, chunk_size)
        ### END SOLUTION
    return units


# %% nbgrader={"grade": true, "grade_id": "fair_cycle_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: fair_cycle
def in_progress(request_id: str, num_prompt_tokens: int, num_computed_tokens: int, num_output_tokens: int = 0,
                max_tokens: int = 20) -> Request:
    """A request as it stands in the middle of a run."""
    request = Request(request_id, [0] * num_prompt_tokens, max_tokens)
    request.num_computed_tokens, request.output_token_ids = num_computed_tokens, [0] * num_output_tokens
    request.status = RequestStatus.FINISHED if request.is_finished else RequestStatus.RUNNING
    return request


with checks.exercise("fair_cycle") as check:
    one, two = in_progress("1", 24, 8), in_progress("2", 8, 9, num_output_tokens=2)
    check.equal(fair_cycle([one, two], 8), {"1": 8, "2": 1}, wrong=[
        ({"1": 8, "2": 8}, "Sequence 2 is generating: it has one token left to compute, so its unit is one token."),
        ({"1": 16, "2": 1}, "That is all that sequence 1 has left; a unit is one chunk of at most chunk_size tokens."),
        ({"1": 4, "2": 4}, "The chunk is shared out; every request gets a unit of its own."),
        ({"1": 4, "2": 1}, "The chunk is shared out; every request gets a unit of its own."),
        ({"1": 8}, "Only one request gets a unit, or a generating one gets none."),
        ({"2": 1}, "A request amid its prompt gets nothing; its unit is a chunk."),
        ({"1": 8, "2": -1}, "The work left counts the output too: num_tokens, not num_prompt_tokens."),
        ({}, "Nobody gets anything: is there an entry for each active request?"),
        ({"1": 16, "2": 8}, "max for min: a unit is all that is left or one chunk, whichever is less."),
    ], given="fair_cycle([request 1 with 16 of 24 prompt tokens left, request 2 generating], chunk_size=8)")
    check.equal(fair_cycle([in_progress("a", 20, 15)], 8), {"a": 5},
                given="fair_cycle([request a with 5 prompt tokens left], chunk_size=8)",
                wrong=[({"a": 8}, "The last chunk is no longer than what is left.")])
    check.equal([one.num_computed_tokens, two.num_computed_tokens], [8, 9],
                given="num_computed_tokens of requests 1 and 2 after fair_cycle",
                wrong=[([16, 10], "fair_cycle only plans; update_from_output counts, once the work is done.")])
    gone = in_progress("b", 6, 7, num_output_tokens=2, max_tokens=2)
    check.equal(fair_cycle([gone, two], 8), {"2": 1}, given="fair_cycle([request b that is finished, request 2], 8)",
                wrong=[({"b": 1, "2": 1}, "Request b is finished: it has departed and gets no unit."),
                       ({"b": 0, "2": 1}, "0 tokens are no unit: leave request b out."),
                       ({}, "Who stands behind a finished request gets nothing: a `break`, or a list changed while "
                            "looping over it?")])
    check.equal(fair_cycle([], 8), {}, given="fair_cycle([], 8)")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("07_complexity_and_fairness", "fair_cycle", globals())
### END HIDDEN TESTS

# %% [markdown]
# With it, a scheduler is three lines. It takes every request in as soon as there is a seat, and its chunk size stands
# in `long_prefill_token_threshold`. Who arrives or departs between two cycles is simply in the next one or not.


# %% tags=["given"]
class UnitFairScheduler(Scheduler):
    """One unit of work for everybody in every iteration. The chunk size is `long_prefill_token_threshold`."""

    def schedule(self) -> SchedulerOutput:
        while self.waiting and len(self.running) < self.config.max_num_seqs:
            self.admit()
        return SchedulerOutput(fair_cycle(self.running, self.config.long_prefill_token_threshold))


def unit_fair(chunk_size: int, max_num_seqs: int = 8) -> UnitFairScheduler:
    """A unit-fair scheduler. Its budget is as large as everybody's chunks together: it never runs out."""
    return UnitFairScheduler(SchedulerConfig(max_num_seqs * chunk_size, max_num_seqs,
                                             long_prefill_token_threshold=chunk_size))


# %% [markdown]
# ## 3. What small chunks cost the scheduler
#
# Each piece of work that the scheduler hands to a request we call a **task**. A prompt of P tokens in chunks of C, with
# O output tokens, is ⌈P/C⌉ + O − 1 tasks (the last chunk already gives the first output). Each task is a decision: read the request's state, compute a share, write it
# into the plan, book the result.
#
# The engine has recorded from the start how long each call of `schedule()` takes, as `iteration.scheduling_seconds`; the
# booking in `update_from_output` is not in it. Below, a
# document and four chats run on this device, the document's prompt in ever smaller chunks. Before you run the cell:
# which columns will grow as chunks get smaller, and which will stay?

# %%
# measurement: the scheduler's own time against chunk size
device_model = profile.new_model()
long_prompt = profile.long_prompt // 2


def document_and_chats() -> list[Request]:
    """A document and four chats that are all there from the start."""
    return [Request("document", [1] * long_prompt, 4), *(Request(f"chat {n}", [1] * 16, 24) for n in range(1, 5))]


run(unit_fair(256), document_and_chats(), ModelExecutor(device_model))  # warm-up
rows = []
for chunk_size in tqdm([long_prompt, long_prompt // 4, long_prompt // 16, long_prompt // 64], desc="measuring"):
    trace = run(unit_fair(chunk_size), document_and_chats(), ModelExecutor(device_model))
    tasks = sum(work.request_id == "document" for iteration in trace.iterations for work in iteration.work)
    scheduling = statistics.median(iteration.scheduling_seconds for iteration in trace.iterations)
    in_all = scheduling * len(trace.iterations)  # a sum would be ruined by one hiccup of the machine
    model = sum(iteration.end - iteration.start for iteration in trace.iterations)
    rows.append(f"{chunk_size:>6} {tasks:>13} {len(trace.iterations):>11} {1e6 * scheduling:>14.1f} "
                f"{1000 * in_all:>11.2f} {1000 * model:>8.0f} {in_all / model:>10.2%}")
print(f"{'chunk':>6} {'tasks of the':>13} {'iterations':>11} {'scheduler, µs':>14} {'scheduler,':>11} {'model,':>8} "
      f"{'scheduler /':>12}")
print(f"{'size':>6} {'document':>13} {'in all':>11} {'median':>14} {'ms in all':>11} {'ms':>8} {'model':>10}")
print("\n".join(rows))

# %% [markdown]
# (In all: the median times the number of iterations.) The scheduler's time *an iteration* hardly depends on the chunk size. The document's tasks do: ⌈P/C⌉ + O − 1. While the
# chats decode anyway, its chunks ride along in their iterations; once there are more chunks than that, each is one more
# iteration, for the scheduler and for the model. The scheduler's part stays small here. A fast model with short
# iterations is where it bites.
#
# What does the time an iteration depend on, then? The next cell has no model, just a clock, and more and more
# chats.

# %%
# measurement: the scheduler's own time against the number of requests
rows = []
for num_chats in tqdm([4, 16, 64, 256], desc="measuring"):
    chats = [Request(f"chat {number}", [1] * 16, 60) for number in range(num_chats)]
    trace = run(unit_fair(16, max_num_seqs=num_chats), chats, SimulatedExecutor(ONE_SECOND))
    microseconds = 1e6 * statistics.median(iteration.scheduling_seconds for iteration in trace.iterations)
    rows.append(f"{num_chats:>15} {microseconds:>27.1f} {microseconds / num_chats:>10.2f}")
print(f"{'active requests':>15} {'scheduler, µs an iteration':>27} {'µs a task':>10}")
print("\n".join(rows))

# %% [markdown]
# So an iteration costs the scheduler time in proportion to the number of active requests, and a request costs it time
# in proportion to its tasks. And it has to remember more between two iterations:
#
# | a standard scheduler | a chunked one, besides | one whose memory can run out, besides |
# |---|---|---|
# | who waits, who runs | how far each prompt is: `num_computed_tokens` | who holds how many blocks of memory |
# | each request's outputs | that a half-computed prompt holds memory | that outputs may have to be computed again |
#
# The last column is the subject of section 4.
#
# ### Multiple choice
#
# You halve the chunk size. What happens to the scheduler's work for a request with a prompt of P tokens and O output
# tokens? (1 mark)
#
# - **A** All its tasks double in number, and so does the scheduler's time for it.
# - **B** The number of its prefill tasks about doubles, its decode tasks stay; an iteration with as many active
#   requests costs the scheduler about as much as before.
# - **C** Its tasks stay as many; each of them costs the scheduler half as much, since its chunk is half as long.
# - **D** Nothing changes: the tokens to compute are the same.

# %% nbgrader={"grade": false, "grade_id": "halve_chunks", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: halve_chunks
halve_chunks = None
### BEGIN SOLUTION
halve_chunks = "B"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "halve_chunks_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: halve_chunks
checks.choice("halve_chunks", halve_chunks, "@sealed halve_chunks")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("07_complexity_and_fairness", "halve_chunks", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 4. When memory runs out
#
# KV cache memory is handed out in **blocks** of `block_size` tokens, as in PagedAttention (Kwon et al., 2023), from a
# pool of `num_kv_blocks`. A request takes a new block when its tokens reach into one, and nobody knows beforehand how
# long it will generate. Here is the running example by hand, with a pool of 8 blocks of 4 tokens and a budget of 9.
# Sequence 1 arrives at 1 s.
#
# | iteration | sequence 2: tokens → blocks | sequence 1: tokens → blocks | blocks free |
# |---|---|---|---|
# | 0 | P₂: 8 → 2 | | 6 |
# | 1 | D₂₁: 9 → 3 | P₁₁: 8 → 2 | 3 |
# | 2 | D₂₂: 10 → 3 | P₁₂: 16 → 4 | 1 |
# | 3 | D₂₃: 11 → 3 | P₁₃ would make it 24 → 6: **two more, one is free** | 1 |
#
# Somebody must give up memory. The rules of vLLM V1:
#
# 1. *Running requests, in admission order*, as in notebook 04: each its work left, threshold or budget left,
#    whichever is least.
# 2. *Blocks.* A request needs ⌈(num_computed_tokens + n) / block_size⌉ − (blocks it holds) new blocks. While they are
#    not free, **the last of `running` is preempted**: it loses its blocks and its progress, keeps its outputs, and
#    goes to the front of `waiting`. If the last one is the very request that needs the blocks, the pass over `running`
#    ends there. Blocks of a finished request are free from the end of its last iteration.
# 3. *New requests*, from the head of `waiting`, **only if nobody was preempted in this iteration**, while budget and a
#    seat are left and the blocks for their n tokens are free. Nobody looks whether the rest of the prompt will fit.
#    Stop at the first that does not fit; do not skip it.
#
# In iteration 3 the last one is sequence 1 itself: it is preempted, and its 16 computed tokens are lost.
# The cell below holds this workload, and a clock that counts one second an iteration.


# %% tags=["given"]
def arriving_mid_run(max_tokens: tuple[int, int] = (3, 4)) -> list[Request]:
    """The running example: sequence 2 comes at 0 s, sequence 1 at 1 s; `max_tokens` of sequences 1 and 2."""
    requests = running_example()
    requests[0].arrival_time = 1.0
    for request, most in zip(requests, max_tokens):
        request.max_tokens = most
    return requests


class OneSecond:
    """A clock for counting: one second an iteration. It gives up on a scheduler that never comes to an end."""

    def __init__(self, most: int = 500) -> None:
        self.most = self.left = most

    def __call__(self, spans: list[tuple[int, int]]) -> float:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError(f"{self.most} iterations have run and there are still unfinished requests: does a "
                               "request that is preempted over and over keep others from finishing?")
        return 1.0


# %% [markdown]
# First the count (1 mark). Python's `//` rounds down; `-(-a // b)` rounds up. Who holds more blocks than it needs, needs 0.
#
# <details><summary>Hint: a nudge</summary>
#
# A request holds 3 blocks of 4 tokens, has 10 tokens computed and computes one more. How many new blocks? And for
# three more?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Count the blocks for all its tokens, old and new together, then take off those it has. Rounding the new tokens up by
# themselves forgets the free places in its last block.
# </details>


# %% nbgrader={"grade": false, "grade_id": "blocks_needed", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: blocks_needed
def blocks_needed(num_computed_tokens: int, num_new_tokens: int, num_blocks_held: int, block_size: int) -> int:
    """How many new KV blocks a request needs to compute `num_new_tokens` more tokens; 0 when its blocks suffice."""
    ### BEGIN SOLUTION
    return max(0, -(-(num_computed_tokens + num_new_tokens) // block_size) - num_blocks_held)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "blocks_needed_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: blocks_needed
with checks.exercise("blocks_needed") as check:
    check.call(blocks_needed, 16, 8, 4, 4, expect=2, wrong=[
        (6, "These are all its blocks; take off those it holds already."),
        (8, "These are tokens; memory comes in blocks of block_size tokens."),
        (10, "The minus in front also turns `num_blocks_held` round: close its parenthesis earlier."),
        (3, "24 tokens fill exactly 6 blocks of 4: no seventh is begun."),
    ])
    check.call(blocks_needed, 10, 1, 3, 4, expect=0, wrong=[
        (1, "Token 11 goes into its third block, which has places left: count old and new tokens together."),
        (-1, "Rounded down; a block that is begun counts as a whole one."),
    ])
    check.call(blocks_needed, 12, 1, 3, 4, expect=1, wrong=[
        (0, "Rounded down; the 13th token begins a fourth block."),
    ])
    check.call(blocks_needed, 0, 9, 0, 4, expect=3)
    check.call(blocks_needed, 3, 1, 2, 4, expect=0, wrong=[
        (-1, "It holds a block more than it needs; then it needs 0 new ones, not fewer."),
    ])
    check.call(blocks_needed, 3, 5, 3, 4, expect=0, wrong=[
        (1, "Tokens 5 to 8 begin a second block, but it holds three already: take off the blocks it holds, not those that "
            "its computed tokens fill."),
        (-1, "It holds a block more than it needs; then it needs 0 new ones, not fewer."),
    ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("07_complexity_and_fairness", "blocks_needed", globals())
### END HIDDEN TESTS

# %% [markdown]
# Next, what happens to the one who is preempted. This scheduler keeps the books of the pool and has no policy yet:


# %% tags=["given"]
class PooledScheduler(Scheduler):
    """A scheduler that knows its pool of KV blocks and who holds how many. Its policy is left out."""

    def __init__(self, config: SchedulerConfig) -> None:
        super().__init__(config)
        self.num_free_blocks = math.inf if config.num_kv_blocks is None else config.num_kv_blocks
        self.blocks_held: dict[str, int] = {}  # request id -> blocks; who holds none is not in it

    def hold(self, request: Request, num_blocks: int) -> None:
        """Gives the request `num_blocks` more blocks of the pool."""
        self.blocks_held[request.request_id] = self.blocks_held.get(request.request_id, 0) + num_blocks
        self.num_free_blocks -= num_blocks

    def free(self, request: Request) -> None:
        """Takes all its blocks back."""
        self.num_free_blocks += self.blocks_held.pop(request.request_id, 0)

    def share(self, request: Request, budget: int) -> int:
        """Rule 1: the work left, at most the threshold (if that is not 0), at most the budget left."""
        threshold = self.config.long_prefill_token_threshold or budget
        return min(request.num_tokens - request.num_computed_tokens, threshold, budget)

    def update_from_output(self, output: SchedulerOutput, sampled: dict[str, int]) -> list[str]:
        """As ever; and whoever finished gives the blocks back."""
        running = list(self.running)
        finished = super().update_from_output(output, sampled)
        for request in running:
            if request.is_finished:
                self.free(request)
        return finished


# %% [markdown]
# Complete `preempt_tail` (1 mark). Taking the request out of `running` and noting its fate are given. Read rule 2 once more:
# it loses its blocks and its progress, keeps its outputs, and goes to the front of `waiting`.
#
# <details><summary>Hint: a nudge</summary>
#
# Three things are left to do, one line each. Which number says how far a request's keys and values have come?
# </details>
# <details><summary>Hint: the idea</summary>
#
# `self.free` of the scheduler above takes the blocks back. `waiting` is a deque: it has an end and a front, and
# `append` is the end. The outputs need nothing: they are tokens, not keys and values, and will be computed again like
# a part of the prompt.
# </details>


# %% nbgrader={"grade": false, "grade_id": "preempt_tail", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: preempt_tail
def preempt_tail(scheduler: PooledScheduler) -> Request:
    """Preempts the last of `scheduler.running` and returns it.

    It loses its blocks and its progress, keeps its outputs, and goes to the front of `scheduler.waiting`.
    """
    request = scheduler.running.pop()
    request.status = RequestStatus.PREEMPTED
    request.num_preemptions += 1
    ### BEGIN SOLUTION
    scheduler.free(request)
    request.num_computed_tokens = 0
    scheduler.waiting.appendleft(request)
    ### END SOLUTION
    return request


# %% nbgrader={"grade": true, "grade_id": "preempt_tail_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: preempt_tail
with checks.exercise("preempt_tail") as check:
    pooled = PooledScheduler(SchedulerConfig(9, 4, block_size=4, num_kv_blocks=8))
    first, last, newcomer = in_progress("2", 8, 11, 4), in_progress("1", 6, 7, 2), Request("3", [0] * 5, 20)
    pooled.running = [first, last]
    pooled.hold(first, 3)
    pooled.hold(last, 2)
    pooled.add_request(newcomer)
    check.equal(preempt_tail(pooled).request_id, "1", given="preempt_tail, running: 2 and 1; whom it returns")
    check.equal([request.request_id for request in pooled.waiting], ["1", "3"],
                given="preempt_tail, running: 2 and 1, waiting: 3; who waits afterwards", wrong=[
        (["3", "1"], "It came to the end of the queue; it goes to the front, or it might wait for ever."),
        (["3"], "The preempted request is in no queue any more: nobody will ever run it."),
    ])
    check.equal(last.num_computed_tokens, 0, given="preempt_tail, num_computed_tokens of request 1 afterwards", wrong=[
        (7, "It keeps its progress, but its blocks, with the keys and values of these tokens, are gone."),
        (6, "Not even its prompt is in memory any more: everything has to be computed again."),
    ])
    check.equal(last.num_output_tokens, 2, given="preempt_tail, output tokens of request 1 afterwards",
                wrong=[(0, "Its outputs are lost; the user has read them already, and they stay.")])
    check.equal(pooled.num_free_blocks, 5, given="preempt_tail, 3 of 8 blocks free before; free blocks afterwards",
                wrong=[(3, "Its two blocks are not given back.")])
    check.equal({key: blocks for key, blocks in pooled.blocks_held.items() if blocks}, {"2": 3},
                given="preempt_tail, who holds how many blocks afterwards", wrong=[
        ({"2": 3, "1": 2}, "Its blocks are free again, but it still counts as holding them: `free` keeps both books."),
    ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("07_complexity_and_fairness", "preempt_tail", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 5. A scheduler that preempts
#
# Here is the scheduler of notebook 04 to start from. It believes that memory is ample.

# %% tags=["given"]
# from notebook 04: hybrid batches under a token budget
# include: 04_scheduler/StallFreeScheduler

# %% [markdown]
# Write its successor (3 marks). The frame of the loop over `running` is given, with the request's share and the blocks it needs.
# There are two gaps:
#
# - **First gap** (rule 2): one running request. Make room for it, as far as that goes. If it is still running then, hold
#   the blocks, write the plan and lower the budget.
# - **Second gap** (rule 3): the new requests. It is the second loop of the scheduler above with two more conditions.
#
# If the engine tells you by a `PlanError` that a request in the plan is not running, it was preempted and planned all
# the same, or preempted after it was planned (once `request` itself is out, stop); if it tells you that one is given 0 tokens, the second loop went on without a budget. A `KeyError` with a
# request's id at `blocks_held` means that the request holds no blocks: it was admitted without `hold`, or it still waits.
# If the cell never ends, your second loop does not stop at a head that does not fit.
#
# <details><summary>Hint: a nudge</summary>
#
# For the first gap: what is different about `request` itself once it has been preempted? May it still be planned? For
# the second: look at the head, `self.waiting[0]`, *before* you admit it. What does a request that waits hold, and how
# much of it is computed?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Note everybody that `preempt_tail(self)` returns in `preempted`. Two things stop you from preempting further: enough
# blocks are free, or `request` is in `preempted`. In the second case there is nothing left to plan for it.
# </details>


# %% nbgrader={"grade": false, "grade_id": "PreemptiveScheduler", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: PreemptiveScheduler
class PreemptiveScheduler(PooledScheduler):
    """The stall-free scheduler with a pool of KV blocks: who does not fit preempts from the tail of `running`.

    By the rules of vLLM V1; a preempted request is computed again from its first token.
    """

    def schedule(self) -> SchedulerOutput:
        """The next iteration's plan, and who was preempted for it."""
        config, budget = self.config, self.config.max_num_batched_tokens
        plan: dict[str, int] = {}
        preempted: list[Request] = []
        for request in list(self.running):  # a copy: preempting shortens the list itself
            if request in preempted:
                break  # it is out, and so is everybody behind it
            num_tokens = self.share(request, budget)
            needed = blocks_needed(request.num_computed_tokens, num_tokens,
                                   self.blocks_held[request.request_id], config.block_size)
            # First gap (rule 2): make room, then plan this request.
            ### BEGIN SOLUTION
            while needed > self.num_free_blocks and request not in preempted:
                preempted.append(preempt_tail(self))
            if request in preempted:
                break
            self.hold(request, needed)
            plan[request.request_id] = num_tokens
            budget -= num_tokens
            ### END SOLUTION
        # Second gap (rule 3): new requests.
        ### BEGIN SOLUTION
        while not preempted and self.waiting and budget > 0 and len(self.running) < config.max_num_seqs:
            num_tokens = self.share(self.waiting[0], budget)
            needed = blocks_needed(0, num_tokens, 0, config.block_size)
            if needed > self.num_free_blocks:
                break
            request = self.admit()
            self.hold(request, needed)
            plan[request.request_id] = num_tokens
            budget -= num_tokens
        ### END SOLUTION
        return SchedulerOutput(plan, tuple(request.request_id for request in preempted))


# %% nbgrader={"grade": true, "grade_id": "PreemptiveScheduler_check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# check: PreemptiveScheduler
def plans_and_preemptions(requests: list[Request], num_kv_blocks: int | None, max_num_batched_tokens: int = 9,
                          threshold: int = 0, scheduler: type[Scheduler] = PreemptiveScheduler
                          ) -> list[tuple[dict[str, int], list[str]]]:
    """For each iteration its plan and who was preempted; blocks hold 4 tokens, at most 4 requests run."""
    config = SchedulerConfig(max_num_batched_tokens, 4, long_prefill_token_threshold=threshold, block_size=4,
                             num_kv_blocks=num_kv_blocks)
    trace = run(scheduler(config), requests, SimulatedExecutor(OneSecond()))
    return [({work.request_id: work.num_tokens for work in iteration.work}, sorted(iteration.preempted))
            for iteration in trace.iterations]


with checks.exercise("PreemptiveScheduler") as check:
    check.equal(plans_and_preemptions(arriving_mid_run(), num_kv_blocks=None),
                plans_and_preemptions(arriving_mid_run(), num_kv_blocks=None, scheduler=StallFreeScheduler),
                given="the running example with ample memory: the same plans as in notebook 04", wrong=[
        ([({"2": 8}, []), ({"2": 1, "1": 9}, []), ({"2": 1, "1": 9}, []), ({"2": 1, "1": 6}, []), ({"1": 1}, []),
          ({"1": 1}, [])], "The budget is not lowered by what a running request takes."),
    ])
    check.equal(plans_and_preemptions(arriving_mid_run(), num_kv_blocks=8),
                [({"2": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1}, ["1"]),
                 ({"1": 9}, []), ({"1": 9}, []), ({"1": 6}, []), ({"1": 1}, []), ({"1": 1}, [])],
                given="the running example with 8 blocks of 4 tokens: (plan, preempted) of each iteration", wrong=[
        ([({"2": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1, "1": 8}, []), ({"1": 1}, []),
          ({"1": 1}, [])], "Nobody is preempted, though iteration 3 needs 9 blocks of 8: compare with the free ones, "
                         "and are the blocks held (`self.hold`)?"),
        ([({"2": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1, "1": 8}, ["1"]), ({"1": 9}, []),
          ({"1": 7}, []), ({"1": 1}, []), ({"1": 1}, [])],
         "In iteration 3 sequence 1 is preempted and comes back at once: after a preemption nobody is admitted."),
        ([({"2": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1}, []), ({"1": 8}, []), ({"1": 1}, []),
          ({"1": 1}, [])], "In iteration 3 sequence 1 is left out and keeps its blocks; it should be preempted."),
        ([({"2": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1, "1": 8}, []), ({"2": 1}, []), ({"1": 9}, []),
          ({"1": 9}, []), ({"1": 6}, []), ({"1": 1}, []), ({"1": 1}, [])],
         "Sequence 1 is preempted in iteration 3, but the SchedulerOutput does not say so (preempted_req_ids)."),
        ([({"2": 8}, []), ({"2": 1}, []), ({"2": 1}, []), ({"2": 1}, []), ({"1": 9}, []), ({"1": 9}, []), ({"1": 6}, []),
          ({"1": 1}, []), ({"1": 1}, [])],
         "Sequence 1 waits until its whole prompt fits; only the tokens of this iteration have to."),
        ([({"2": 8}, []), *[({"2": 1, "1": 8}, [])] * 2, ({"2": 1, "1": 4}, []), ({"1": 4}, []), ({"1": 1}, []),
          ({"1": 1}, [])], "In iteration 3 sequence 1 is cut to the free block; its share comes from rule 1 alone, and "
                           "where the blocks for it are missing, rule 2 preempts."),
    ])
    check.equal(plans_and_preemptions(arriving_mid_run(max_tokens=(4, 7)), num_kv_blocks=10),
                [({"2": 8}, []), *[({"2": 1, "1": 8}, [])] * 3, ({"2": 1, "1": 1}, []), ({"2": 1}, ["1"]),
                 ({"2": 1, "1": 8}, []), ({"1": 9}, []), ({"1": 9}, []), ({"1": 1}, [])],
                given="longer answers (4 and 7 tokens) with 10 blocks of 4 tokens: (plan, preempted) of each iteration",
                wrong=[([({"2": 8}, []), *[({"2": 1, "1": 8}, [])] * 3, ({"2": 1}, ["1"]), *[({"2": 1, "1": 8}, [])] * 2,
                         ({"1": 9}, []), ({"1": 1}, []), ({"1": 1}, [])],
                        "In iteration 4 sequence 1 needs one block and one is free: it may take the last one.")])
    check.equal(plans_and_preemptions([Request("a", [0] * 12, 2), Request("b", [0] * 16, 1), Request("c", [0] * 3, 3),
                                       Request("d", [0] * 2, 1)], num_kv_blocks=6, max_num_batched_tokens=40, threshold=8),
                [({"a": 8, "b": 8, "c": 3, "d": 2}, []), ({"a": 4}, ["b", "c"]), ({"a": 1, "b": 8}, []),
                 ({"b": 8, "c": 4}, []), ({"c": 1}, [])],
                given="prompts a: 12, b: 16, c: 3, d: 2; 6 blocks of 4 tokens, budget 40, threshold 8", wrong=[
        ([({"a": 8, "b": 8, "c": 3, "d": 2}, []), ({"a": 4, "b": 8}, ["c"]), ({"a": 1, "c": 4}, []), ({"c": 1}, [])],
         "In iteration 1 b needs two blocks. Preempting c frees one; that is not enough: go on (while, not if)."),
        ([({"a": 8, "b": 8, "c": 3}, []), ({"a": 4}, ["b", "c"]), ({"a": 1}, []), ({"b": 8, "c": 4, "d": 2}, []),
          ({"b": 8, "c": 1}, [])], "d needs one block and one is free: it may take the last one."),
        ([({"a": 8, "b": 8, "c": 3, "d": 2}, []), ({"a": 4}, ["b", "c"]), ({"a": 1, "c": 4}, []), ({"b": 8, "c": 1}, []),
          ({"b": 8}, [])], "c and b wait in the wrong order: whoever is preempted goes to the front of the queue."),
        ([({"a": 8, "b": 8, "c": 3, "d": 2}, []), ({"a": 4}, ["b", "c"]), ({"a": 1, "b": 8, "c": 4}, []),
          ({"b": 8, "c": 1}, [])], "In iteration 2 the pool is full; c is admitted although no block is free."),
    ])
    check.equal(plans_and_preemptions([Request("a", [0] * 8, 2), Request("b", [0] * 12, 1), Request("c", [0] * 2, 1)],
                                      num_kv_blocks=4, max_num_batched_tokens=20),
                [({"a": 8}, []), ({"a": 1}, []), ({"b": 12, "c": 2}, [])],
                given="a: prompt 8, b: prompt 12, c: prompt 2; 4 blocks of 4 tokens, budget 20", wrong=[
        ([({"a": 8, "c": 2}, []), ({"a": 1}, []), ({"b": 12}, [])],
         "b is passed over for c: stop at the first that does not fit."),
        ([({"a": 8, "b": 12}, []), ({"a": 1, "c": 2}, [])], "b needs three blocks, two are free: it has to wait."),
        ([({"a": 8, "b": 8}, []), ({"a": 1}, ["b"]), ({"b": 12, "c": 2}, [])],
         "b is cut to the free blocks; its share comes from rule 1 alone, and for all of it blocks must be free."),
    ])
    check.equal(plans_and_preemptions([Request(name, [0] * 5, 2) for name in "abcdef"], num_kv_blocks=40,
                                      max_num_batched_tokens=12),
                [({"a": 5, "b": 5, "c": 2}, []), ({"a": 1, "b": 1, "c": 3, "d": 5}, []),
                 ({"c": 1, "d": 1, "e": 5, "f": 5}, []), ({"e": 1, "f": 1}, [])],
                given="six prompts of 5 tokens, a to f; 40 blocks of 4 tokens, budget 12, max_num_seqs 4", wrong=[
        ([({"a": 5, "b": 5, "c": 5, "d": 5}, []), ({"a": 1, "b": 1, "c": 1, "d": 1}, []), ({"e": 5, "f": 5}, []),
          ({"e": 1, "f": 1}, [])], "The budget is not lowered by what a new request takes."),
        ([({"a": 5, "b": 5, "c": 2}, []), ({"a": 1, "b": 1, "c": 3, "d": 5, "e": 2}, []),
          ({"c": 1, "d": 1, "e": 3, "f": 5}, []), ({"e": 1, "f": 1}, [])], "Five run; max_num_seqs is 4."),
    ])
    check.equal(plans_and_preemptions([Request("a", [0] * 8, 3), Request("b", [0] * 16, 1)], num_kv_blocks=5,
                                      max_num_batched_tokens=12),
                [({"a": 8, "b": 4}, []), ({"a": 1}, ["b"]), ({"a": 1}, []), ({"b": 12}, []), ({"b": 4}, [])],
                given="a: prompt 8, b: prompt 16; 5 blocks of 4 tokens, budget 12")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("07_complexity_and_fairness", "PreemptiveScheduler", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 6. See it, and see what it costs
#
# The running example with longer answers (sequence 1 wants four tokens, sequence 2 seven), under three pools. Idle time
# comes from your function of notebook 05.

# %% tags=["given"]
# from notebook 05: how long a request that could decode did not
# include: 05_decoder_idle_time/find_request


# include: 05_decoder_idle_time/decoder_idle_time

# %%
# picture: preemption in the running example
pools = {"11 blocks": 11, "10 blocks": 10, "8 blocks": 8}
traces = {name: run(PreemptiveScheduler(SchedulerConfig(9, 4, block_size=4, num_kv_blocks=num_kv_blocks)),
                    arriving_mid_run(max_tokens=(4, 7)), SimulatedExecutor(OneSecond()))
          for name, num_kv_blocks in pools.items()}
timeline(traces, numbers={"1": 1, "2": 2}, title="The running example under three pools",
         idle_times={name: {request_id: decoder_idle_time(trace, request_id) for request_id in ("1", "2")}
                     for name, trace in traces.items()})

# %% [markdown]
# A prime marks work done again. With 10 blocks sequence 1 has two tokens out when it is preempted: it is generating, so
# its user sees the stall. Idle 3 s: the hatched iteration, in which it is out, and the recompute but for its last
# iteration. P₁₃′ holds its two output tokens as well. With 8 blocks it is hit twice,
# both times amid its prompt: no idle time, since it has no token yet, but its first token comes late. The idle
# time in the margin does not show that; TTFT does. And sequence 2 never notices: it came first.
#
# Is it still the same text? The reciting model of notebook 02, three requests, one generous pool and two tight ones:

# %%
reciter = reciting_model()
NUM_WORDS = 24


def recite(num_kv_blocks: int | None) -> dict[str, str]:
    """The answers to one request for each document, served together by your scheduler."""
    requests = [Request(name, prompt_for(document), NUM_WORDS) for name, document in DOCUMENTS.items()]
    config = SchedulerConfig(64, 3, num_kv_blocks=num_kv_blocks)
    trace = run(PreemptiveScheduler(config), requests, ModelExecutor(reciter))
    num_tokens = sum(iteration.num_tokens for iteration in trace.iterations)
    print(f"{num_kv_blocks or 'ample'} blocks: preemptions {sum(request.num_preemptions for request in requests)}, "
          f"iterations {len(trace.iterations)}, tokens computed {num_tokens}")
    return {request.request_id: decode(request.output_token_ids) for request in requests}


answers = {num_kv_blocks: recite(num_kv_blocks) for num_kv_blocks in [None, 26, 16]}
print("the same words each time:", answers[None] == answers[26] == answers[16])
for name, text in answers[16].items():
    right = text == decode(prompt_for(DOCUMENTS[name])[2:2 + NUM_WORDS])
    print(f"\n{name} ({'word for word' if right else 'not the document'}): {text}")

# %% [markdown]
# After a preemption the engine computes prompt *and* outputs again, like one longer prompt, in chunks. Only when it has
# caught up does it sample, and it samples what it would have sampled. The price is elsewhere. Ten conversations on the
# simulated clock, in ever smaller pools:

# %%
# measurement: what a tight pool costs
print(f"{'blocks':>6} {'preemptions':>12} {'tokens computed':>16} {'of them again':>14} {'idle time, s':>13} "
      f"{'all done, s':>12}")
for num_kv_blocks in [None, 60, 40, 20]:
    requests = conversation_workload(10, rate=30, prompt_tokens=(64, 256), output_tokens=(30, 90), seed=1)
    config = SchedulerConfig(128, 8, num_kv_blocks=num_kv_blocks)
    trace = run(PreemptiveScheduler(config), requests, SimulatedExecutor(CPU_DEFAULT))
    computed = sum(iteration.num_tokens for iteration in trace.iterations)
    once = sum(request.num_prompt_tokens + request.max_tokens - 1 for request in requests)
    idle = sum(decoder_idle_time(trace, request.request_id) for request in requests)
    print(f"{num_kv_blocks or 'ample':>6} {sum(request.num_preemptions for request in requests):>12} {computed:>16} "
          f"{computed - once:>14} {idle:>13.2f} {trace.iterations[-1].end:>12.2f}")

# %% [markdown]
# With ample memory nobody idles: that was notebook 04's promise. It ends where memory ends. In the smallest pool most of
# the work is done more than once, because rule 3 admits a prompt for its first chunk without asking whether the rest
# will fit: chunking lets a request in early, and a tight pool throws it out again. Servers answer with more memory, fewer
# seats (`max_num_seqs`) or by swapping blocks out instead of recomputing.

# %% [markdown]
# ## 7. Three kinds of fair
#
# Back to fairness, with ample memory. A document of 1,024 tokens and three chats are there from the start. *Unit-fair*
# gives each a unit a cycle. Two other rules are common:
#
# - **Token-fair**: count the tokens computed for each request, and serve those who have had least. (The Virtual Token
#   Counter of Sheng et al., OSDI 2024, does so for a server's clients, with prices for input and output tokens.)
# - **Time-fair**: the same with seconds. An iteration's fixed time is divided equally among the requests in it; what a
#   chunk or a decode adds, its request pays.
#
# The scheduler below does all three; only the price of a unit differs. Nobody who is more than `lead` ahead of the
# least served gets a unit. It hands out the units of your `fair_cycle`. Of `FairScheduler` read only its docstring.


# %% tags=["given"]
class FairScheduler(UnitFairScheduler):
    """Gives a unit to everybody whose service so far is at most `lead` above the least served one's."""

    def __init__(self, config: SchedulerConfig, price, lead: float = 0.0) -> None:
        """`price(start_pos, num_tokens, num_requests)`: what a unit counts in an iteration of `num_requests`."""
        super().__init__(config)
        self.price, self.lead = price, lead
        self.service: dict[str, float] = {}  # request id -> what it has had

    def schedule(self) -> SchedulerOutput:
        units = super().schedule().num_scheduled_tokens
        least = min((self.service[request_id] for request_id in units if request_id in self.service), default=0.0)
        for request_id in units:  # a newcomer starts level with the least served, or it would be owed the past
            self.service.setdefault(request_id, least)
        served = [request for request in self.running if self.service[request.request_id] <= least + self.lead]
        for request in served:
            self.service[request.request_id] += self.price(request.num_computed_tokens, units[request.request_id],
                                                           len(served))
        return SchedulerOutput({request.request_id: units[request.request_id] for request in served})


CHUNK_SIZE = 64


def seconds_of(start_pos: int, num_tokens: int, num_requests: int) -> float:
    """A unit's seconds on the simulated clock: its part of the iteration's fixed time, and what it adds to it."""
    return CPU_DEFAULT.base / num_requests + CPU_DEFAULT([(start_pos, num_tokens)]) - CPU_DEFAULT.base


POLICIES = {  # name -> price of a unit, and how far ahead one may be: a chunk's worth
    "unit-fair": (lambda start_pos, num_tokens, num_requests: 1, 0),
    "token-fair": (lambda start_pos, num_tokens, num_requests: num_tokens, CHUNK_SIZE),
    "time-fair": (seconds_of, seconds_of(0, CHUNK_SIZE, 4)),
}


def service_until(trace: Trace, end: float) -> dict[str, tuple[int, int, float]]:
    """(units, tokens, seconds) that each request had in the iterations that end by `end`."""
    had = {request.request_id: (0, 0, 0.0) for request in trace.requests}
    for iteration in trace.iterations:
        for work in iteration.work:
            if iteration.end <= end:
                units, tokens, seconds = had[work.request_id]
                more = seconds_of(work.start_pos, work.num_tokens, len(iteration.work))
                had[work.request_id] = (units + 1, tokens + work.num_tokens, seconds + more)
    return had


def mean_chat_gap(trace: Trace) -> float:
    """Mean seconds between two tokens of a chat, all chats together, until the document has its first token."""
    token_times = {request.request_id: [] for request in trace.requests}
    for iteration in trace.iterations:
        for work in iteration.work:
            if work.samples_token:
                token_times[work.request_id].append(iteration.end)
    read = token_times.pop("document")[0]
    return statistics.mean(later - earlier for times in token_times.values()
                           for earlier, later in pairwise(times) if later <= read)


# %% [markdown]
# All of what follows is **simulated**: the seconds come from the cost model that was fitted to the toy transformer on a
# CPU, and the scheduler is told this model. A real server would have to measure or estimate its prices.
# The table is read at the moment when the first of the four is finished: until then all of them compete.

# %%
# picture: cumulative service under three kinds of fairness
curves = {}
for name, (price, lead) in POLICIES.items():
    requests = [Request("document", [0] * 1024, 8),
                *(Request(f"chat {number}", [0] * length, 160) for number, length in enumerate((24, 40, 16), start=1))]
    config = SchedulerConfig(512, 8, long_prefill_token_threshold=CHUNK_SIZE)
    trace = run(FairScheduler(config, price, lead), requests, SimulatedExecutor(CPU_DEFAULT))
    done_at = {work.request_id: iteration.end for iteration in trace.iterations for work in iteration.work}
    first_end = min(done_at.values())
    had = service_until(trace, first_end)
    print(f"{name}: until {first_end:.2f} s, when the first is finished")
    for request_id, (units, tokens, seconds) in had.items():
        print(f"    {request_id:8} {units:>4} units {tokens:>6} tokens {seconds:>7.2f} s of service; "
              f"done at {done_at[request_id]:.2f} s")
    print(f"    while the document is read, a chat waits {1000 * mean_chat_gap(trace):.0f} ms for a token on average")
    if name == "unit-fair":
        ratio = had["document"][1] / had["chat 1"][1]
    curves[name] = {request.request_id: [(0.0, 0)] for request in trace.requests}
    for iteration in trace.iterations:
        for work in iteration.work:
            line = curves[name][work.request_id]
            line += [(iteration.start, line[-1][1]), (iteration.end, line[-1][1] + work.num_tokens)]
print(f"\nUnder unit-fair the document got {ratio:.0f} tokens for each token of chat 1. Your guess was {guess_tokens}.")
service_curves(curves, title="Simulated service under three kinds of fairness")

# %% [markdown]
# Why 22 and not 64? The document's last 7 of 23 units are decode steps, and chat 1's first unit was its prompt of 24
# tokens: 1,031 to 46.
#
# Look along the columns of the printed figures: each policy makes one of them equal (up to two chunks for tokens), and
# only that one.
#
# - *Unit-fair:* as many units each, and the document runs away with the tokens. Larger chunks, larger share.
# - *Token-fair:* nobody who is more than a chunk ahead is served, so the lead stays below two chunks. A chat earns its
#   tokens one decode step at a time, so the document waits for most of the run, though its tokens are the cheap ones: a
#   chunk shares its fixed time among 64.
# - *Time-fair:* lies in between. The document gets more tokens than a chat for the same seconds, because a chunk computes
#   them for less.
#
# In all three runs every request gets its tokens in the end. What differs is who waits. Under unit-fair and time-fair
# the chats end at the same time, 0.92 s. What time-fair gives them is shorter gaps while the document is read: 6 ms on
# average instead of 13 ms. Token-fair ends them at 0.81 s and the whole run later, at 1.01 s instead of 0.92 s, for
# nothing rides along with the last chunks.

# %% [markdown]
# ## Reflect
#
# One server, one price per month. One customer sends long documents, three customers chat. In four to six sentences:
# which of the three kinds of fairness would you give them, who loses what by it compared with the other two (use figures
# from the table or the picture), and what does your scheduler have to know or measure for it? (3 marks, read by a
# person.)

# %% [markdown] nbgrader={"grade": true, "grade_id": "which_fairness", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- answer: which_fairness -->
# <!-- BEGIN SOLUTION -->
# **Sample answer.** I would make it time-fair: they pay the same, and seconds of the server are what they pay for. When
# the document is finished each of the four has had about 0.16 s of the server. Compared with unit-fair, the document's
# customer loses: the document is finished after 0.63 s instead of 0.25 s, because a unit of 64 tokens costs several
# times the seconds of a decode step. For the chats the end is the same, 0.92 s, but their gaps are half as long
# while the document is read. Compared with token-fair they lose a little: there they are all done by 0.81 s, while the
# document would have waited until 1.01 s. The scheduler has to keep a counter of
# seconds for each customer and to know what a unit costs, from a cost model or from measured iterations; in a hybrid
# batch it also needs a rule for dividing the fixed time. Unit-fair needs no counter at all, token-fair only tokens.
#
# **Rubric.** 1 point: says what the chosen rule makes equal and what it leaves unequal, not just "fair". 1 point: names
# who loses what against the other two, with at least one figure. 1 point: says what has to be known or measured
# (counters; prices of units for time-fair; how to treat newcomers or a shared iteration). Any of the three kinds may be
# chosen if the reasons fit.
# <!-- END SOLUTION -->

# %% [markdown]
# ## What you have shown
#
# - Small chunks cost the scheduler tasks, ⌈P/C⌉ + O − 1 for a request; an iteration costs it time in proportion to the
#   active requests, whatever the chunk size.
# - When memory runs out, the last one admitted loses its blocks and its progress and computes them again. Its words stay
#   the same; its decoder idle time, or its TTFT, does not. D₂₂ still runs in the iteration of P₁₂, but P₁₃ may have to
#   wait, and P₁₁ to be done twice.
# - Unit-fair, token-fair and time-fair make three different columns equal. Say which one you mean.
#
# Next, in notebook 08: three servers with problems, and you decide, with numbers.
