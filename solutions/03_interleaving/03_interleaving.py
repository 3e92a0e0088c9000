# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # 03 Interleaving
#
# *What should run in which iteration?*
#
# | | |
# |---|---|
# | **You will be able to** | put chunks and decode steps of two sequences in an order in which nobody waits long, measure the gaps that an order leaves, and say what hybrid iterations add |
# | **Time** | 45 minutes |
# | **Difficulty** | one star of four |
# | **You need** | notebook 02: a prompt may be computed chunk by chunk |
# | **GPU** | not used |
# | **Marks** | 8 automatic |
#
# Two sequences share one server. Sequence 1 arrives with a long prompt. Sequence 2 is already generating.
# Notebook 02 cut sequence 1's prompt into chunks P₁₁, P₁₂, P₁₃ and showed that the tokens stay the same. Cutting alone
# helps nobody: three chunks in a row keep sequence 2 waiting as long as one whole prompt. What helps is *what runs
# between them*. The claim to prove here: **the order decides who waits; it never decides which tokens come out.**

# %% tags=["setup"]
# include: bootstrap

# %% tags=["setup"]
from course_lib import checks, orders
from course_lib.cost_model import CPU_DEFAULT, ONE_SECOND
from course_lib.device import choose_device
from course_lib.documents import DOCUMENTS, decode, encode, prompt_for
from course_lib.engine import ModelExecutor, SimulatedExecutor, run
from course_lib.plots import timeline
from course_lib.recite import reciting_model
from course_lib.request import Request
from course_lib.scheduler import PlannedScheduler, SchedulerConfig
from course_lib.trace import Trace
from course_lib.widgets import ordering

profile = choose_device()  # this notebook needs no GPU; on a CPU it also keeps torch to one thread
reciter = reciting_model()  # the model of notebook 02 that recites documents word for word

# %% [markdown]
# ## Units of work
#
# A **unit of work** is a prefill chunk or a decode step. At first the server does one unit in each iteration.
# A unit has a label, typed without subscripts: `"P12"` is P₁₂, the second chunk of sequence 1, and `"D21"` is D₂₁,
# the first decode step of sequence 2. An **order** is a Python list, one entry an iteration, the first is iteration 0.
#
# Some orders are *impossible*. P₁₂ attends to keys and values that P₁₁ writes. D₂₂ takes the token that D₂₁ gives.
# So chunks run in order, and so do decode steps. Between different sequences there is no such rule.

# %% [markdown]
# ## Predict first
#
# Sequence 1 has a prompt of 20 chunks, sequence 2 has 20 decode steps to go, and the server does one unit an iteration.
# *Standard* order: D₂₁, then the 20 chunks back to back, then the other decode steps. *Interleaved*: the two take turns,
# so that sequence 2 never waits long. That has a price, and sequence 1 pays it.
# **How many times as long does sequence 1 wait for its first token when the two take turns?** Guess a number.
# It counts for being there (1 mark), not for being right; you will see it beside the true one.

# %% nbgrader={"grade": false, "grade_id": "guess_price", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: guess_price
guess_price = None
### BEGIN SOLUTION
guess_price = 1.5
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "guess_price_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: guess_price
checks.predicted("guess_price", guess_price)
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("03_interleaving", "guess_price", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 1. A worked example: the standard order, executed
#
# The two cells below are given: `split_into_chunks` from notebook 02, and three functions around the engine.
# `tell(order)` executes an order with the model that recites: sequence 1 reads a prompt of 48 words and gives one word,
# the document's third; sequence 2 recites another document and has its first word already. `trace_of(order)` is the
# trace to draw, at one second an iteration.
#
# The engine is told only how many tokens of each sequence an iteration computes. Asked for 16 tokens of sequence 1 it
# takes the next 16, whatever label you meant. So `tell` refuses an impossible order before the engine runs it.

# %% tags=["given"]
# From notebook 02.
# include: 02_chunked_prefill/split_into_chunks

# %% tags=["given"]
# You need not read this cell: it runs an order on the engine and says what came out.
READING = prompt_for(encode(DOCUMENTS["lighthouse"])[6:52])  # 48 tokens, from "At dusk" on
RECITING = prompt_for(DOCUMENTS["kitchen"])


def execute(order: list, executor, prompt: list[int] = READING) -> tuple[Trace, dict[str, list[int]]]:
    """Runs an order on the engine: the trace, and the tokens of each sequence.

    prompt: sequence 1's tokens; they are cut into as many chunks as the order has.
    """
    units = [str(unit) for iteration in orders.read(order) for unit in iteration]
    num_chunks = sum(label.startswith("P1") for label in units)
    num_decodes = len(units) - num_chunks
    if num_chunks == 0:
        raise orders.OrderError(f"the order {order} holds no chunk of sequence 1; it needs at least one, such as 'P11'")
    chunks = split_into_chunks(len(prompt), -(-len(prompt) // num_chunks))
    plans = orders.plans(order, {f"P1{j}": len(chunk) for j, chunk in enumerate(chunks, start=1)})
    requests = [Request("1", prompt, max_tokens=1), Request("2", RECITING, max_tokens=1 + num_decodes)]
    scheduler = PlannedScheduler(SchedulerConfig(), plans, prologue=[{"2": len(RECITING)}])
    trace = run(scheduler, requests, executor).after(1)
    return trace, {request.request_id: request.output_token_ids for request in requests}


def tokens_of(order: list) -> dict[str, list[int]]:
    """The tokens that each sequence gets from the reciting model."""
    return execute(order, ModelExecutor(reciter))[1]


def tell(order: list) -> None:
    """Executes an order on the reciting model and prints what ran and which word came out."""
    trace, tokens = execute(order, ModelExecutor(reciter))
    words = {"1": iter(tokens["1"]), "2": iter(tokens["2"][1:])}  # sequence 2 had its first before
    for iteration, units in zip(trace.iterations, orders.read(order)):
        parts = []
        for work, label in zip(iteration.work, units):
            size = f"{work.num_tokens} token{'s' if work.num_tokens > 1 else ''}"
            gives = f" gives {decode([next(words[work.request_id])])!r}" if work.samples_token else ""
            parts.append(f"{label} ({size}){gives}")
        print(f"iteration {iteration.index}: {', '.join(parts)}")


def trace_of(order: list) -> Trace:
    """The trace of an order on a clock on which every iteration takes one second."""
    return execute(order, SimulatedExecutor(ONE_SECOND))[0]


# %%
standard_order = ["D21", "P11", "P12", "P13", "D22", "D23"]
tell(standard_order)
timeline(trace_of(standard_order), title="The standard order, one unit an iteration")

# %% [markdown]
# *Standard* scheduling runs the whole prompt once it has begun. Here it stands as three units back to back, so that
# every order takes the same work. Three things to notice:
# 1. P₁₁ and P₁₂ give no word. Sequence 1's first word comes with the last chunk.
# 2. Sequence 2's words stop for three iterations, the hatched box: D₂₂ could run, and waits. (Only a sequence that
#    has a token and waits for its next is hatched.)
# 3. The words are right all the same.
#
# And an impossible order:

# %%
try:
    tell(["D21", "P12", "P11", "D22"])
except orders.OrderError as error:
    print(error)

# %% [markdown]
# ## 2. Two chunks, two decode steps
#
# Sequence 1 needs two prefill chunks, P₁₁ and P₁₂. Sequence 2 is generating and needs two decode steps, D₂₁ and D₂₂.
# One unit an iteration, so four iterations. Find an order that meets three constraints (1 mark):
#
# 1. **The chunks run in order**, each in a later iteration than the one before.
# 2. **The decode steps run in order**, each in a later iteration than the one before.
# 3. **No sequence waits more than one iteration in a row, from iteration 0 until its units are used up.** Here
#    sequence 1's iterations without a unit count as well; the picture leaves them blank.
#
# Every order that meets them is right. Each constraint met earns a third of the mark, if all four units stand in the
# list exactly once. One start is `["P11", …, …, …]`: fill in the rest, or start otherwise.
#
# You may type the list, or put it in order with the buttons below and paste the line that they make. (On the keyboard:
# Tab goes to the next button, the space bar presses it.)

# %%
ordering(["P12", "D22", "P11", "D21"], "order_two")

# %% [markdown]
# <details><summary>Hint: a nudge</summary>
#
# Write down for each sequence in which iterations it has no unit. Two neighbours among them, before its last unit, are
# one too many.
# </details>
# <details><summary>Hint: the idea</summary>
#
# If a sequence runs twice in a row while the other has work left, the other waits twice in a row.
# </details>

# %% nbgrader={"grade": false, "grade_id": "order_two", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: order_two
order_two = None  # a list of four labels
### BEGIN SOLUTION
order_two = ["P11", "D21", "P12", "D22"]
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "order_two_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: order_two
with checks.exercise("order_two") as check:
    check.written(order_two)
    for constraint, problem in orders.judge(order_two, ["P11", "P12", "D21", "D22"]).items():
        check.true(problem is None, f"Not met: {constraint}.\nIn {order_two}: {problem}")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("03_interleaving", "order_two", globals())
### END HIDDEN TESTS

# %% [markdown]
# Now the engine executes your order:

# %%
tell(order_two)
timeline(trace_of(order_two), title="Your order of four units")

# %% [markdown]
# ## 3. Three chunks, three decode steps
#
# The running example: sequence 1 has three chunks, sequence 2 is in the middle of its answer with three decode
# steps to go. Still one unit an iteration, six iterations, and the same three constraints (1 mark, a third for each
# constraint met, if all six units stand in the order exactly once).

# %%
ordering(["D23", "P12", "D21", "P13", "P11", "D22"], "order_three")

# %% [markdown]
# <details><summary>Hint: a nudge</summary>
#
# The third constraint already counts at iteration 0: whoever does not start must run in iteration 1.
# </details>
# <details><summary>Hint: the idea</summary>
#
# Does your order of four units have a pattern that goes on?
# </details>

# %% nbgrader={"grade": false, "grade_id": "order_three", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: order_three
order_three = None  # a list of six labels
### BEGIN SOLUTION
order_three = ["P11", "D21", "P12", "D22", "P13", "D23"]
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "order_three_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: order_three
with checks.exercise("order_three") as check:
    check.written(order_three)
    for constraint, problem in orders.judge(order_three, ["P11", "P12", "P13", "D21", "D22", "D23"]).items():
        check.true(problem is None, f"Not met: {constraint}.\nIn {order_three}: {problem}")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("03_interleaving", "order_three", globals())
### END HIDDEN TESTS

# %%
tell(order_three)
yours, standard = tokens_of(order_three), tokens_of(standard_order)
print("\nsequence 2 in your order:        ", decode(yours["2"]))
print("sequence 2 in the standard order:", decode(standard["2"]))
print("both sequences get the same tokens in both orders:", yours == standard)
timeline(trace_of(order_three), title="Your order of six units")

# %% [markdown]
# ### Multiple choice
#
# A prompt of three chunks and a generating sequence share a server that does one unit an iteration. What is the
# **main advantage** of interleaving the two, compared with the standard order? (1 mark)
#
# - **A** All the work is done in fewer iterations.
# - **B** The generating sequence goes on giving tokens while the prompt is read; its longest wait is one chunk.
# - **C** The long prompt's first token comes sooner.
# - **D** The KV cache needs less memory, for no chunk is held while a decode step runs.

# %% nbgrader={"grade": false, "grade_id": "main_advantage", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: main_advantage
main_advantage = None
### BEGIN SOLUTION
main_advantage = "B"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "main_advantage_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: main_advantage
checks.choice("main_advantage", main_advantage, "@sealed main_advantage")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("03_interleaving", "main_advantage", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Measure the gaps
#
# How long is the user of sequence 2 without a new token? Count, for each pair of consecutive decode steps, the
# iterations **strictly between** them: the standard order `["D21", "P11", "P12", "P13", "D22", "D23"]` has the gaps
# `[3, 0]`. What runs before the first decode step or after the last lies between no two. (A wait before D₂₁ is not
# among the gaps, though the picture hatches it and the third constraint counts it: sequence 2 already has a token.)
# The places of the decode steps are given; make the list of gaps (1 mark). With fewer than two decode steps there is no
# gap: `[]`.
#
# <details><summary>Hint: a nudge</summary>
#
# D₂₁ is in iteration 0 and D₂₂ in iteration 4. Which iterations lie between, and how many are they?
# </details>
# <details><summary>Hint: the idea</summary>
#
# `zip(places, places[1:])` gives each place together with the next one.
# </details>

# %% nbgrader={"grade": false, "grade_id": "decode_gaps", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: decode_gaps
def decode_gaps(order: list[str]) -> list[int]:
    """The number of iterations strictly between each decode step of an order and the next one.

    order: one label an iteration; the labels of decode steps begin with D, all of one sequence.
    """
    places = [iteration for iteration, label in enumerate(order) if label.startswith("D")]
    ### BEGIN SOLUTION
    return [later - earlier - 1 for earlier, later in zip(places, places[1:])]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "decode_gaps_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: decode_gaps
with checks.exercise("decode_gaps") as check:
    check.call(decode_gaps, ["D21", "P11", "P12", "P13", "D22", "D23"], expect=[3, 0], wrong=[
        ([-5, -2], "The subtraction is turned round."),
        ([-4, -1], "The subtraction is turned round."),
        ([5, 2], "Both ends are counted; *strictly between* leaves both out."),
        ([4, 1], "This is the distance; between iterations 0 and 4 lie only three others: 1, 2 and 3."),
        ([3], "Neighbours have a gap too: it is 0."),
        ([0, 4, 5], "These are the places of the decode steps; a gap is counted between two of them."),
        ([0, 3, 0], "A wait before the first decode step lies between no two of them."),
        ([3, 0, 0], "What follows the last decode step lies between no two of them."),
        ([0, 0], "These are the gaps between chunks."),
        (3, "There is one gap for each pair of consecutive decode steps, so the answer is a list."),
    ])
    check.call(decode_gaps, ["P11", "D21", "P12", "D22", "P13"], expect=[1], wrong=[
        ([1, 1], "A wait before the first decode step, or after the last, lies between no two of them."),
        ([1, 1, 1], "A wait before the first decode step, or after the last, lies between no two of them."),
    ])
    check.call(decode_gaps, ["P11", "D21", "P12"], expect=[], wrong=[
        ([0], "One decode step has no next one: no gap, `[]`."),
    ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("03_interleaving", "decode_gaps", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 5. Interleave any two lists
#
# Now let the computer write the order. `interleave(chunks, decodes)` gets the labels of one sequence's chunks and of
# another's decode steps, each list in its order, and returns one list with one unit an iteration that meets the
# three constraints of section 2 (1 mark). There may be more of one than of the other, or none. "Until its units are
# used up": once one list has ended, the rest of the other follows without turns. Leave the two given lists as they are;
# the caller may need them again.
#
# <details><summary>Hint: a nudge</summary>
#
# What does your function do with five chunks and two decode steps? Is every chunk still there?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Take turns for as long as *both* lists have a unit with this number; then only one list has units left, or none.
# </details>

# %% nbgrader={"grade": false, "grade_id": "interleave", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: interleave
def interleave(chunks: list[str], decodes: list[str]) -> list[str]:
    """One order of all units, one an iteration, in which no sequence waits more than one iteration in a row.

    chunks, decodes: labels of one sequence each, in the order in which they have to run; either may be empty.
    """
    ### BEGIN SOLUTION
    order = []
    for j in range(max(len(chunks), len(decodes))):
        order += chunks[j:j + 1] + decodes[j:j + 1]
    return order
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "interleave_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: interleave
with checks.exercise("interleave") as check:
    for i, num_chunks, num_decodes in [(1, 3, 3), (1, 4, 2), (1, 1, 3), (3, 2, 2), (1, 2, 0), (1, 0, 3), (1, 0, 0),
                                       (1, 11, 12)]:
        chunks = [f"P{i}{j}" for j in range(1, num_chunks + 1)]
        decodes = [f"D{i + 1}{j}" for j in range(1, num_decodes + 1)]
        given, units, both = f"interleave({chunks}, {decodes})", chunks + decodes, min(num_chunks, num_decodes)
        order = interleave(chunks, decodes)
        check.true(order is not None, f"{given} gives nothing back: is there a `return` at its end?")
        is_flat = isinstance(order, list | tuple) and not any(isinstance(unit, list | tuple) for unit in order)
        check.true(is_flat, f"{given} gave {order}: one unit an iteration, so a flat list of labels, no pairs and no lists in "
                            "it (`+` or `extend` adds the items of a list).")
        check.equal(sorted(map(str, order)), sorted(units), given=given + ", its units, sorted", wrong=[
            (sorted(units[:both] + units[num_chunks:num_chunks + both]),
             "The rest of the longer list is missing: zip ends with the shorter one."),
            (sorted(units + abs(num_chunks - num_decodes) * ["None"]),
             "None fills the places where the shorter list has ended; leave those places out."),
        ])
        for constraint, problem in orders.judge(order, units).items():
            check.true(problem is None, f"Input:   {given}\nGot:     {order}\nNot met: {constraint}: {problem}")
        check.equal(chunks + decodes, units, given=given + ", the two lists after the call", wrong=[
            ([], "Your function empties the lists that it was given: `pop` and `append` change the caller's list."),
        ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("03_interleaving", "interleave", globals())
### END HIDDEN TESTS

# %% [markdown]
# Back to your guess: 20 chunks and 20 decode steps, in the standard order and in yours.

# %%
chunks, decodes = [f"P1{j}" for j in range(1, 21)], [f"D2{j}" for j in range(1, 21)]
last_chunk = "P120"  # chunk 20 of sequence 1
twenty = {"standard": [decodes[0], *chunks, *decodes[1:]], "interleaved": interleave(chunks, decodes)}
print(f"{'order':<12} {'iterations':>10} {'longest gap of sequence 2':>26} {'first token of sequence 1 after':>32}")
for name, order in twenty.items():
    print(f"{name:<12} {len(order):>10} {max(decode_gaps(order)):>26} {order.index(last_chunk) + 1:>21} iterations")
price = (twenty["interleaved"].index(last_chunk) + 1) / (twenty["standard"].index(last_chunk) + 1)
print(f"\nSequence 1 waits {price:.2f} times as long for its first token. Your guess was {guess_price}.")

# %% [markdown]
# The number of iterations stays, for nothing is saved: interleaving moves waiting from one sequence to the other. The
# longest gap falls from 20 iterations to 1, and sequence 1 waits nearly twice as long, *counted in iterations*. Next, a
# way to pay less.

# %% [markdown]
# ## 6. Hybrid iterations
#
# A decode step is one token, a chunk is many. Orca's engine (Yu et al., OSDI'22) can compute both in one forward pass,
# and Sarathi-Serve (Agrawal et al., OSDI'24) fills such a **hybrid batch** on purpose: a chunk, and every decode step
# that is ready. So an iteration is now a *list* of units, and an order a list of lists: in
# `[["P31"], ["P32", "D41"]]` the second chunk of sequence 3 shares its iteration with a decode step of sequence 4.
#
# The running example again, in **three iterations, not six**: which decode step runs during P₁₁, P₁₂ and P₁₃? Four
# constraints (1 mark, a quarter for each one met, if all six units stand in the order exactly once):
#
# 1. The chunks run in order, each in a later iteration than the one before.
# 2. The decode steps run in order, each in a later iteration than the one before.
# 3. No sequence waits more than one iteration in a row, from iteration 0 until its units are used up.
# 4. It takes three iterations.
#
# Within an iteration the order of the labels does not matter.
# (Here the button *join / part* puts an entry into the iteration of the one above it, or takes it out again.)

# %%
ordering(["P13", "D22", "P11", "D23", "P12", "D21"], "order_hybrid", share_iterations=True)

# %% [markdown]
# <details><summary>Hint: a nudge</summary>
#
# Three chunks, each in a later iteration than the one before, in three iterations: how many choices are left for them?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Does D₂₁ need anything from P₁₁? They belong to different sequences.
# </details>

# %% nbgrader={"grade": false, "grade_id": "order_hybrid", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: order_hybrid
order_hybrid = None  # a list of three lists
### BEGIN SOLUTION
order_hybrid = [["P11", "D21"], ["P12", "D22"], ["P13", "D23"]]
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "order_hybrid_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: order_hybrid
with checks.exercise("order_hybrid") as check:
    check.written(order_hybrid)
    units = ["P11", "P12", "P13", "D21", "D22", "D23"]
    for constraint, problem in orders.judge(order_hybrid, units, num_iterations=3).items():
        check.true(problem is None, f"Not met: {constraint}.\nIn {order_hybrid}: {problem}")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("03_interleaving", "order_hybrid", globals())
### END HIDDEN TESTS

# %%
tell(order_hybrid)
print("the same tokens as in the standard order:", tokens_of(order_hybrid) == tokens_of(standard_order))
timeline(trace_of(order_hybrid), title="Your hybrid order")

# %% [markdown]
# ### Iterations are not milliseconds
#
# So far every iteration counted the same. But a chunk is long and a decode step short. Here are the three orders for
# a prompt of 2,048 tokens on a simulated clock, fitted to the toy transformer on one CPU core. (No stopwatch: the same
# orders give the same numbers on every machine.)

# %%
long_prompt = [0] * 2048  # the simulation counts tokens, it does not read them
three_orders = {"standard": standard_order, "interleaved": order_three, "hybrid": order_hybrid}
print(f"{'order':<12} {'iterations':>10} {'first token of 1':>17} {'longest wait of 2':>18} {'all done':>9}  (ms)")
for name, order in three_orders.items():
    trace, _ = execute(order, SimulatedExecutor(CPU_DEFAULT), long_prompt)
    token_times = {"1": [], "2": [0.0]}  # sequence 2 begins with a token
    for iteration in trace.iterations:
        for work in iteration.work:
            if work.samples_token:
                token_times[work.request_id].append(1000 * iteration.end)
    waits = [later - earlier for earlier, later in zip(token_times["2"], token_times["2"][1:])]
    print(f"{name:<12} {len(trace.iterations):>10} {token_times['1'][0]:>17.0f} {max(waits):>18.0f} "
          f"{1000 * trace.iterations[-1].end:>9.0f}")

# %% [markdown]
# On this clock taking turns costs sequence 1 less than 10 ms of about 400: the iterations it lets pass are decode steps,
# and they are short. Sequence 2's longest wait is less than half of what it was.
#
# The hybrid order gives sequence 1 its first token soonest, and needs three iterations: inside a chunk's iteration a
# decode step adds hardly any time, while an iteration of its own pays the fixed price again (it reads all the weights
# again, see notebook 05). Sequence 2's longest wait is now the longest chunk, P₁₃. (If your order began with D₂₁, taking
# turns shows a shorter wait, since D₂₃ ran before P₁₃; with more tokens to come, sequence 2 would wait for P₁₃ too.)
#
# Sequence 2 no longer idles, but each of its tokens now takes as long as a chunk. How long a chunk should be is the
# question of notebook 06.

# %% [markdown]
# ### Multiple choice
#
# A scheduler works in *cycles*: in a cycle every active request gets one turn, always in the same order, and **a turn
# is exactly one unit of work**, a chunk or a decode step. What is the main effect? (1 mark)
#
# - **A** All requests finish at about the same time.
# - **B** Short requests always finish before long ones.
# - **C** Every request moves on in every cycle, however long the others' prompts are; nobody waits for ever.
# - **D** The server gives as many tokens per second as it can.

# %% nbgrader={"grade": false, "grade_id": "one_unit_each", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: one_unit_each
one_unit_each = None
### BEGIN SOLUTION
one_unit_each = "C"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "one_unit_each_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: one_unit_each
checks.choice("one_unit_each", one_unit_each, "@sealed one_unit_each")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("03_interleaving", "one_unit_each", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 7. Your orders above the standard order
#
# All three orders of the running example on one axis, as the engine executed them. Hatched: sequence 2 has a token, could
# decode, and waits.

# %%
traces = {"your hybrid order": trace_of(order_hybrid),
          "your order, one unit an iteration": trace_of(order_three),
          "the standard order": trace_of(standard_order)}
your_labels = [str(unit) for [unit] in orders.read(order_three)]
print("gaps of sequence 2, your order:    ", decode_gaps(your_labels))
print("gaps of sequence 2, standard order:", decode_gaps(standard_order))
timeline(traces, title="Who waits, and how long")

# %% [markdown]
# ## What you have shown
#
# - Within a sequence the order is fixed; between sequences it is the scheduler's choice, and no choice changes a token.
# - Taking turns bounds every wait to one iteration. It saves no iterations. Counted in iterations, what sequence 2
#   gains sequence 1 pays; in milliseconds it pays little, since decode steps are short.
# - Hybrid iterations put a decode step beside each chunk: three iterations instead of six, no idle decoder.
#
# You wrote these orders by hand, knowing all the work in advance. A server knows only what is in its queues now, and
# has a limit on the tokens of one iteration. Next, in notebook 04: a scheduler that decides iteration by iteration.
