# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # 02 Chunked prefill
#
# *Same tokens, different iterations.*
#
# | | |
# |---|---|
# | **You will be able to** | cut a prompt into chunks, compute it chunk by chunk into a KV cache, and show that the tokens stay the same |
# | **Time** | 60 minutes |
# | **Difficulty** | two stars of four |
# | **You need** | notebook 01 (what a KV cache holds, what a mask is); comparing and broadcasting tensors in torch |
# | **GPU** | useful for the measured bars, not needed |
# | **Marks** | 10 automatic, 3 for a written answer |
#
# *Prefill* reads a prompt into the KV cache, a *decode* step makes one new token, an *iteration* is one forward pass
# over a batch. Two sequences share one server. Sequence 1 arrives with a long prompt. Sequence 2 is already generating.
# If the server computes sequence 1's whole prompt in one iteration, sequence 2's next token has to wait for all of it.
# Cut the prompt into chunks, one an iteration, and sequence 2's decode steps fit in between.
#
# That only helps if a cut prompt gives the same answer as a whole one. This notebook makes it so, and the claim to
# prove is this: **chunking changes when tokens are computed, never which tokens come out.**
#
# Notation: P₁₂ is the second chunk of sequence 1's prompt, D₂₁ the first decode step of sequence 2.

# %% tags=["setup"]
# include: bootstrap

# %% tags=["setup"]
import math
import statistics
import time

import torch

from course_lib import checks
from course_lib.cost_model import ONE_SECOND
from course_lib.device import choose_device
from course_lib.documents import DOCUMENTS, decode, prompt_for
from course_lib.engine import ModelExecutor, SimulatedExecutor, run
from course_lib.kv_cache import KVCache
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.plots import chunk_bars, timeline
from course_lib.recite import reciting_model
from course_lib.recording import RecordingModel
from course_lib.scheduler import PlannedScheduler, SchedulerConfig
from course_lib.text_bar import tqdm
from course_lib.workload import running_example

profile = choose_device()  # a GPU if there is one; on a CPU it also keeps torch to one thread
print(f"running on {profile.name}")

# %% [markdown]
# ## Predict first
#
# A prompt of 2,048 tokens (8,192 on a GPU) takes one long iteration. Cut into eight chunks, it takes eight shorter
# ones, one after the other. **The one long iteration takes how many times as long as the longest of the eight?** Guess
# a number. It counts for being there (1 mark), not for being right; you will see it beside the measured figure.

# %% nbgrader={"grade": false, "grade_id": "guess_ratio", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: guess_ratio
guess_ratio = None
### BEGIN SOLUTION
guess_ratio = 5
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "guess_ratio_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: guess_ratio
checks.predicted("guess_ratio", guess_ratio)
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("02_chunked_prefill", "guess_ratio", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 1. A worked example: ten tokens, chunk by chunk
#
# `model.forward_chunk(token_ids, positions, mask, cache)` computes one chunk of one sequence. It derives nothing: you
# tell it where each token stands (`positions`, which RoPE turns into rotations) and what each may attend to (`mask`,
# a bool tensor, `True` = may attend). Column `j` of the mask stands for position `j` of the cache, the chunk's own
# tokens included. It appends the chunk's keys and values to the cache, which counts them in
# `cache.num_computed_tokens`, and returns the logits of the chunk's *last* token, shape `(vocab_size,)`.
#
# Here are ten tokens in three chunks of 4, 4 and 2, with everything typed by hand. The last lines compare with the
# engine's own forward pass, `model([SequenceChunk(token_ids, cache)])`, over a batch of one sequence (`[0]` is its row):
# the whole prompt in one iteration, which we call *standard* or *one-shot* prefill.

# %%
small_model = ToyTransformer(ModelConfig(vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                                         intermediate_size=128), seed=1)
ten_tokens = [11, 5, 42, 7, 19, 3, 60, 28, 33, 8]
cache = small_model.new_cache(max_num_tokens=16)

first_mask = torch.tensor([  # 4 rows, one a token; 4 columns, one a position in the cache
    [1, 0, 0, 0],
    [1, 1, 0, 0],
    [1, 1, 1, 0],
    [1, 1, 1, 1],
], dtype=torch.bool)
small_model.forward_chunk(ten_tokens[0:4], torch.tensor([0, 1, 2, 3]), first_mask, cache)
print("in the cache after chunk 1:", cache.num_computed_tokens)

second_mask = torch.tensor([  # 4 new tokens, 8 positions: 4 computed before, 4 of this chunk
    [1, 1, 1, 1, 1, 0, 0, 0],
    [1, 1, 1, 1, 1, 1, 0, 0],
    [1, 1, 1, 1, 1, 1, 1, 0],
    [1, 1, 1, 1, 1, 1, 1, 1],
], dtype=torch.bool)
small_model.forward_chunk(ten_tokens[4:8], torch.tensor([4, 5, 6, 7]), second_mask, cache)
print("in the cache after chunk 2:", cache.num_computed_tokens)

third_mask = torch.tensor([  # the last, shorter chunk
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
], dtype=torch.bool)
logits = small_model.forward_chunk(ten_tokens[8:10], torch.tensor([8, 9]), third_mask, cache)
print("in the cache after chunk 3:", cache.num_computed_tokens)

one_shot = small_model([SequenceChunk(ten_tokens, small_model.new_cache(16))])[0]
print(f"largest difference from the one-shot logits: {(logits - one_shot).abs().max():.1e}")

# %% [markdown]
# The logits agree up to rounding: additions happen in another order, so the last digits may differ.
#
# Three things to notice:
# 1. Positions go on where the last chunk stopped. They belong to the sequence, not to the chunk.
# 2. The mask is not square. It grows to the right: every earlier position is visible to every row.
# 3. Only the third call's logits mean anything to the user. The first two end amid the prompt.

# %% [markdown]
# ## 2. Cut a prompt into chunks
#
# First the cutting (2 marks). `split_into_chunks(10, 4)` gives the three pieces above as ranges of token positions:
# `[range(0, 4), range(4, 8), range(8, 10)]`. The check of the arguments and the chunks' starts are given;
# make one range for each start.
#
# <details><summary>Hint: a nudge</summary>
#
# Where does a chunk end? Usually `chunk_size` further on. What is different about the last one?
# </details>
# <details><summary>Hint: the idea</summary>
#
# No chunk may reach past the prompt, so its end is the smaller of two numbers.
# </details>

# %% nbgrader={"grade": false, "grade_id": "split_into_chunks", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: split_into_chunks
def split_into_chunks(num_tokens: int, chunk_size: int) -> list[range]:
    """The positions 0 .. num_tokens - 1 cut into consecutive ranges of `chunk_size`; the last may be shorter.

    A chunk_size below 1 is a ValueError.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    starts = range(0, num_tokens, chunk_size)
    ### BEGIN SOLUTION
    return [range(start, min(start + chunk_size, num_tokens)) for start in starts]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "split_into_chunks_check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# check: split_into_chunks
with checks.exercise("split_into_chunks") as check:
    check.call(split_into_chunks, 10, 4, expect=[range(0, 4), range(4, 8), range(8, 10)], wrong=[
        ([range(0, 4), range(4, 8)], "The last, shorter chunk is missing: its tokens would never be computed."),
        ([range(0, 4), range(4, 8), range(8, 12)], "The last chunk reaches past the end of the prompt."),
        ([range(0, 3), range(4, 7), range(8, 9)], "range(a, b) ends before b already; subtracting 1 loses a token."),
        ([range(0, 4), range(4, 8), range(8, 9)], "The end of a range is not part of it: num_tokens, not num_tokens - 1."),
        ([range(4), range(4), range(2)], "Positions start again at 0 in each chunk; they should go on."),
        ([(0, 4), (4, 8), (8, 10)], "A pair of numbers is no range: write range(start, end)."),
    ])
    check.true(all(isinstance(chunk, range) for chunk in split_into_chunks(10, 4)),
               "Each chunk must be a range: the cells below use chunk.start and chunk.stop.")
    check.call(split_into_chunks, 8, 4, expect=[range(0, 4), range(4, 8)])
    check.call(split_into_chunks, 3, 8, expect=[range(0, 3)])
    check.call(split_into_chunks, 9, 6, expect=[range(0, 6), range(6, 9)], wrong=[
        ([range(0, 5), range(5, 9)], "The chunks are equally long; all but the last hold exactly chunk_size tokens."),
    ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("02_chunked_prefill", "split_into_chunks", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Compute one chunk
#
# Now do for any chunk what the worked example did by hand (3 marks). `start` is the position of the chunk's first token, and
# also the number of tokens in the cache before it. Build `positions` and `mask` (on the CPU will do, the model moves
# them), then call `forward_chunk` of the `model` that you are given, once.
#
# <details><summary>Hint: a nudge</summary>
#
# Look at `second_mask` again. Which column is the last `True` in its first row? In its second? What is the position
# of that row's token?
# </details>
# <details><summary>Hint: the idea</summary>
#
# A token may attend to column `j` exactly when `j` is not larger than its own position. Compare the positions as a
# column, shape `(n, 1)`, with the numbers 0 to `start + n - 1` as a row, shape `(1, start + n)`: that is the whole mask.
# </details>

# %% nbgrader={"grade": false, "grade_id": "prefill_chunk", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: prefill_chunk
def prefill_chunk(model: ToyTransformer, token_ids: list[int], start: int, cache: KVCache) -> torch.Tensor:
    """Computes one chunk of a prompt and returns the logits of its last token, (vocab_size,).

    token_ids: the tokens of this chunk, at least one. start: position of the first; the cache holds `start` tokens.
    """
    ### BEGIN SOLUTION
    end = start + len(token_ids)
    positions = torch.arange(start, end)
    columns = torch.arange(end)
    mask = columns[None, :] <= positions[:, None]
    return model.forward_chunk(token_ids, positions, mask, cache)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "prefill_chunk_check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# check: prefill_chunk
with checks.exercise("prefill_chunk") as check:
    recorder, cache = RecordingModel(small_model), small_model.new_cache(16)
    for start, end, mask in [(0, 4, first_mask), (4, 8, second_mask), (8, 10, third_mask)]:
        given = f"prefill_chunk(model, token_ids={ten_tokens[start:end]}, start={start}, cache holding {start} tokens)"
        logits = prefill_chunk(recorder, ten_tokens[start:end], start, cache)
        check.true(len(recorder.calls) == 1 + start // 4, "prefill_chunk made no call, or more than one: call "
                   "forward_chunk of the `model` that it is given, exactly once.")
        call, length = recorder.calls[-1], end - start
        check.equal(call.token_ids, ten_tokens[start:end], given=given + ", the tokens it computes")
        check.equal(call.positions, list(range(start, end)), given=given + ", the positions it passes", wrong=[
            (list(range(length)), "Positions restart in each chunk; they belong to the sequence, not to the chunk."),
            (list(range(start + 1, end + 1)), "Positions are one too large: the first token of a prompt stands at 0."),
        ])
        check.equal(call.mask, mask, given=given + ", the mask it passes", wrong=[
            (torch.ones(length, length).tril().bool(),
             "The mask is square: this chunk cannot see what the cache holds from the chunks before."),
            (torch.ones(length, end).tril().bool(),
             "The mask's diagonal starts in the top left corner; row 0 of a later chunk sees the whole past."),
            (~mask, "The mask is inverted: here True means *may* attend."),
            (torch.ones(length, end).tril(start - 1).bool(), "A token must also see itself: column j is allowed when "
             "j <= position."),
            (torch.ones(length, end).bool(), "No causal mask inside the chunk: tokens see those that follow them."),
            (torch.ones(length, end).triu(start).bool(),
             "The comparison is turned round: each row sees its own position and what follows it."),
        ])
        check.equal(cache.num_computed_tokens, end, given=given + ", cache.num_computed_tokens afterwards", wrong=[
            (end + length, "forward_chunk has counted these tokens already: leave cache.num_computed_tokens alone."),
        ])
        check.equal(logits, call.logits, given=given + ", the logits it returns")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("02_chunked_prefill", "prefill_chunk", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Compute a whole prompt, chunk by chunk
#
# Put the two together (3 marks). Each chunk is computed by `prefill_chunk`; the function returns the logits from which the
# first token of the answer is sampled. The cache is empty at the start, the prompt has at least one token.
#
# <details><summary>Hint: a nudge</summary>
#
# Which call's logits follow the *whole* prompt?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Loop over `split_into_chunks(...)`. A range knows its first position and its end: `chunk.start`, `chunk.stop`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "chunked_prefill", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: chunked_prefill
def chunked_prefill(model: ToyTransformer, token_ids: list[int], chunk_size: int, cache: KVCache) -> torch.Tensor:
    """Computes a whole prompt in chunks of `chunk_size` into an empty cache.

    Returns the logits for the first output token, (vocab_size,).
    """
    ### BEGIN SOLUTION
    for chunk in split_into_chunks(len(token_ids), chunk_size):
        logits = prefill_chunk(model, token_ids[chunk.start:chunk.stop], chunk.start, cache)
    return logits
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "chunked_prefill_check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# check: chunked_prefill
with checks.exercise("chunked_prefill") as check:
    for chunk_size, expected in [(4, [(0, 4), (4, 4), (8, 2)]), (10, [(0, 10)]), (9, [(0, 9), (9, 1)])]:
        given = f"chunked_prefill(model, ten tokens, chunk_size={chunk_size}, empty cache)"
        recorder, cache = RecordingModel(small_model), small_model.new_cache(16)
        logits = chunked_prefill(recorder, ten_tokens, chunk_size, cache)
        calls = [(call.positions[0], len(call.token_ids)) for call in recorder.calls]
        check.equal(calls, expected, given=given + ", its calls as (first position, length)", wrong=[
            (expected[:1], "Only the first chunk was computed: is the return inside the loop? Or are the arguments of "
                           "split_into_chunks swapped? The number of tokens comes first."),
            ([(0, length) for _, length in expected],
             "Every chunk starts at position 0: pass chunk.start as `start`. If you do, look at prefill_chunk above, whose "
             "positions have to count from `start`."),
            (expected[:-1], "The last chunk is missing: its tokens are never computed."),
            ([(0, 10)], "The whole prompt is computed in one call; use split_into_chunks."),
        ])
        check.equal([call.token_ids for call in recorder.calls],
                    [ten_tokens[start:start + length] for start, length in expected],
                    given=given + ", the tokens of each call", wrong=[
            ([list(range(start, start + length)) for start, length in expected],
             "These are positions; the chunk's tokens are token_ids[chunk.start:chunk.stop]."),
        ])
        check.equal(cache.num_computed_tokens, 10, given=given + ", tokens in that cache afterwards", wrong=[
            (0, "The chunks went into a cache of your own; the caller will decode with the one that it gave you."),
        ])
        check.equal(logits, recorder.calls[-1].logits, given=given + ", the logits it returns", wrong=[
            (recorder.calls[0].logits, "These are the first chunk's logits. The first token follows the whole prompt."),
        ])
        check.equal(logits, one_shot, tolerance=1e-4, given=given + ", compared with the one-shot logits")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("02_chunked_prefill", "chunked_prefill", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 5. See it: a model that recites
#
# Equal logits are a dry proof. Here is one to look at. The weights of `reciting_model()` are written by hand so that
# the model recites a document word for word once it has read it: it finds the last two words in its prompt and
# copies what followed. Its prompt is a whole document and the document's first two words; its answer should be the
# document from the third word on.
#
# Below, your functions read the document in chunks of 16, through a model that spoils one thing on the way: with
# "positions restart" every chunk's positions begin at 0, with "square mask" a chunk's mask loses the columns of the past,
# and with "cache one short" the cache forgets a chunk's last token, so that the next one overwrites it.

# %%
reciter = reciting_model()
prompt = prompt_for(DOCUMENTS["kitchen"])
NUM_WORDS = 60


class SpoiledModel:
    """Passes everything on to the reciting model, except for one mistake."""

    def __init__(self, mistake: str | None):
        self.mistake = mistake

    def forward_chunk(self, token_ids, positions, mask, cache):
        if self.mistake == "positions restart":
            positions = [position - positions[0] for position in positions]
        elif self.mistake == "square mask":
            mask = mask[:, -len(token_ids):]
        elif self.mistake == "cache one short" and cache.num_computed_tokens > 0:
            cache.num_computed_tokens -= 1
            mask = mask[:, mask.shape[1] - cache.num_computed_tokens - len(token_ids):]
        return reciter.forward_chunk(token_ids, positions, mask, cache)


def recite(mistake: str | None) -> str:
    """The reciting model's first NUM_WORDS words after your chunked prefill."""
    cache = reciter.new_cache(len(prompt) + NUM_WORDS)
    words = [int(chunked_prefill(SpoiledModel(mistake), prompt, 16, cache).argmax())]
    while len(words) < NUM_WORDS:
        words.append(int(reciter([SequenceChunk(words[-1:], cache)])[0].argmax()))
    return decode(words)


expected_text = decode(prompt[2:2 + NUM_WORDS])
print("The document, from its third word:\n ", expected_text, "\n")
for mistake in ["positions restart", "square mask", "cache one short", None]:
    text = recite(mistake)
    verdict = "word for word" if text == expected_text else "not the document"
    print(f"{mistake or 'nothing spoiled'} ({verdict}):\n  {text}\n")

# %% [markdown]
# Some mistakes wreck the text, others leave a fluent answer with something wrong in it, and nothing crashes in any of
# them. That is why servers compare chunked prefill with one-shot prefill, as your last check did.

# %% [markdown]
# ## 6. Standard and chunked, side by side
#
# The same prompt on this device: *standard*, the engine's own one-shot prefill, and your `chunked_prefill`.
# "Keys read" counts, over all iterations, the cached positions that attention looks at: every chunk reads all the
# chunks before it again.

# %%
# picture: one wide bar against the chunk bars
timing_model = profile.new_model()
long_prompt = torch.randint(profile.config.vocab_size, (profile.long_prompt,),
                            generator=torch.Generator().manual_seed(0)).tolist()
STANDARD = len(long_prompt)
CHUNK_SIZES = [STANDARD // 4, STANDARD // 8, STANDARD // 16]
REPEATS = 5


def measure(chunk_size: int) -> list[tuple[int, int, float]]:
    """(tokens, keys read, milliseconds) of each iteration of one prefill of the long prompt."""
    cache = timing_model.new_cache(len(long_prompt))
    if chunk_size == STANDARD:
        start = time.perf_counter()
        timing_model([SequenceChunk(long_prompt, cache)]).argmax().item()  # item() waits for the device
        return [(len(long_prompt), len(long_prompt), 1000 * (time.perf_counter() - start))]
    recorder = RecordingModel(timing_model)
    chunked_prefill(recorder, long_prompt, chunk_size, cache)
    return [(len(call.token_ids), call.mask.shape[1], 1000 * call.seconds) for call in recorder.calls]


measure(CHUNK_SIZES[-1])  # warm-up: the first passes on a device are slower
runs = {chunk_size: [] for chunk_size in [STANDARD, *CHUNK_SIZES]}
for _ in tqdm(range(REPEATS), desc="measuring"):
    for chunk_size in runs:  # interleaved, so that a noisy moment hits all of them
        runs[chunk_size].append(measure(chunk_size))
median_ms = {chunk_size: [statistics.median(milliseconds) for milliseconds in
                          zip(*([ms for _, _, ms in one_run] for one_run in repeats))]
             for chunk_size, repeats in runs.items()}

print(f"{'chunk size':>10} {'iterations':>10} {'tokens':>7} {'keys read':>10} {'longest ms':>11} {'sum ms':>8}")
for chunk_size, milliseconds in median_ms.items():
    iterations = runs[chunk_size][0]
    num_tokens, keys_read = (sum(column) for column in list(zip(*iterations))[:2])
    print(f"{chunk_size:>10} {len(iterations):>10} {num_tokens:>7} {keys_read:>10} "
          f"{max(milliseconds):>11.1f} {sum(milliseconds):>8.1f}")
ratio = max(median_ms[STANDARD]) / max(median_ms[STANDARD // 8])
print(f"\nThe one long iteration takes {ratio:.1f} times as long as the longest of eight. "
      f"Your guess was {guess_ratio}.")
chunk_bars(median_ms[STANDARD], median_ms[STANDARD // 8], unit="ms")

# %% [markdown]
# Why is the ratio not simply 8? The later a chunk, the more keys its tokens look at, and every iteration pays a fixed
# price of its own. Keys read grow fast, milliseconds hardly: at this length attention is a small part of an iteration.
# (Standard prefill also has a faster path, a purely causal mask, which later chunks cannot take.) These are medians of
# five readings on one machine. Run the cell again and they move; small differences between the sums are noise.

# %% [markdown]
# ### Multiple choice (1 mark)
#
# Compared with one-shot prefill of the same prompt, chunked prefill in exact arithmetic...
#
# - **A** computes fewer tokens in all, and gives the same first token.
# - **B** computes the same tokens in more iterations, reads some keys more often, and gives the same first token.
# - **C** computes the same tokens in more iterations, and gives a first token of somewhat lower quality,
#   since early chunks cannot see later ones.
# - **D** gives its first token after the first chunk, so that the user sees it sooner.

# %% nbgrader={"grade": false, "grade_id": "what_changes", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: what_changes
what_changes = None
### BEGIN SOLUTION
what_changes = "B"
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "what_changes_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: what_changes
checks.choice("what_changes", what_changes, "@sealed what_changes")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("02_chunked_prefill", "what_changes", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 7. The running example
#
# Now both sequences. Sequence 2 has its first token and wants three more, by the decode steps D₂₁, D₂₂, D₂₃.
# Sequence 1 has a prompt of 24 tokens. *Standard* runs it as one iteration, P₁. *Chunked* runs the chunks that your
# `split_into_chunks` makes, P₁₁ P₁₂ P₁₃, and in each of these iterations one decode step of sequence 2. The engine
# executes both plans; here its clock counts iterations. (The standard plan starts the prompt one iteration later, to
# show D₂₁ before the wait.)


# %%
# picture: the running example, in iterations
def standard_plans(prompt_length: int) -> list[dict[str, int]]:
    """One decode step of sequence 2, then the whole prompt of sequence 1 alone, then both decode."""
    return [{"2": 1}, {"1": prompt_length}, {"1": 1, "2": 1}, {"1": 1, "2": 1}]


def chunked_plans(prompt_length: int) -> list[dict[str, int]]:
    """Each iteration one of three chunks of sequence 1 and a decode step of sequence 2; then sequence 1 decodes."""
    chunks = split_into_chunks(prompt_length, math.ceil(prompt_length / 3))
    return [{"1": len(chunk), "2": 1} for chunk in chunks] + [{"1": 1}, {"1": 1}]


def play(make_plans, executor, prompt_length: int, vocab_size: int = 1024):
    """The trace of the running example under some plans, without the prologue that starts sequence 2."""
    requests = running_example(prompt_length, vocab_size=vocab_size)
    prologue = [{"2": requests[1].num_prompt_tokens}]
    config = SchedulerConfig(max_num_batched_tokens=2 * prompt_length)
    scheduler = PlannedScheduler(config, make_plans(prompt_length), prologue)
    trace = run(scheduler, requests, executor).after(len(prologue))
    return trace, {request.request_id: request.output_token_ids for request in requests}


simulated = {"standard": play(standard_plans, SimulatedExecutor(ONE_SECOND), 24)[0],
             "chunked": play(chunked_plans, SimulatedExecutor(ONE_SECOND), 24)[0]}
timeline(simulated, x="iterations", title="The running example, counted in iterations")

# %% [markdown]
# The hatched box is what the field calls a *generation stall*: sequence 2 has a token, could decode, and waits. Counted
# in iterations it is one box among four. Now the same plans on this device, with a prompt long enough to hurt.

# %%
# picture: the running example, in milliseconds
play(chunked_plans, ModelExecutor(timing_model), profile.long_prompt, profile.config.vocab_size)  # warm-up
measured = {}
for name, make_plans in [("standard", standard_plans), ("chunked", chunked_plans)]:
    measured[name], outputs = play(make_plans, ModelExecutor(timing_model), profile.long_prompt,
                                   profile.config.vocab_size)
    ends = [iteration.end for iteration in measured[name].iterations
            if any(work.request_id == "2" for work in iteration.work)]
    longest_gap = 1000 * max(later - earlier for earlier, later in zip(ends, ends[1:]))
    print(f"{name}: sequence 1 got {outputs['1']}, sequence 2 got {outputs['2']}, "
          f"its longest gap between two tokens: {longest_gap:.0f} ms")
timeline(measured, x="ms", title=f"The same plans on this device ({profile.name})")

# %% [markdown]
# Both runs give the same tokens. In the standard run sequence 2 gets nothing for the whole of P₁. In the chunked run
# every iteration gives it a token, but an iteration lasts as long as the chunk in it: its longest gap shrinks from a whole
# prompt to about a third of one, not to the length of a decode step. Its last token may even come later. Smaller chunks
# shrink the gap further, and cost more; that trade is notebook 06.
#
# Sequence 1 pays a little: its first token comes after three iterations, each with its fixed price, and the later chunks
# read the earlier keys again. The decode steps beside them add next to nothing. (One reading; it moves.)

# %% [markdown]
# ## Reflect
#
# A colleague proposes: "Let us sample a token after every chunk, then users see text while their prompt is still being
# read." In four to six sentences: what would these tokens be, why does the engine not sample them, and which two numbers
# does it compare to know that a chunk was the last one? Answer in the cell below (3 marks, read by a person).

# %% [markdown] nbgrader={"grade": true, "grade_id": "why_last_chunk", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# <!-- answer: why_last_chunk -->
# <!-- BEGIN SOLUTION -->
# **Sample answer.** The logits after a middle chunk predict the token that follows that chunk. This token is known
# already: it is the first token of the next chunk, so sampling it would at best repeat the prompt and at worst
# contradict it. Appending it to the output, or to the cache, would put a token between two parts of the prompt and
# shift all later positions. An output token depends on the whole prompt, so the first one can only come from the
# iteration that computes the prompt's last token. The engine sees this from two numbers: a token is sampled if and only
# if `num_computed_tokens` reaches `num_tokens`.
#
# **Rubric.** 1 point: a middle chunk's logits predict a prompt token that is already known. 1 point: why it must not be
# appended (the output depends on the whole prompt; positions, cache and answer would be wrong). 1 point: the condition
# `num_computed_tokens == num_tokens` (or "the chunk's end is the prompt's length").
# <!-- END SOLUTION -->

# %% [markdown]
# ## What you have shown
#
# - Chunking changes when tokens are computed, never which tokens come out: logits equal to rounding, a document
#   recited word for word.
# - It takes right positions, a mask that covers the cache, and sampling after the last chunk only.
# - It costs a fixed price an iteration and the re-reading of earlier keys; it buys iterations short enough for others
#   to run between.
#
# Next, in notebook 03: what should run in which iteration?
