# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # 09 Real engines
#
# *The same scheduler under other names.*
#
# | | |
# |---|---|
# | **You will be able to** | find this course's knobs in vLLM, SGLang, TensorRT-LLM and Hugging Face, serve text from a Llama checkpoint, and read a schedule in Perfetto |
# | **Time** | 45 minutes |
# | **Difficulty** | two stars of four |
# | **You need** | notebook 04: the token budget and the stall-free scheduler; notebook 05: decoder idle time; notebook 07: blocks, preemption |
# | **GPU** | not needed; with a GPU and vLLM installed, section 4 runs a real engine |
# | **Marks** | none: this notebook is optional, and its checks are for you |
#
# Two sequences share one server. Sequence 1 arrives with a long prompt. Sequence 2 is already generating.
# You have cut P₁ into P₁₁, P₁₂, P₁₃ and run D₂₂ beside P₁₂ on a model of your own course. Does any of it hold outside?
#
# The claim: **in a real engine it is the same few decisions, under other names and with other defaults.** One
# of the four engines, as it is delivered, cuts prompts into chunks and still lets decoders wait. You will see why.

# %% tags=["setup"]
# include: bootstrap

# %% tags=["setup"]
import base64
import gc
import importlib
import importlib.util
import inspect
import json
import os
import tempfile
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import torch
from IPython.display import HTML, display

from course_lib import checks
from course_lib.cost_model import CPU_DEFAULT, CostModel
from course_lib.device import choose_device
from course_lib.documents import DOCUMENTS, VOCABULARY
from course_lib.engine import ModelExecutor, SimulatedExecutor, run
from course_lib.model import ToyTransformer
from course_lib.perfetto import chrome_trace, save_chrome_trace
from course_lib.plots import timeline
from course_lib.recite import RECITING_CONFIG, reciting_weights
from course_lib.request import Request
from course_lib.scheduler import PrefillFirstScheduler, Scheduler, SchedulerConfig, SchedulerOutput
from course_lib.text_bar import tqdm
from course_lib.workload import running_example

profile = choose_device()  # a GPU if there is one; on a CPU it also keeps torch to one thread
work_folder = Path(tempfile.mkdtemp(prefix="real_engines_"))  # what this notebook writes goes here
print(f"running on {profile.name}; files go to {work_folder}")


def installed(package: str) -> bool:
    """Whether `package` can be imported here."""
    return importlib.util.find_spec(package) is not None


# %% tags=["given"]
# From notebook 04: your scheduler, here as the solution has it.
# include: 04_scheduler/StallFreeScheduler

# %% [markdown]
# ## 1. Four engines, one vocabulary
#
# First the words. *Iteration-level scheduling* (Orca's word) is *continuous batching* in vLLM and Hugging Face and
# *in-flight batching* in TensorRT-LLM, which also calls prefill the *context phase*, decode the *generation phase* and
# chunked prefill *chunked context*. SGLang calls a prefill chunk an *extend* and a preempted request *retracted*.
#
# Then the knobs, by their names in Python (on a command line `max_num_seqs` is `--max-num-seqs`), with the default in
# brackets where there is a fixed one:
#
# | here | vLLM 0.13 | SGLang |
# |---|---|---|
# | `max_num_batched_tokens`: decodes and chunks together | `max_num_batched_tokens` | `chunked_prefill_size` (by GPU memory, e.g. 8192): all chunks of a batch, and its decodes when mixed; `max_prefill_tokens` (16384) bounds prompts as well |
# | `enable_chunked_prefill` (off: a prompt runs whole) | `enable_chunked_prefill` (on) | `chunked_prefill_size` (on); -1 turns it off |
# | `long_prefill_token_threshold`: most tokens of one prompt in an iteration | `long_prefill_token_threshold` (0: no limit) | none |
# | hybrid batches | always | `enable_mixed_chunk` (**off**) |
# | who comes first | running requests, in admission order | prompts; decodes when no prompt can run |
# | `max_num_seqs` | `max_num_seqs` | `max_running_requests` |
# | `block_size` | `block_size` (16) | `page_size` (1) |
# | `num_kv_blocks` | `num_gpu_blocks_override` | `max_total_tokens`, in tokens |
#
# | here | TensorRT-LLM 1.x | transformers 5.23 |
# |---|---|---|
# | `max_num_batched_tokens` | `max_num_tokens` (8192) | `max_batch_tokens` |
# | `enable_chunked_prefill` | `enable_chunked_prefill` (off) | always on |
# | `long_prefill_token_threshold` | none; each chunk but the last is a multiple of the KV block | none |
# | hybrid batches | always | always |
# | who comes first | generation phase | `scheduler_type`: decodes (`"fifo"`, the default) or prompts (`"prefill_first"`) |
# | `max_num_seqs` | `max_batch_size` | `max_requests_per_batch` |
# | `block_size` | `tokens_per_block` (32) of `kv_cache_config` | `page_size` (256); before 5.17 `block_size` |
# | `num_kv_blocks` | `max_tokens` of `kv_cache_config`, in tokens | `num_blocks` |
#
# <details><summary>Where each column comes from</summary>
#
# - **vLLM**: its API documentation of version 0.13.0, `vllm.config.scheduler` (`SchedulerConfig`), and
#   `vllm.config.cache` (`CacheConfig`) of the stable version. The defaults of the budget and of `max_num_seqs` depend on
#   the GPU and on how the server is started.
# - **SGLang**: `docs/advanced_features/server_arguments.md` in its repository (commit 004813e), sections "Memory and
#   scheduling" and "Optimization/debug options"; which batch runs first: `get_next_batch_to_run` in
#   `srt/managers/scheduler.py`, "Run prefill first if possible"; what counts towards `chunked_prefill_size`:
#   `PrefillAdder` in `srt/managers/schedule_policy.py` (`rem_chunk_tokens`).
# - **TensorRT-LLM**: "Paged Attention, IFB, and Request Scheduling" in its documentation (`max_num_tokens`,
#   `max_batch_size`, chunked context, generation first), the API reference of `TorchLlmArgs`
#   (`enable_chunked_prefill`), and of `KvCacheConfig` in 1.3.0rc27 (`tokens_per_block`, `max_tokens`).
# - **Hugging Face**: the source of `transformers` 5.23.0, `ContinuousBatchingConfig` in
#   `generation/configuration_utils.py` and `generation/continuous_batching/scheduler.py`.
# </details>
#
# Such names change with versions (`block_size` did in `transformers`). So ask the engines that are installed here:

# %%
KNOBS = {  # engine: where its settings are defined, and the names in the table that are settings there
    "vllm": ("vllm.engine.arg_utils", "EngineArgs",
             ["max_num_batched_tokens", "enable_chunked_prefill", "long_prefill_token_threshold", "max_num_seqs",
              "block_size", "num_gpu_blocks_override"]),
    "sglang": ("sglang.srt.server_args", "ServerArgs",
               ["max_prefill_tokens", "chunked_prefill_size", "enable_mixed_chunk", "max_running_requests", "page_size",
                "max_total_tokens"]),
    "tensorrt_llm": ("tensorrt_llm.llmapi", "TorchLlmArgs",
                     ["max_num_tokens", "enable_chunked_prefill", "max_batch_size", "kv_cache_config"]),
    "transformers": ("transformers.generation.configuration_utils", "ContinuousBatchingConfig",
                     ["max_batch_tokens", "scheduler_type", "max_requests_per_batch", "page_size", "num_blocks"]),
}
for engine, (module, settings, names) in KNOBS.items():
    if not installed(engine):
        print(f"{engine:13} skipped: not installed here")
        continue
    try:
        known = inspect.signature(getattr(importlib.import_module(module), settings)).parameters
    except (ImportError, AttributeError, ValueError) as error:
        print(f"{engine:13} skipped: this version has no readable {settings} ({error})")
        continue
    missing = [name for name in names if name not in known]
    print(f"{engine:13} {settings} has " + (f"all {len(names)} names" if not missing else f"no {', '.join(missing)}"))

# %% [markdown]
# ### Try it: read a command line
#
# Six requests are decoding on a server that was started with
#
#     vllm serve MODEL --max-num-batched-tokens 512 --max-num-seqs 16 --long-prefill-token-threshold 256
#
# when a prompt of 2,000 tokens arrives. Nobody else comes, and the six go on decoding.
# **In how many iterations is the prompt computed?** Nothing is graded; the check tells you what you have read.
#
# <details><summary>Hint: a nudge</summary>
#
# Two limits hold for the prompt in each iteration. What is left of the first one after six decodes? Which is stricter?
# </details>
# <details><summary>Hint: the idea</summary>
#
# The last chunk may be shorter than the others, but it is an iteration too.
# </details>

# %% nbgrader={"grade": false, "grade_id": "prefill_iterations", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: prefill_iterations
prefill_iterations = None
### BEGIN SOLUTION
prefill_iterations = 8
### END SOLUTION

# %%
with checks.exercise("prefill_iterations") as check:
    check.written(prefill_iterations)
    check.true(not isinstance(prefill_iterations, str),
               f"prefill_iterations is {prefill_iterations!r}: type a number without quotes.")
    # The same command line in this course's names, run on a simulated clock.
    config = SchedulerConfig(max_num_batched_tokens=512, max_num_seqs=16, long_prefill_token_threshold=256)
    chats = [Request(f"chat {number}", [0] * 8, max_tokens=12) for number in range(1, 7)]
    document = Request("document", [0] * 2000, max_tokens=1, arrival_time=0.001)
    trace = run(StallFreeScheduler(config), [*chats, document], SimulatedExecutor(CPU_DEFAULT))
    chunks = [work.num_tokens for iteration in trace.iterations for work in iteration.work
              if work.request_id == "document"]
    check.equal(prefill_iterations, len(chunks), given="2,000 tokens; budget 512, 6 of it for decodes; threshold 256",
                wrong=[
        *[(answer, "That is the budget alone, 2,000 / (512 - 6). The threshold allows one prompt less than that.")
          for answer in (4, 3.95, 2000 / 506)],
        (9, "2,000 / 256 is 7.8: count again; the budget of 512 does not cut further, 506 are left of it."),
        (16, "Both limits together give one chunk an iteration, of the smaller size: min(512 - 6, 256) tokens."),
        (7, "7 chunks of 256 are 1,792 tokens: the rest needs an iteration of its own."),
        (7.8125, "The last chunk is shorter, but it takes a whole iteration of its own."),
        (1, "The prompt is longer than the budget, so it is cut."),
    ])
    print(f"chunks of the prompt: {chunks}")

# %% [markdown]
# ## 2. Chunked is not yet mixed
#
# Look at SGLang's column again. It cuts prompts, but a chunk and a decode share an iteration only with
# `enable_mixed_chunk`, and prompts come first. Here is that default as a policy of ours. Memory limits and much else
# are left out, as in `StallFreeScheduler`, and that SGLang puts several prompts into one chunk batch.


# %% tags=["given"]
class ChunksAloneScheduler(Scheduler):
    """Chunks as large as the budget, alone in their iteration; decodes only when no prompt is left to compute."""

    def schedule(self) -> SchedulerOutput:
        for request in self.running:
            if request.num_computed_tokens < request.num_prompt_tokens:
                return self._chunk(request)
        if self.waiting and len(self.running) < self.config.max_num_seqs:
            return self._chunk(self.admit())
        return SchedulerOutput({request.request_id: 1 for request in self.running})

    def _chunk(self, request: Request) -> SchedulerOutput:
        left = request.num_tokens - request.num_computed_tokens
        return SchedulerOutput({request.request_id: min(left, self.config.max_num_batched_tokens)})


# %% [markdown]
# In the running example, standard scheduling makes sequence 2 wait for 1 iteration, and hybrid batches for none.
# **For how many iterations does sequence 2 wait under this policy, if the prompt is cut into three chunks?**
# Guess before you run the picture.

# %% nbgrader={"grade": false, "grade_id": "guess_waits", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: guess_waits
guess_waits = None
### BEGIN SOLUTION
guess_waits = 0
### END SOLUTION

# %%
checks.predicted("guess_waits", guess_waits)


# %%
# picture: the running example under three defaults
def example(arrival_time: float = 1.0) -> list[Request]:
    """The running example: sequence 2 comes at 0 s, sequence 1 with its long prompt at `arrival_time` seconds."""
    requests = running_example()
    requests[0].arrival_time = arrival_time
    return requests


NUMBERS = {"1": 1, "2": 2}  # sequence 1 is request "1", though request "2" arrives first
policies = {  # a decode costs one token of the hybrid budget, so 9 leaves chunks of 8
    "standard (chunking off)": PrefillFirstScheduler(SchedulerConfig(max_num_batched_tokens=24)),
    "chunked, never mixed": ChunksAloneScheduler(SchedulerConfig(max_num_batched_tokens=8)),
    "hybrid": StallFreeScheduler(SchedulerConfig(max_num_batched_tokens=9)),
}
clock = SimulatedExecutor(CostModel(base=1, per_token=1 / 8))  # by hand: 1 s an iteration, and 1 s for 8 tokens
defaults = {name: run(scheduler, example(), clock) for name, scheduler in policies.items()}
waited = sum({work.request_id for work in iteration.work} == {"1"}
             for iteration in defaults["chunked, never mixed"].iterations)
print(f"Sequence 2 waits for {waited} iterations when chunks are never mixed with decodes. Your guess was {guess_waits}.")
timeline(defaults, x="s", numbers=NUMBERS, title="The running example under three defaults")

# %% [markdown]
# The three chunks follow each other, and so do the three waits: sequence 2 waits as long as for the whole prompt
# (1 + 24/8 = 4 s), plus the fixed price of two more iterations: 3 · (1 + 8/8) = 6 s. Chunks alone bound the *memory*
# that an iteration needs. To bound the *wait*, chunks have to be mixed with decodes, or at least to take turns with them.
# Sarathi-Serve measured the halves apart (Yi-34B, P99 TBT): hybrid batches without chunks 0.68 s, chunks without hybrid
# batches 0.17 s, both together 0.14 s (Agrawal et al., OSDI 2024).
#
# So with a server in front of you, ask two questions: *is the prompt cut?* and *what else is in the chunk's iteration?*

# %% [markdown]
# ## 3. Text from a Llama checkpoint
#
# A checkpoint in Hugging Face's format is a folder: `config.json` says the shape, `*.safetensors` hold the weights by
# name, `tokenizer.json` turns text into token ids. `ToyTransformer` has Llama's architecture and Hugging Face's names,
# so it loads such a folder as it is: one file or many shards, embedding tied or not, RoPE plain, `linear` or `llama3`.
# Another architecture is refused by its name.
#
# Have you a small Llama on disk (TinyLlama, SmolLM2, Llama 3.2 1B)? Put its folder here, or in the environment variable
# `LLAMA_FOLDER`. Otherwise the next cell writes a folder: the model that recites, in the format of a real one.

# %%
LLAMA_FOLDER = os.environ.get("LLAMA_FOLDER", "")


def write_checkpoint(folder: Path) -> None:
    """The reciting model as a Llama checkpoint."""
    from safetensors.torch import save_file

    shape = {name: value for name, value in vars(RECITING_CONFIG).items() if value is not None}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "dtype": "float32",
              "bos_token_id": None, "eos_token_id": None, **shape}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    save_file(reciting_weights(), folder / "model.safetensors", metadata={"format": "pt"})
    if installed("tokenizers"):
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        words = {word: token_id for token_id, word in enumerate(VOCABULARY.words)}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token=VOCABULARY.words[0]))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\w'-]+|[^\w\s]"), "removed", invert=True)
        tokenizer.decoder = decoders.WordPiece(cleanup=True)
        tokenizer.save(str(folder / "tokenizer.json"))


llama, tokenizer = None, VOCABULARY
if not installed("safetensors"):
    print("skipped: safetensors is not installed here (`pip install safetensors`), so no checkpoint can be read")
else:
    checkpoint = Path(LLAMA_FOLDER) if LLAMA_FOLDER else work_folder / "reciting_llama"
    if not LLAMA_FOLDER:
        write_checkpoint(checkpoint)
    llama = ToyTransformer.from_pretrained(checkpoint).to(profile.device)
    for path in sorted(checkpoint.iterdir()):
        print(f"{path.stat().st_size:>12,} bytes  {path.name}")
    print(llama.config)
    if installed("tokenizers") and (checkpoint / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    elif LLAMA_FOLDER:
        llama = None
        print("skipped: text needs the folder's tokenizer.json and `pip install tokenizers`")


def encode(text: str) -> list[int]:
    """Token ids, by the folder's tokenizer."""
    encoded = tokenizer.encode(text)
    return getattr(encoded, "ids", encoded)


# %% [markdown]
# Serve two requests with it: sequence 2 asks for a short text; 1 ms later, while its prompt is being computed, sequence 1
# arrives with a long one. The budget is set so that sequence 1's prompt takes three chunks beside sequence 2's decodes.

# %%
# picture: text from a checkpoint
ferry = ".".join(DOCUMENTS["ferry"].split(".")[:3]) + "."  # three sentences
texts = {"1": DOCUMENTS["kitchen"] + " One cook", "2": ferry + " Twelve seats"}


def text_requests() -> list[Request]:
    """Sequence 2 at 0 s, sequence 1 with the long prompt at 0.001 s."""
    return [Request("1", encode(texts["1"]), max_tokens=10, arrival_time=0.001),
            Request("2", encode(texts["2"]), max_tokens=16)]


served, answers = {}, {}
if llama is None:
    print("skipped: no checkpoint was loaded above; the pictures below show a simulation instead")
    served = {name: run(scheduler, example(0.001), SimulatedExecutor(CPU_DEFAULT)) for name, scheduler in
              [("standard", PrefillFirstScheduler(SchedulerConfig(24))), ("hybrid", StallFreeScheduler(SchedulerConfig(9)))]}
else:
    long_prompt = text_requests()[0].num_prompt_tokens
    config = SchedulerConfig(max_num_batched_tokens=-(-long_prompt // 3) + 1)
    run(StallFreeScheduler(config), text_requests(), ModelExecutor(llama))  # warm-up
    repeats = {"standard": [], "hybrid": []}
    for _ in tqdm(range(5), desc="serving"):
        # prefill-first takes a prompt whole, whatever the budget
        for name, policy in [("standard", PrefillFirstScheduler), ("hybrid", StallFreeScheduler)]:
            requests = text_requests()
            repeats[name].append(run(policy(config), requests, ModelExecutor(llama)))
            answers[name] = {request.request_id: request.output_token_ids for request in requests}
    for name, traces in repeats.items():  # the fastest of five is the one that other programs disturbed least
        served[name] = min(traces, key=lambda trace: trace.iterations[-1].end)
    for request_id in ["1", "2"]:
        print(f"sequence {request_id}: ...{texts[request_id][-40:]!r} -> "
              f"{tokenizer.decode(answers['hybrid'][request_id])!r}")
    print("same tokens under both policies:", answers["standard"] == answers["hybrid"])
timeline(served, x="ms", numbers=NUMBERS, title=f"Two texts from a checkpoint ({profile.name})")

# %% [markdown]
# Is this folder really a Llama to others? If `transformers` is installed, let it load the same folder and generate the
# same two answers, without a scheduler of ours and without chunks. (With a large half-precision checkpoint of your own,
# a token may differ late in the text: rounding decides where two tokens are equally likely.)

# %%
if llama is None or not installed("transformers"):
    print("skipped: this needs a checkpoint from above and `pip install transformers`")
else:
    from transformers import LlamaForCausalLM
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    reference = LlamaForCausalLM.from_pretrained(checkpoint, dtype=next(llama.parameters()).dtype).to(profile.device)
    for request in text_requests():
        prompt = torch.tensor([request.prompt_token_ids], device=profile.device)
        generated = reference.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, eos_token_id=None,
                                       max_new_tokens=request.max_tokens, pad_token_id=0)[0, prompt.shape[1]:].tolist()
        same = generated == answers["hybrid"][request.request_id][:len(generated)]
        print(f"sequence {request.request_id}: Hugging Face's Llama gives {'the same' if same else 'other'} tokens")

# %% [markdown]
# ## 4. vLLM, chunked and not
#
# Where vLLM and a GPU are present, this cell asks vLLM itself. It needs no download: a model of this device's size with
# random weights (`load_format="dummy"`). A chat is generating when a long prompt arrives; the cell notes when each
# of the chat's tokens comes out, with chunked prefill on (budget 512) and off (the budget takes the whole prompt).
# Elsewhere it says what it skipped.


# %%
def vllm_gaps(chunked: bool) -> list[float]:
    """Milliseconds between the tokens of a chat in vLLM, while a long prompt arrives."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the engine in this process: one step() is one iteration
    from vllm import LLM, SamplingParams

    folder, dtype = work_folder / "dummy_llama", str(profile.dtype).removeprefix("torch.")
    shape = {name: value for name, value in vars(profile.config).items() if value is not None}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "dtype": dtype, **shape}))
    longest = profile.long_prompt + 64
    llm = LLM(model=str(folder), load_format="dummy", skip_tokenizer_init=True, dtype=dtype, max_model_len=longest,
              enable_chunked_prefill=chunked, max_num_batched_tokens=512 if chunked else longest,
              enable_prefix_caching=False, async_scheduling=False, enforce_eager=True, gpu_memory_utilization=0.4)
    engine = llm.llm_engine

    def serve(run_name: str) -> list[float]:
        chat, times, document_sent = f"chat {run_name}", [], False
        engine.add_request(chat, {"prompt_token_ids": list(range(1, 17))},
                           SamplingParams(max_tokens=48, temperature=0.0, ignore_eos=True, detokenize=False))
        while engine.has_unfinished_requests():
            for output in engine.step():
                if output.request_id == chat:
                    times += [time.perf_counter()] * (len(output.outputs[0].token_ids) - len(times))
            if len(times) >= 8 and not document_sent:
                document = [1 + number % 1000 for number in range(profile.long_prompt)]
                engine.add_request(f"document {run_name}", {"prompt_token_ids": document},
                                   SamplingParams(max_tokens=4, temperature=0.0, ignore_eos=True, detokenize=False))
                document_sent = True
        return [1000 * (later - earlier) for earlier, later in pairwise(times)]

    serve("warm-up")
    gaps = serve("measured")
    del llm, engine
    gc.collect()
    torch.cuda.empty_cache()
    return gaps


missing = [what for what, there in [("vLLM", installed("vllm")), ("GPU", profile.device.type == "cuda")] if not there]
if missing:
    print(f"skipped: there is no {' and no '.join(missing)} here, so vLLM was not run with chunked prefill on and off")
else:
    for chunked in [False, True]:
        gaps = sorted(vllm_gaps(chunked))
        print(f"enable_chunked_prefill={chunked}: between the chat's tokens {gaps[len(gaps) // 2]:.1f} ms in the median, "
              f"{gaps[-1]:.1f} ms at most")

# %% [markdown]
# ## 5. A trace for Perfetto
#
# Engines are debugged on timelines, and the common format is Chrome's trace event format: a JSON list of *events* that
# https://ui.perfetto.dev draws, also for `torch.profiler` and vLLM's profiler. `course_lib.perfetto` writes this
# course's traces in it. An event is a dict; `ph` says what kind of event it is, `tid` which track it belongs to:
#
# | `ph` | what | here |
# |---|---|---|
# | `"X"` | takes time: from `ts` on, `dur` long, in microseconds | a prefill chunk, a decode step, an iteration |
# | `"i"` | an instant, at `ts` | a request arrives, or is preempted |
# | `"C"` | a counter's new value | `num_tokens` of the iteration |
# | `"M"` | a name | of a track |
#
# Tracks are numbered in order of arrival: track 1 is sequence 2, track 2 is sequence 1, track 0 the iterations.

# %%
exported = {name: chrome_trace(trace, NUMBERS)["traceEvents"] for name, trace in served.items()}
print("events by kind:", dict(Counter(event["ph"] for event in exported["hybrid"])))
for event in [event for event in exported["hybrid"] if event["name"] in ("P₁₂", "arrives")]:
    print(event)
links = []
for name, trace in served.items():
    path = work_folder / f"{name}.trace.json"
    save_chrome_trace(trace, path, NUMBERS)
    data = base64.b64encode(path.read_bytes()).decode()
    links.append(f'<a download="{path.name}" href="data:application/json;base64,{data}">{path.name}</a>')
display(HTML("Save these and drop them onto ui.perfetto.dev: " + ", ".join(links)))

# %% [markdown]
# In Perfetto, W and S zoom, A and D move, a click on a box shows its `args`. Everything stays in your browser.
#
# ### Try it: idle time from events
#
# Compute the decoder idle time of notebook 05 from exported events: for one track, the sum over consecutive output tokens
# of *start of the slice that gave the later one* minus *end of the slice that gave the earlier one*, in microseconds.
# A slice gave a token when `event["args"]["samples_token"]` is true. The events come in time order.
#
# <details><summary>Hint: a nudge</summary>
#
# Which events of the list belong to the request's work? The iterations have `ph` "X" too, but another `tid` and no
# `samples_token`; arrivals have none either, and no `args` at all. Where does a slice end?
# </details>
# <details><summary>Hint: the idea</summary>
#
# First a list of the slices that gave a token on this track. Then `pairwise(...)` walks over neighbours.
# </details>


# %% nbgrader={"grade": false, "grade_id": "idle_microseconds", "locked": false, "schema_version": 3, "solution": true, "task": false}
# exercise: idle_microseconds
def idle_microseconds(events: list[dict], track: int) -> float:
    """Decoder idle time of the request whose `tid` is `track`, in microseconds; 0 for fewer than two tokens."""
    ### BEGIN SOLUTION
    slices = [event for event in events
              if event["ph"] == "X" and event["tid"] == track and event["args"]["samples_token"]]
    return sum(later["ts"] - (earlier["ts"] + earlier["dur"]) for earlier, later in pairwise(slices))
    ### END SOLUTION


# %%
def slice_of(track: int, ts: float, dur: float, samples_token: bool) -> dict:
    """A hand-made event: a chunk or decode step on one track."""
    return {"name": "work", "ph": "X", "ts": ts, "dur": dur, "pid": 1, "tid": track,
            "args": {"samples_token": samples_token}}


with checks.exercise("idle_microseconds") as check:
    events = [
        {"name": "thread_name", "ph": "M", "ts": 0, "pid": 1, "tid": 1, "args": {"name": "request 1"}},
        {"name": "iteration 0", "ph": "X", "ts": 0, "dur": 10, "pid": 1, "tid": 0, "args": {"num_tokens": 4}},
        {"name": "num_tokens", "ph": "C", "ts": 0, "pid": 1, "tid": 0, "args": {"num_tokens": 4}},
        {"name": "arrives", "ph": "i", "s": "t", "ts": 0, "pid": 1, "tid": 1},
        slice_of(1, 0, 10, samples_token=False),   # a chunk amid the prompt
        slice_of(2, 10, 10, samples_token=True),
        slice_of(1, 30, 10, samples_token=True),   # the last chunk: the first token at 40
        slice_of(1, 45, 5, samples_token=True),    # 5 idle
        slice_of(1, 80, 5, samples_token=True),    # 30 idle
        slice_of(2, 85, 5, samples_token=True),
    ]
    given = "ten events by hand: on track 1 a chunk 0-10, the last chunk 30-40, decodes 45-50 and 80-85"
    check.equal(idle_microseconds(events, 1), 35, given=given + "; track=1", wrong=[
        (55, "The 20 µs between the two chunks lie before the first token: that waiting belongs to TTFT."),
        (50, "From start to start is the time between tokens (TBT). A slice ends at ts + dur; idle time starts there."),
        (45, "End to end, or slices of both tracks: the later slice's start minus the earlier one's end, on one `tid`."),
        (40, "The last start minus the first end counts the work in between as idle."),
        (65, "The earlier slice's end is its `ts` plus its `dur`: subtract both."),
        (-35, "The sign: the later start minus the earlier end."),
        (3.5e-05, "Microseconds, not seconds: `ts` and `dur` are in microseconds already."),
        ([5, 30], "Those are the single waits. Add them up."),
        (None, "The function gives nothing back: is there a `return` at its end?"),
    ])
    check.equal(idle_microseconds(events, 2), 65, given=given + ", on track 2 tokens at 10-20 and 85-90; track=2", wrong=[
        (0, "Track 2 has two slices, and other tracks' events stand between them in the list."),
    ])
    check.equal(idle_microseconds(events[:6], 1), 0, given="only the first six events, in which track 1 gives no token")

# %% [markdown]
# Now on the two runs of section 3, drawn with the idle times that you have read off the exported events:

# %%
# picture: what the checkpoint's two runs cost sequence 2
tracks = {request.request_id: order for order, request in enumerate(served["hybrid"].requests, start=1)}
idle_seconds = {name: {request_id: round(idle_microseconds(events, track)) / 1e6
                       for request_id, track in tracks.items()} for name, events in exported.items()}
timeline(served, x="ms", numbers=NUMBERS, idle_times=idle_seconds,
         title="Two texts from a checkpoint, idle time from the Perfetto export")

# %% [markdown]
# Sequence 2's idle time falls to zero, and the three decode steps beside the chunks each last as long as a chunk. That is
# the price, and idle time does not show it: report TBT with it (notebook 05).

# %% [markdown]
# ## What you have shown
#
# - Four engines, one vocabulary: a budget an iteration, a number of seats, a block size. Their defaults differ, and the
#   defaults decide whether D₂₂ runs beside P₁₂.
# - Cutting prompts is half of it. Chunks that never share an iteration with decodes make the same wait in more pieces.
# - The engine you know serves text from a Llama checkpoint, with the tokens that Hugging Face's own Llama gives
#   (if `transformers` was installed).
# - A schedule can leave the course: as a Chrome trace it opens in the tool that real engines are profiled with.
#
# **Where to go on.** Read vLLM's `vllm/v1/core/sched/scheduler.py` with your notebook 04 beside it: the loop over running
# requests, then the one over waiting requests, are there under the same names. nano-vllm has a whole engine in about
# 1,450 lines. And the Sarathi-Serve paper (OSDI 2024) tells where this course's ideas come from.
#
# This is the last notebook. The timeline that opened notebook 00 is the one you can now draw for your own schedules,
# and open in the tool that real engines are profiled with.
