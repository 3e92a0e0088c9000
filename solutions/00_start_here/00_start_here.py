# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # 00 Start here
#
# | | |
# |---|---|
# | **You will be able to** | run the notebooks, read the course's main picture, see a check fail and pass, hand work in |
# | **Time** | 10 minutes |
# | **Difficulty** | none |
# | **You need** | Python; what a transformer generates: one token after another |
# | **GPU** | not needed; used if there is one |
# | **Marks** | one practice point that does not count |
#
# Many people share a server that runs a language model. One of them pastes a long document. Everybody else's text
# stops in mid-sentence until the document has been read, although none of them did anything. This course is about
# the remedy that today's servers use, **chunked prefill**: the long prompt is cut into chunks, one an iteration, so that
# the others' next tokens are computed in the same iterations.
#
# You will build it yourself, on a transformer small enough to read, and measure what it buys and what it costs.
# Run this page from the top, cell by cell, with Shift+Enter.

# %% tags=["setup"]
# include: bootstrap

# %% [markdown]
# ## What there is, and how far you are
#
# Every check that passes is noted in a small file beside the notebooks. Come back to this table whenever you like: run
# the cell above and this one, and it tells which checks have passed.

# %%
from course_lib.progress import contents

contents()

# %% [markdown]
# ## Get ready

# %% tags=["setup"]
from course_lib import checks
from course_lib.cost_model import ONE_SECOND
from course_lib.device import choose_device
from course_lib.documents import DOCUMENTS, decode, prompt_for
from course_lib.engine import SimulatedExecutor, run
from course_lib.model import SequenceChunk
from course_lib.plots import timeline
from course_lib.recite import reciting_model
from course_lib.scheduler import PlannedScheduler, SchedulerConfig
from course_lib.workload import running_example

profile = choose_device()  # a GPU if there is one; on a CPU it also keeps torch to one thread
config = profile.config
print(f"Running on {profile.name}, with a model of {config.num_hidden_layers} layers of width {config.hidden_size}.")

# %% [markdown]
# ## The picture of the course
#
# Two sequences share one server. **Sequence 1** arrives with a long prompt. **Sequence 2** is already generating.
# One column is one *iteration*: one forward pass of the model over a batch.
#
# - Pᵢⱼ is the j-th *prefill* chunk of sequence i: a piece of its prompt being read.
# - Dᵢⱼ is the j-th *decode* step of sequence i: one new token.

# %%
standard = [{"2": 1}, {"1": 24}, {"1": 1, "2": 1}, {"1": 1, "2": 1}]  # tokens each sequence computes in each iteration
chunked = [{"1": 8, "2": 1}, {"1": 8, "2": 1}, {"1": 8, "2": 1}, {"1": 1}, {"1": 1}]
traces = {}
for name, plans in {"standard": standard, "chunked": chunked}.items():
    # A first iteration, not shown, reads sequence 2's own short prompt.
    scheduler = PlannedScheduler(SchedulerConfig(), plans, prologue=[{"2": 8}])
    traces[name] = run(scheduler, running_example(), SimulatedExecutor(ONE_SECOND)).after(1)
timeline(traces, title="Sequence 1 brings a long prompt, sequence 2 is generating")

# %% [markdown]
# In the upper half the whole prompt P₁ is one iteration, and sequence 2's next decode step D₂₂ waits for all of it.
# In the lower half the prompt is cut into P₁₁, P₁₂, P₁₃, and D₂₂ runs in the same iteration as P₁₂: sequence 2 gets a
# token in every iteration. (The standard plan starts the prompt one iteration later, to show D₂₁ before the wait.)
#
# An iteration that computes 24 tokens takes longer than one that computes 9 (8 of the prompt and 1 of sequence 2), so
# the hatched box is wider in milliseconds than it looks here. You will measure that in notebook 02.

# %% [markdown]
# ## An exercise, and its check
#
# Every exercise in this course has this form: a cell to fill in, then a cell that checks it. The check is yours to run
# as often as you like. An exercise that is not filled in yet stops with `NotImplementedError`; that is all it means.
#
# **In how many iterations does sequence 2 wait in the standard schedule?** Replace the line between the markers by
# `iterations_waited = 0`, run both cells and read what a failing check says. Then put in the right number.

# %% nbgrader={"grade": false, "grade_id": "iterations_waited", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: iterations_waited
iterations_waited = None
### BEGIN SOLUTION
iterations_waited = 1
### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "iterations_waited_check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# check: iterations_waited
with checks.exercise("iterations_waited") as check:
    check.written(iterations_waited)
    check.equal(iterations_waited, 1, given="sequence 2 in the standard schedule of the picture above", wrong=[
        (0, "You counted no wait; but in the hatched box sequence 2 has a token and is not run."),
        (3, "3 is how many decode steps sequence 2 gets; count the hatched boxes in its row."),
        (4, "4 is the number of iterations in all; count the hatched boxes in sequence 2's row."),
        (24, "24 is the length of the prompt in tokens; the question is about iterations, the columns."),
    ])
### BEGIN HIDDEN TESTS
from autograder.stock import grade
grade("00_start_here", "iterations_waited", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## The model you will work with
#
# The course's transformer has Llama's architecture. To make its work visible, one set of weights is written by hand so
# that it *recites*: given a document and the document's first two words, it continues word for word. If your code
# hands it a wrong position or a wrong mask, the text falls apart, and you see it.

# %%
model = reciting_model()
prompt = prompt_for(DOCUMENTS["lighthouse"])
cache = model.new_cache(len(prompt) + 40)
words = [int(model([SequenceChunk(prompt, cache)])[0].argmax())]  # prefill: the whole prompt in one iteration
while len(words) < 40:
    words.append(int(model([SequenceChunk(words[-1:], cache)])[0].argmax()))  # decode: one token an iteration
print("prompt ends: ...", decode(prompt[-8:]))
print("model says: ", decode(words))

# %% [markdown]
# ## How the course works
#
# **The notebooks.** 01 the KV cache, 02 chunked prefill, 03 interleaving, 04 the scheduler, 05 decoder idle time,
# 06 chunk size, 07 complexity and fairness, 08 case studies, 09 real engines. Each stands alone: it brings what it needs
# from earlier ones, and says what to know before. The table at the top of this page opens them, and shows which checks
# have passed. Within a notebook, JupyterLab lists the sections on the left (the icon with three lines).
#
# **Working.** Write between the markers, run the check below, read its message, try again. Hints are folded away under
# each exercise. Predictions count for being there. Written answers are read by a person.
#
# **Validating and handing in, in JupyterLab.** The *Validate* button above the notebook runs everything from the top and
# lists the checks that fail. If your instructor uses the *Assignment List* (menu *Nbgrader*), it fetches and submits;
# otherwise hand in the saved `.ipynb` file as you are told. Do not delete or copy graded cells: they are
# recognised by their ids.
#
# **In Colab.** The first cell installs `course_lib` without touching Colab's torch (or asks you to upload its wheel).
# When you are done: *File → Download → Download .ipynb*, and hand in that file. The Validate button does not exist there;
# the visible checks do.
#
# **Marks and feedback.** The grader runs hidden checks that cover the same ground as the visible ones, with other
# numbers. The feedback page shows each exercise's marks, what was expected and what came, and the likely cause.
#
# Next: notebook 01, the KV cache.
