# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # 01 The KV cache
#
# *Prefill, decode, and the order in which a KV cache is built.*
#
# | | |
# |---|---|
# | **You will be able to** | store keys and values layer by layer, say which token may attend to which, and put the steps of a prefill in order |
# | **Time** | 50 minutes |
# | **Difficulty** | two stars of four |
# | **You need** | notebook 00; attention with queries, keys and values, seen once before; tensor shapes and `torch.cat` |
# | **GPU** | useful for one measurement, not needed |
# | **Marks** | 8 automatic, 4 for a written answer |
#
# Two sequences share one server. Sequence 1 arrives with a long prompt, sequence 2 is already generating. An
# **iteration** is one pass through all layers of the model. For each sequence there are two kinds of work:
# **prefill** computes the prompt's tokens, many in one iteration; a **decode step** computes one new token.
#
# Notation: P₁ is sequence 1's prefill, P₁₁ P₁₂ P₁₃ are its chunks if it is cut into three, D₂₁ D₂₂ … are the decode
# steps of sequence 2. Later notebooks run both together; in this one sequence 1 has the server for itself.
#
# Between two iterations the server keeps, in every layer, the keys and values of a sequence's tokens. This is its
# **KV cache**. You will build one, and show that **a token computed against the cache comes out as if everything had
# been computed anew.**

# %% tags=["setup"]
# include: bootstrap

# %% tags=["setup"]
import math
import statistics
import time

import torch

from course_lib import checks
from course_lib.device import choose_device
from course_lib.dependencies import check_steps
from course_lib.documents import DOCUMENTS, decode, prompt_for
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.own_attention import forward_with
from course_lib.plots import cache_grid
from course_lib.recite import reciting_model
from course_lib.text_bar import tqdm
from course_lib.widgets import ordering

profile = choose_device()  # a GPU if there is one; on a CPU it also keeps torch to one thread
print(f"running on {profile.name}")

# %% [markdown]
# ## Predict first
#
# A model reads a prompt of 512 tokens (2,048 on a GPU) and generates 16 tokens. *Without* a cache, each new token takes a pass over the
# whole text so far. *With* a cache, it takes one pass over the prompt, then one token an iteration.
# **How many times faster is it with the cache?** Guess a number.
# It counts for being there (1 mark), not for being right; you will see it beside the measured figure.

# %% nbgrader={"grade": false, "grade_id": "guess_speedup", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: guess_speedup
guess_speedup = None
### BEGIN SOLUTION
guess_speedup = 12
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "guess_speedup_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: guess_speedup
checks.predicted("guess_speedup", guess_speedup)
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("01_kv_cache", "guess_speedup", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 1. A worked example: one token attends
#
# One layer, one head of size 2, three tokens. Token 2 compares its query with the keys of tokens 0, 1 and 2
# (its own included), turns the three scores into weights that sum to 1, and takes that mixture of the three values.

# %%
keys = torch.tensor([[1.0, 0.0],  # one row a token
                     [0.0, 1.0],
                     [1.0, 1.0]])
values = torch.tensor([[10.0, 0.0],
                       [0.0, 10.0],
                       [4.0, 4.0]])
query_of_token_2 = torch.tensor([2.0, 0.0])

scores = keys @ query_of_token_2 / math.sqrt(2)  # head_dim is 2
weights = scores.softmax(dim=0)
print("scores ", scores)
print("weights", weights)
print("output ", weights @ values)

# %% [markdown]
# Then token 3 comes. It brings a query, a key and a value of its own. Nothing of tokens 0 to 2 changes: no token
# looks ahead, so what was computed for them stays. Their *queries* are never needed again. Their keys and values are,
# so these two are kept, and token 3 adds a row to each:

# %%
keys = torch.cat([keys, torch.tensor([[0.0, 2.0]])], dim=0)
values = torch.cat([values, torch.tensor([[0.0, 2.0]])], dim=0)
query_of_token_3 = torch.tensor([0.0, 1.0])
weights = (keys @ query_of_token_3 / math.sqrt(2)).softmax(dim=0)
print("four keys, four weights:", weights)
print("output                 :", weights @ values)

# %% [markdown]
# Is it true in a whole model that earlier keys stay? The course's transformer, `model([SequenceChunk(tokens, cache)])`,
# computes the first four tokens of a text, and then, into another cache of its own, all ten. We compare the keys of the
# first four, layer by layer. (Layers count from 0. A model returns *logits*: one score for each word of the vocabulary;
# the largest is the next token. `[0]` takes those of the first sequence, here the only one; `one_shot` is for later.)

# %%
small_model = ToyTransformer(ModelConfig(vocab_size=64, hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
                                         num_key_value_heads=4, intermediate_size=128), seed=1)
ten_tokens = [11, 5, 42, 7, 19, 3, 60, 28, 33, 8]
after_four, after_ten = small_model.new_cache(10), small_model.new_cache(10)
small_model([SequenceChunk(ten_tokens[:4], after_four)])
one_shot = small_model([SequenceChunk(ten_tokens, after_ten)])[0]
for layer in range(4):
    difference = (after_four.keys(layer) - after_ten.keys(layer)[:, :4]).abs().max()
    print(f"layer {layer}: largest difference {difference:.0e}")

# %% [markdown]
# `0e+00`: not one bit differs; `1e-07` would be rounding.
#
# ## 2. Append to the cache
#
# Our cache is as small as can be: a list with one dict a layer. `cache[layer]["keys"]` has the shape
# `(num_heads, num_tokens, head_dim)`, position `p` of it belongs to token `p`; `"values"` likewise. An empty cache
# holds 0 tokens and grows. (Servers do not grow tensors, since every `torch.cat` copies. `course_lib` reserves the
# whole length at once, vLLM hands out blocks (Kwon et al. 2023, *PagedAttention*). What is stored is the same.)

# %% tags=["given"]
Cache = list[dict[str, torch.Tensor]]


def new_cache(num_layers: int, num_heads: int, head_dim: int) -> Cache:
    """An empty cache: in each layer, keys and values of shape (num_heads, 0, head_dim)."""
    return [{"keys": torch.empty(num_heads, 0, head_dim), "values": torch.empty(num_heads, 0, head_dim)}
            for _ in range(num_layers)]


# %% [markdown]
# An iteration brings the keys `k` and values `v` of its new tokens, each of shape `(num_heads, num_new, head_dim)`.
# `append_kv` puts them behind what this layer holds (1 mark). The first line is given.
#
# <details><summary>Hint: a nudge</summary>
#
# The worked example grew `keys` along its dimension 0, where its tokens were. Where are the tokens here?
# </details>
# <details><summary>Hint: the idea</summary>
#
# `torch.cat` makes a new tensor and leaves the old one as it is. Whoever looks into `cache[layer]` later must find the
# new one there. Keys and values are two tensors: both grow. (When torch says "Sizes of tensors must match except in
# dimension 0", you joined along dimension 0, and it is another one that grows.)
# </details>

# %% nbgrader={"grade": false, "grade_id": "append_kv", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: append_kv
def append_kv(cache: Cache, layer: int, k: torch.Tensor, v: torch.Tensor) -> None:
    """Puts the keys and values of new tokens, each (num_heads, num_new, head_dim), behind those that `layer` holds.

    Changes `cache`; the other layers stay as they are.
    """
    held = cache[layer]  # the dict of this layer, with "keys" and "values"
    ### BEGIN SOLUTION
    held["keys"] = torch.cat([held["keys"], k], dim=1)
    held["values"] = torch.cat([held["values"], v], dim=1)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "append_kv_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: append_kv
with checks.exercise("append_kv") as check:
    cache = new_cache(num_layers=2, num_heads=2, head_dim=2)
    k = torch.arange(20.0).view(2, 5, 2)  # 2 heads, 5 tokens
    v = k + 100
    append_kv(cache, 0, k[:, :3], v[:, :3])
    given = "append_kv(cache, layer=0, k and v of 3 tokens), layer 0's "
    check.equal(cache[0]["keys"], k[:, :3], given=given + "keys", wrong=[
        (k[:, :0], "The cache is as empty as before: the longer tensor has to be stored in cache[layer]."),
        (v[:, :3], "The keys hold the values."),
    ])
    append_kv(cache, 0, k[:, 3:], v[:, 3:])
    given = "append_kv with 3 tokens, then with 2 more, both in layer 0; layer 0's "
    check.equal(cache[0]["keys"], k, given=given + "keys", wrong=[
        (k[:, 3:], "The new keys have replaced the old ones; they belong behind them."),
        (torch.cat([k[:, 3:], k[:, :3]], dim=1), "The new tokens stand in front of the old ones."),
    ])
    check.equal(cache[0]["values"], v, given=given + "values", wrong=[
        (k, "The values hold the keys."),
        (v[:, :0], "Only the keys are stored; the values are missing."),
    ])
    given = "two calls for layer 0, then one for layer 1 with 2 tokens; layer 1's "
    append_kv(cache, 1, k[:, :2], v[:, :2])
    check.equal(cache[1]["keys"], k[:, :2], given=given + "keys", wrong=[
        (k[:, :0], "Layer 1 got nothing: the call said layer=1."),
        (torch.cat([k, k[:, :2]], dim=1), "Layer 1 also holds what was written to layer 0."),
    ])
    check.equal(cache[1]["values"], v[:, :2], given=given + "values", wrong=[
        (v[:, :0], "The values went to another layer: the call said layer=1."),
        (torch.cat([v, v[:, :2]], dim=1), "Layer 1 also holds what was written to layer 0."),
    ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("01_kv_cache", "append_kv", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Who may attend to whom
#
# Suppose the cache holds three tokens, positions 0, 1, 2. An iteration now computes two more, positions 3 and 4, and
# has just written their keys and values too. So there are 2 queries and 5 keys: `q_len = 2`, `kv_len = 5`.
#
# |  | 0 | 1 | 2 | 3 | 4 |
# |---|---|---|---|---|---|
# | **query at position 3** | yes | yes | yes | yes | no |
# | **query at position 4** | yes | yes | yes | yes | yes |
#
# Column `j` of the mask stands for position `j` of the cache. A token may attend to column `j` exactly when `j` is not
# larger than its own position: to everything before it and to itself. The mask is a rectangle, and its triangle sits in
# the lower right corner. The last row sees everything.
#
# In a standard prefill, the whole prompt in one iteration, `q_len = kv_len`: the mask is a square with a triangle. In a
# decode step `q_len = 1`. Your function makes all of them (2 marks).
#
# <details><summary>Hint: a nudge</summary>
#
# The queries are the *last* `q_len` of the `kv_len` tokens. At which position does row 0 stand, in the table above and
# in general?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Make the row of columns, `torch.arange(kv_len)`, and the positions of the queries. Each mask row compares all columns
# with one position. Shapes `(1, kv_len)` and `(q_len, 1)` compare in one go; a loop over the rows does as well.
# </details>

# %% nbgrader={"grade": false, "grade_id": "causal_mask", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: causal_mask
def causal_mask(q_len: int, kv_len: int) -> torch.Tensor:
    """The mask of `q_len` queries, the last of `kv_len` tokens: bool, (q_len, kv_len), True = may attend.

    The queries' own keys are among the kv_len, so kv_len < q_len is a ValueError.
    """
    ### BEGIN SOLUTION
    if kv_len < q_len:
        raise ValueError(f"kv_len must be at least q_len ({q_len}): it counts the queries' own tokens, got {kv_len}")
    positions = torch.arange(kv_len - q_len, kv_len)
    columns = torch.arange(kv_len)
    return columns[None, :] <= positions[:, None]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "causal_mask_check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# check: causal_mask
with checks.exercise("causal_mask") as check:
    two_by_five = torch.tensor([[1, 1, 1, 1, 0],
                                [1, 1, 1, 1, 1]], dtype=torch.bool)
    everything = torch.ones(2, 5, dtype=torch.bool)
    check.call(causal_mask, 2, 5, expect=two_by_five, wrong=[
        (everything.tril(), "The triangle starts in the top left corner; row 0 is the fourth of five tokens."),
        (everything[:, :2].tril(), "The mask is square: the queries cannot see what is in the cache."),
        (everything, "Nothing is hidden: the query at position 3 sees position 4, which follows it."),
        (everything.tril(2), "A token may attend to itself; here each is hidden from itself."),
        (~two_by_five, "True means may attend; this mask has True where attention is forbidden."),
        (everything.triu(3), "The comparison is turned round: these are the row's own position and what follows it."),
        (two_by_five.T, "Rows and columns are swapped: one row a query, one column a position of the cache."),
        (two_by_five.long(), "The mask must hold bools, True and False; these are numbers."),
        (torch.zeros(2, 5).masked_fill(~two_by_five, -math.inf), "The mask must hold bools, True and False; "
                                                                 "attend will turn them into scores."),
    ])
    check.call(causal_mask, 1, 4, expect=torch.ones(1, 4, dtype=torch.bool), wrong=[
        (torch.tensor([[True, False, False, False]]), "One query is the last of four tokens: it sees all of them."),
    ])
    check.call(causal_mask, 3, 3, expect=torch.ones(3, 3, dtype=torch.bool).tril())
    check.raises(ValueError, causal_mask, 3, 2)
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("01_kv_cache", "causal_mask", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 4. Attend
#
# Now the worked example for all heads and queries at once (1 mark). `q` is `(num_heads, q_len, head_dim)`, `k` and `v` are
# `(num_heads, kv_len, head_dim)`, `mask` is `(q_len, kv_len)` and the same for every head. The result has `q`'s shape.
#
# Scores are products of queries and keys, divided by √head_dim. A forbidden place must get the weight 0 and the allowed
# ones must still sum to 1 (Vaswani et al. 2017, *Attention Is All You Need*, section 3.2).
#
# <details><summary>Hint: a nudge</summary>
#
# Which shape do the scores have? Which of their dimensions has to sum to 1 after the softmax: heads, queries or keys?
# (`.T` on three dimensions turns all of them round; `k.transpose(1, 2)` swaps the last two.)
# </details>
# <details><summary>Hint: the idea</summary>
#
# The softmax gives weight 0 to one special score. Put it where the mask is False, before the softmax; afterwards it
# would be too late, since the others would no longer sum to 1. `scores.masked_fill(forbidden, value)` fills each place
# where the bool tensor `forbidden` is True, in every head.
# </details>

# %% nbgrader={"grade": false, "grade_id": "attend", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: attend
def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax attention: (num_heads, q_len, head_dim), the mixture of values that each query takes.

    q: (num_heads, q_len, head_dim). k, v: (num_heads, kv_len, head_dim). mask: bool (q_len, kv_len), True = may
    attend; every row has at least one True.
    """
    ### BEGIN SOLUTION
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    weights = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)
    return weights @ v
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "attend_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: attend
with checks.exercise("attend") as check:
    # One head of size 4, 2 queries, 3 keys. Every product of a query and a key is 0 or 4, so every score is 0 or 2.
    q = torch.tensor([[[0.0, 2, 2, 0], [2, 2, 0, 0]]])
    k = torch.tensor([[[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]])
    v = torch.tensor([[[100.0, 0, 0, 0], [0, 100, 0, 0], [0, 0, 100, 0]]])  # the output shows the weights in percent
    mask = torch.tensor([[True, True, False], [True, False, True]])
    e = math.exp(2)

    def percent(row_0, row_1):
        return torch.tensor([[[100 * part / sum(row) for part in row] + [0.0] for row in (row_0, row_1)]])

    given = "attend(q, k, v, mask), one head; query 0 may see keys 0 and 1, query 1 keys 0 and 2; weights in percent"
    got = attend(q, k, v, mask)
    check.true(not (isinstance(got, torch.Tensor) and got.isnan().any()),
               "Some of the output is nan. Usual causes: 0 × inf is nan (fill the forbidden places, do not multiply by "
               "infinity); +inf in place of -inf; the softmax runs over another dimension than the keys; or it is missing.")
    check.equal(got, percent((1, e, 0), (e, 0, 1)), tolerance=1e-4, given=given, wrong=[
        (percent((1, e**2, 0), (e**2, 0, 1)), "The scores are not divided by √head_dim."),
        (percent((1, math.e, 0), (math.e, 0, 1)), "The scores are divided by head_dim, not by its square root."),
        (percent((1, e**math.sqrt(2), 0), (e**math.sqrt(2), 0, 1)), "The scores are divided by √2. That was the worked "
         "example's head_dim; head_dim is q's last dimension, 4."),
        (percent((1, e, e), (e, e, 1)), "The mask is not used: query 0 sees key 2."),
        (percent((0, 0, 1), (0, 1, 0)), "True means may attend; here the allowed keys are hidden."),
        (percent((1, e, 1), (e, 1, 1)), "A forbidden score of 0 still gets some weight, since exp(0) is 1."),
        (percent((math.e, math.e**3, e), (math.e**3, e, math.e)), "Adding the mask only raises allowed scores by 1."),
        (torch.tensor([[[1, e, 0], [e, 0, 1]]]) / (1 + e), "These are the weights; mix the values with them."),
        (torch.tensor([[[0.0, 200, 0, 0], [200, 0, 0, 0]]]), "Scores are not weights: the softmax is missing."),
        (torch.tensor([[[0.0, 200, 200, 0], [200, 200, 0, 0]]]), "Scores are not weights: the softmax is missing."),
        (torch.tensor([[[1, e, 0, 0], [e, 0, 1, 0]]]) * 100 / torch.tensor([[[1 + 2 * e]]]),
         "The mask comes after the softmax: the weights no longer sum to 1. Mask the scores."),
        (torch.tensor([[[1 / (1 + e), 1, 0, 0], [e / (1 + e), 0, 1, 0]]]) * 100,
         "The softmax runs over the queries; each query's weights over the keys must sum to 1."),
    ])
    # The second head has other queries, keys and values, so that no head can stand in for another.
    two_heads = attend(torch.cat([q, -q]), torch.cat([k, k.flip(1)]), torch.cat([v, -v]), mask)
    first, second = percent((1, e, 0), (e, 0, 1)), percent((1, 1, 0), (e, 0, 1))
    check.equal(two_heads, torch.cat([first, -second]), tolerance=1e-4, wrong=[
        (torch.cat([first, second]), "Both heads take head 0's values; each head has its own."),
        (torch.cat([first, -percent((e, 1, 0), (1, 0, e))]), "Both heads use head 0's keys; each head has its own."),
    ], given="the same with a second head: its queries are -q, its keys are k's rows backwards, its values -v")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("01_kv_cache", "attend", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 5. One layer with a cache
#
# Put the three together. `cached_attention` is what one layer does in one iteration: it gets the queries, keys and
# values of the new tokens, keeps what later iterations need, and returns what the new tokens take from everything up
# to and including themselves (1 mark).
#
# <details><summary>Hint: a nudge</summary>
#
# The new tokens attend to themselves as well. What has to be in the cache before they attend? (A ValueError from your
# mask says that there are more queries than keys.)
# </details>
# <details><summary>Hint: the idea</summary>
#
# Three calls, one to each of your functions. The lengths for the mask stand in the shapes: of `q`, and of the keys
# that the layer holds by then.
# </details>

# %% nbgrader={"grade": false, "grade_id": "cached_attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: cached_attention
def cached_attention(cache: Cache, layer: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """One layer's attention in one iteration, against its cache; the new tokens are in the cache afterwards.

    q, k, v: (num_heads, num_new, head_dim), of the new tokens. Returns q's shape.
    """
    ### BEGIN SOLUTION
    append_kv(cache, layer, k, v)
    keys, values = cache[layer]["keys"], cache[layer]["values"]
    mask = causal_mask(q.shape[1], keys.shape[1])
    return attend(q, keys, values, mask)
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "cached_attention_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: cached_attention
with checks.exercise("cached_attention") as check:
    q, k, v = torch.randn(3, 2, 7, 4, generator=torch.Generator().manual_seed(2))  # 2 heads, 7 tokens
    square = torch.ones(7, 7, dtype=torch.bool).tril()
    whole = attend(q, k, v, square)  # all seven tokens at once, as in a standard prefill
    cache = new_cache(num_layers=2, num_heads=2, head_dim=4)
    for start, end in [(0, 4), (4, 6), (6, 7)]:
        new = slice(start, end)
        given = f"cached_attention(cache, layer=1, ...) for tokens {start}..{end - 1}, {start} tokens in the cache"
        got = cached_attention(cache, 1, q[:, new], k[:, new], v[:, new])
        held = [layer["keys"].shape[1] for layer in cache]
        check.equal(held, [0, end], given=given + ", tokens held in layers 0 and 1 afterwards", wrong=[
            ([0, start], "Nothing is kept for the next iteration."),
            ([0, end + end - start], "The new tokens are written twice."),
            ([end, 0], "The keys went to layer 0; the call said layer=1."),
        ])
        first_rows = attend(q[:, new], k[:, :end], v[:, :end], square[:end - start, :end])
        alone = attend(q[:, new], k[:, new], v[:, new], square[:end - start, :end - start])
        blind = attend(q[:, new], k[:, :end], v[:, :end], torch.ones(end - start, end, dtype=torch.bool))
        doubled = attend(q[:, new], torch.cat([k[:, :end], k[:, new]], dim=1), torch.cat([v[:, :end], v[:, new]], dim=1),
                         torch.ones(end - start, 2 * end - start, dtype=torch.bool).tril(end))
        mixed_keys = attend(q[:, new], k[:, :end], k[:, :end], square[new, :end])
        check.equal(got, whole[:, new], tolerance=1e-4, given=given + ", compared with all tokens at once", wrong=[
            (first_rows, "The mask is that of the first tokens: its triangle starts in the top left corner."),
            (alone, "The new tokens attend to each other alone; they should see what the cache holds, too."),
            (blind, "The new tokens see those that follow them in the same iteration."),
            (doubled, "The new tokens are in twice: append_kv has already put them into the cache."),
            (mixed_keys, "The keys are mixed instead of the values."),
        ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("01_kv_cache", "cached_attention", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## 6. A whole model on your cache
#
# `forward` below runs the course's transformer with your `cached_attention` in every layer. In outline:
#
# ```
# hidden = embed(token_ids)
# for layer in layers:
#     q, k, v = project(norm(hidden))          # q and k are rotated by their positions, from `start` on
#     hidden = hidden + output(cached_attention(cache, layer, q, k, v))
#     hidden = hidden + feed_forward(norm(hidden))
# logits = to_logits(norm(hidden of the last token))
# ```
#
# The same ten tokens: computed anew by the model's own attention, and on your cache in one iteration, in three chunks
# P₁₁ P₁₂ P₁₃, and one by one.

# %% tags=["given"]
def forward(model: ToyTransformer, token_ids: list[int], start: int, cache: Cache) -> torch.Tensor:
    """One iteration of one sequence with your attention: the logits after the last token, (vocab_size,).

    start: position of the first of `token_ids`, which is the number of tokens computed before.
    """
    return forward_with(lambda layer, q, k, v: cached_attention(cache, layer, q, k, v), model, token_ids, start)


def cache_for(model: ToyTransformer) -> Cache:
    """An empty cache with the model's number of layers and heads."""
    return new_cache(model.config.num_hidden_layers, model.config.num_attention_heads, model.config.head_dim)


# %%
for lengths in [[10], [4, 4, 2], [1] * 10]:
    cache, start = cache_for(small_model), 0
    for length in lengths:
        logits = forward(small_model, ten_tokens[start:start + length], start, cache)
        start += length
    print(f"iterations of {str(lengths):>30} tokens: largest difference from the logits computed anew "
          f"{(logits - one_shot).abs().max():.0e}")

# %% [markdown]
# The differences are rounding: additions happen in another order, so the last digits may differ.
#
# Now something to read. The weights of `reciting_model()` are written by hand so that the model recites a document:
# it looks for the last two words in its prompt and copies what followed. Its prompt is the document and the document's
# first two words. One iteration is the prefill P₁; then each decode step puts in the word that came out last. All it
# ever knows of the document is in your cache.

# %%
reciter = reciting_model()
prompt = prompt_for(DOCUMENTS["kitchen"])
cache = cache_for(reciter)
words = [int(forward(reciter, prompt, 0, cache).argmax())]  # P₁ gives the first token
for _ in range(29):  # D₁₁, D₁₂, ...
    words.append(int(forward(reciter, words[-1:], len(prompt) + len(words) - 1, cache).argmax()))
verdict = "word for word" if words == prompt[2:32] else "not the document"
print(f"{len(prompt)} tokens read, {len(words)} generated ({verdict}):\n  {decode(words)}")
print("tokens in the cache, by layer:", [layer["keys"].shape[1] for layer in cache])

# %% [markdown]
# Read the last line once more: the cache holds one token fewer than the text has. The word that came out last has not
# been computed yet; the next decode step would do that.
#
# ### What the cache saves
#
# Your guess, measured on this device with the course library's cache, which does not copy.

# %%
timing_model = profile.new_model()
NUM_PROMPT, NUM_NEW, REPEATS = profile.long_prompt // 4, 16, 3
long_prompt = torch.randint(profile.config.vocab_size, (NUM_PROMPT,), generator=torch.Generator().manual_seed(0)).tolist()


def generate(use_cache: bool) -> tuple[int, float]:
    """(tokens computed, seconds) of generating NUM_NEW tokens after the long prompt."""
    text, cache, num_computed = list(long_prompt), timing_model.new_cache(NUM_PROMPT + NUM_NEW), 0
    start = time.perf_counter()
    for _ in range(NUM_NEW):
        if not use_cache:
            cache = timing_model.new_cache(len(text))
        new_tokens = text[cache.num_computed_tokens:]
        text.append(timing_model([SequenceChunk(new_tokens, cache)])[0].argmax().item())  # item() waits for the device
        num_computed += len(new_tokens)
    return num_computed, time.perf_counter() - start


generate(use_cache=True)  # warm-up: the first passes on a device are slower
runs = {False: [], True: []}
for _ in tqdm(range(REPEATS), desc="measuring"):
    for use_cache in runs:  # interleaved, so that a noisy moment hits both
        runs[use_cache].append(generate(use_cache))
seconds = {use_cache: statistics.median(second for _, second in repeats) for use_cache, repeats in runs.items()}
for use_cache, name in [(False, "without a cache"), (True, "with a cache")]:
    print(f"{name:>15}: {runs[use_cache][0][0]:>5} tokens computed, {1000 * seconds[use_cache]:>7.0f} ms")
print(f"\nFewer tokens by a factor of {runs[False][0][0] / runs[True][0][0]:.1f}, "
      f"faster by a factor of {seconds[False] / seconds[True]:.1f}. Your guess was {guess_speedup}.")

# %% [markdown]
# Why are the two factors not the same? A pass over one token is far shorter than one over the whole text, but not in
# proportion: it still reads all of the model's weights, and all the cache. These are medians of three readings on one
# machine; run the cell again and they move.

# %% [markdown]
# ## 7. In which order is a cache built?
#
# A model has two layers, 0 and 1. A prompt comes in three chunks, and after them the first token of the answer.
# `STEPS` holds everything that might happen, sorted by the alphabet. **Two of these steps never happen.** Put the other
# 16 in an order in which each step finds what it needs. There is more than one right order. Of the 2 marks, half a mark
# each is for the right 16 steps, for the order inside a chunk, for the order from chunk to chunk, and for the first token.
#
# "attend in layer 0: cache + chunk 2" means that the tokens of chunk 2 attend to what layer 0's cache holds, with your
# mask, whose last row stands for the last token in the cache.

# %% tags=["given"]
STEPS = [
    "attend in layer 0: cache + chunk 1",
    "attend in layer 0: cache + chunk 2",
    "attend in layer 0: cache + chunk 3",
    "attend in layer 1: cache + chunk 1",
    "attend in layer 1: cache + chunk 2",
    "attend in layer 1: cache + chunk 3",
    "embed chunk 1",
    "embed chunk 2",
    "embed chunk 3",
    "recompute K/V of chunk 1",
    "sample a token from chunk 1's logits",
    "sample the first token from chunk 3's last logits",
    "write K/V of chunk 1, layer 0",
    "write K/V of chunk 1, layer 1",
    "write K/V of chunk 2, layer 0",
    "write K/V of chunk 2, layer 1",
    "write K/V of chunk 3, layer 0",
    "write K/V of chunk 3, layer 1",
]

# %% [markdown]
# Write a loop that makes the list, or copy the texts in line by line, or sort them here and paste what stands below the
# list. (Each step has its own buttons; Tab goes to the next button, the space bar presses it. *out / in* leaves a step
# out or puts it back.)

# %%
ordering(STEPS, "build_order", leave_out=True)

# %% [markdown]
# <details><summary>Hint: a nudge</summary>
#
# Follow chunk 1 alone, from its embedding to the last layer. In section 5, which came first within a layer?
# </details>
# <details><summary>Hint: the idea</summary>
#
# Three chunks do the same five things. Which of chunk 2's five needs something of chunk 1's, and what?
# </details>

# %% nbgrader={"grade": false, "grade_id": "build_order", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: build_order
build_order = None
### BEGIN SOLUTION
build_order = []
for chunk in (1, 2, 3):
    build_order.append(f"embed chunk {chunk}")
    for layer in (0, 1):
        build_order.append(f"write K/V of chunk {chunk}, layer {layer}")
        build_order.append(f"attend in layer {layer}: cache + chunk {chunk}")
build_order.append("sample the first token from chunk 3's last logits")
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "build_order_check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# check: build_order
check_steps("build_order", build_order, "@sealed build_order")
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("01_kv_cache", "build_order", globals())
### END HIDDEN TESTS

# %% [markdown]
# An engine takes the plainest of the right orders: chunk by chunk, and each chunk layer by layer, since one iteration
# carries its tokens through all layers. So sequence 2 can have its turn between two chunks of sequence 1.

# %% [markdown]
# ## 8. Take one layer away
#
# What if the cache of chunk 1 were lost in a single layer? Chunk 1 has 4 tokens, chunk 2 the other 6. After chunk 1 we
# empty one layer, then compute chunk 2, and compare with the undisturbed run: the logits, and the keys that chunk 2
# wrote in each layer.

# %%
def chunk_2_after_losing(lost_layer: int | None) -> tuple[torch.Tensor, Cache]:
    """Logits and cache after chunk 2, where `lost_layer` was emptied after chunk 1."""
    cache = cache_for(small_model)
    forward(small_model, ten_tokens[:4], 0, cache)
    if lost_layer is not None:
        cache[lost_layer] = cache_for(small_model)[lost_layer]
    return forward(small_model, ten_tokens[4:], 4, cache), cache


right_logits, right_cache = chunk_2_after_losing(None)
print(f"undisturbed: logits from {right_logits.min():.2f} to {right_logits.max():.2f}")
for lost_layer in range(len(right_cache)):
    logits, cache = chunk_2_after_losing(lost_layer)
    wrong_keys = [layer for layer, (held, right) in enumerate(zip(cache, right_cache))
                  if not torch.allclose(held["keys"][:, -6:], right["keys"][:, -6:], atol=1e-4)]
    print(f"layer {lost_layer} lost: logits off by {(logits - right_logits).abs().max():.2f}, "
          f"chunk 2's keys wrong in layers {wrong_keys}")

# %% [markdown]
# Compare these differences with the size of the logits, and with the rounding that section 6 printed. They are no
# rounding, but nothing crashes and the largest logit may even stay the largest. What a reader would notice depends on
# the layer. The reciting model looks for its place in layer 1, so we empty this one: chunk 1 is the first half of its
# prompt, and after it the keys and values of layer 1 alone are lost.

# %%
def recite_after_losing(lost_layer: int | None, num_words: int = 16) -> str:
    """What the reciting model says where `lost_layer` was emptied between the two halves of its prompt."""
    cache, half = cache_for(reciter), len(prompt) // 2
    forward(reciter, prompt[:half], 0, cache)
    if lost_layer is not None:
        cache[lost_layer] = cache_for(reciter)[lost_layer]
    words = [int(forward(reciter, prompt[half:], half, cache).argmax())]
    while len(words) < num_words:
        words.append(int(forward(reciter, words[-1:], len(prompt) + len(words) - 1, cache).argmax()))
    return decode(words)


print("undisturbed: ", recite_after_losing(None))
print("layer 1 lost:", recite_after_losing(1))

# %% [markdown]
# Fluent, and wrong: the text comes from the half of the document that layer 1 still holds.

# %% [markdown]
# ## Reflect
#
# A colleague wants to save memory: "The last layer's output goes into the logits, so let us keep the KV cache of the
# last layer only, and drop the others when chunk 1 is done." In four to six sentences: why does chunk 2 need chunk 1's
# keys and values in *every* layer, what goes wrong and where if one layer is missing, and what would the server have to
# compute to get the dropped ones back? Answer in the cell below (4 marks, read by a person).

# %% [markdown] nbgrader={"grade": true, "grade_id": "why_every_layer", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# <!-- answer: why_every_layer -->
# <!-- BEGIN SOLUTION -->
# **Sample answer.** In every layer the tokens of chunk 2 attend to all earlier positions, so in every layer they need
# the keys and values of chunk 1's tokens. Each layer makes its own keys and values, with its own weights, from the
# hidden states that the layer below gave; those of the last layer say nothing about the others. If layer 0 lacks
# chunk 1, chunk 2's tokens see only each other there. Their hidden states are wrong from this layer on, so are the keys
# and values they write in all layers above, and so are the logits; what they wrote stays wrong for all later chunks and
# decode steps. Nothing crashes. To get the dropped keys and values back, the server would have to run chunk 1
# from its embeddings through the layers again, which is just the work that the cache saves.
#
# **Rubric.** 1 point: attention happens in every layer, and each needs the earlier tokens' keys and values. 1 point:
# each layer's keys and values come from its own input and weights, and cannot be had from another layer's. 1 point: the
# consequence: hidden states wrong from the missing layer upwards, with the logits or the cache of later chunks. 1 point:
# getting them back means computing chunk 1 again from the embeddings through the layers.
# <!-- END SOLUTION -->

# %% [markdown]
# ## 9. The picture
#
# Your own run: ten tokens as P₁₁ P₁₂ P₁₃ with 4, 4 and 2 tokens (iterations 1 to 3), then the decode steps D₁₁ and D₁₂
# (iterations 4 and 5). After each iteration we look at how much longer each layer of your cache has become.

# %%
# picture: which iteration wrote which cell
cache, text = cache_for(small_model), list(ten_tokens)
written_in = [[] for _ in cache]  # written_in[layer][position] = iteration
for iteration, num_tokens in enumerate([4, 4, 2, 1, 1], start=1):
    start = len(written_in[0])
    logits = forward(small_model, text[start:start + num_tokens], start, cache)
    if start + num_tokens == len(text):  # all of the text is computed: a token comes out
        text.append(int(logits.argmax()))
    for held, cells in zip(cache, written_in):
        cells += [iteration] * (held["keys"].shape[1] - len(cells))
print(f"prompt of {len(ten_tokens)} tokens, then {text[len(ten_tokens):]}")
cache_grid(written_in, title="P₁₁ P₁₂ P₁₃, then D₁₁ D₁₂: your KV cache")

# %% [markdown]
# Each iteration fills its own positions in all layers, and no cell is written twice. Three tokens came out, from P₁₃,
# D₁₁ and D₁₂; two of them are in the cache, since nothing has computed the third yet.

# %% [markdown]
# ## What you have shown
#
# - Keys and values of earlier tokens never change, so they can be kept; a token computed against them comes out as if
#   everything had been computed anew.
# - New tokens are written first and attend then. The mask is a rectangle with its triangle in the lower right corner.
# - Every layer needs its own cache, and the first token comes from the prompt's last chunk.
#
# Next, in notebook 02: you cut the prompt yourself, and show that the answer stays the same, whatever the chunk size.
