"""Bad calls of the engine: model, cache, requests, schedulers, executors, traces."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from course_lib.engine import Execution, ModelExecutor, PlanError, SimulatedExecutor, run
from course_lib.kv_cache import KVCache
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.request import Request
from course_lib.rotary import RopeScaling
from course_lib.scheduler import PlannedScheduler, PrefillFirstScheduler, Scheduler, SchedulerConfig, SchedulerOutput
from course_lib.trace import Iteration, RequestInfo, Trace, Work
from tests.bad_input import (
    FLOATS,
    NEGATIVE,
    NOT_DICTS,
    NOT_FINITE,
    NOT_INTS,
    NOT_LISTS,
    NOT_NUMBERS,
    NOT_TEXTS,
    ODD,
    TEXTS,
    Bad,
    above,
    argument,
    below,
)

SMALL = ModelConfig(vocab_size=8, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                    intermediate_size=8, max_position_embeddings=16)
MODEL = ToyTransformer(SMALL)
CACHE = MODEL.new_cache(6)
CACHE.advance(2)
CONFIG = SchedulerConfig()
ODD_DEVICES = st.sampled_from(["gpu", "cuda:99", "", "cpu:x", torch.device("cuda:99"), 1.5, ["cpu"]])
ODD_DTYPES = st.sampled_from([torch.int64, torch.bool, torch.complex64, "float32", float, None])
TRACE = Trace((RequestInfo("a", 0.0, 4, 2),), (Iteration(0, 0.0, 1.0, 0.1, (Work("a", 0, 4, True),)),
                                               Iteration(1, 1.0, 2.0, 0.1, (Work("a", 4, 1, True),), ("b",))))


def sizes(function: Any, *names: str) -> list[Bad]:
    """Each of these arguments must be an int of at least 1."""
    return [argument(function, name, NOT_INTS, below(1)) for name in names]


def cache_state() -> tuple[int, torch.Tensor]:
    return CACHE.num_computed_tokens, CACHE.storage


def running() -> Scheduler:
    """A scheduler in which "a", four prompt tokens long, runs and "b" waits."""
    scheduler = Scheduler(CONFIG)
    scheduler.add_request(Request("a", [1, 2, 3, 4], 2))
    scheduler.add_request(Request("b", [1], 1))
    scheduler.admit()
    return scheduler


RUNNING = running()
REQUESTS = {request.request_id: request for request in [*RUNNING.running, *RUNNING.waiting]}
MODEL_EXECUTOR, SIMULATED = ModelExecutor(MODEL), SimulatedExecutor(lambda spans: 1.0)


def queues() -> Any:
    return RUNNING.running, RUNNING.waiting, MODEL_EXECUTOR.caches


def fresh_run(**changed: Any) -> Trace:
    arguments = {"scheduler": PrefillFirstScheduler(CONFIG), "requests": [Request("a", [1, 2], 2)],
                 "executor": SIMULATED}
    return run(**arguments | changed)


def planned(plan: Any) -> Trace:
    return fresh_run(scheduler=PlannedScheduler(CONFIG, [plan]))


class Lasting:
    """An executor whose iterations last `seconds`."""

    def __init__(self, seconds: Any) -> None:
        self.seconds = seconds

    def execute(self, output: SchedulerOutput, requests: Any) -> Execution:
        return Execution(dict.fromkeys(output.num_scheduled_tokens, 0), self.seconds)

    def release(self, request_id: str) -> None:
        pass


def saved(text: str | bytes, folder: Path) -> Path:
    path = folder / "trace.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    return path


# One value of a trace's JSON, replaced; places are drawn from all there are.
PLACES = [("requests",), ("requests", 0), ("iterations",), ("iterations", 1), ("iterations", 0, "work"),
          ("iterations", 0, "work", 0), *((("requests", 0, name)) for name in asdict(TRACE.requests[0])),
          *((("iterations", 0, name)) for name in ("index", "start", "end", "scheduling_seconds", "preempted")),
          *((("iterations", 1, "work", 0, name)) for name in TRACE.iterations[0].work[0]._asdict())]


def replaced(place: tuple, value: Any) -> str:
    data = json.loads(TRACE.to_json())
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return json.dumps(data)


BROKEN_TRACES = st.one_of(
    TEXTS, st.sampled_from(["[" * 100_000, "null", "[1]", "{}"]),
    # A value that no place takes: no text, number, list or dict.
    st.builds(replaced, st.sampled_from(PLACES), st.none() | NOT_FINITE | st.integers(max_value=-1)),
    st.integers(0, len(TRACE.to_json()) - 1).map(lambda end: TRACE.to_json()[:end]),
)


def bad_forward(chunks: Any) -> Any:
    return MODEL([SequenceChunk(token_ids, CACHE) for token_ids in chunks])


BAD_IDS = st.none() | TEXTS | st.floats() | st.complex_numbers() | above(7) | below(0)
POSITIONS, MASK = torch.arange(2, 4), torch.ones(2, 4, dtype=torch.bool)
WRONG_SHAPES = st.lists(st.integers(0, 3), max_size=3).filter(lambda shape: shape != [2]).map(torch.zeros)

BAD = {
    "layers.ModelConfig": [
        *sizes(ModelConfig, "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
               "num_key_value_heads", "intermediate_size", "max_position_embeddings"),
        *(argument(ModelConfig, name, NOT_NUMBERS, NOT_FINITE, NEGATIVE) for name in ("rope_theta", "rms_norm_eps")),
        argument(ModelConfig, "tie_word_embeddings", st.integers() | TEXTS | st.none()),
        argument(ModelConfig, "rope_scaling", ODD.filter(lambda value: value is not None), TEXTS, FLOATS),
    ],
    "rotary.RopeScaling": [
        argument(RopeScaling, "factor", NOT_NUMBERS, NOT_FINITE, NEGATIVE),
        Bad(lambda value: RopeScaling(8.0, low_freq_factor=value), st.floats(0.5, 4.0), ("factor alone, or all of",),
            shows=False),
        Bad(lambda value: RopeScaling(8.0, value, 1.0, 64), st.floats(1.0, 9.0), ("high_freq_factor must be more",),
            shows=False),
    ],
    "model.ToyTransformer": [
        argument(ToyTransformer, "config", ODD, TEXTS),
        argument(partial(ToyTransformer, SMALL), "seed", NOT_INTS, below(0), above(2**63 - 1)),
        Bad(lambda value: ToyTransformer(SMALL, device=value), ODD_DEVICES, ("choose_device(",), shows=False),
        argument(partial(ToyTransformer, SMALL), "dtype", ODD_DTYPES),
    ],
    "model.ToyTransformer.from_pretrained": [argument(ToyTransformer.from_pretrained, "folder", NOT_TEXTS)],
    "model.ToyTransformer.new_cache": sizes(MODEL.new_cache, "max_num_tokens"),
    "model.ToyTransformer.forward": [
        Bad(MODEL, NOT_LISTS | TEXTS, ("batch must be a list of SequenceChunks",)),
        Bad(MODEL, st.lists(ODD, min_size=1, max_size=2), ("batch must be a list of SequenceChunks",), shows=False),
        Bad(MODEL, st.just([]), ("the batch is empty", "at least one chunk"), shows=False),
        Bad(lambda value: MODEL([SequenceChunk([1], value)]), ODD | TEXTS, ("a chunk's cache must be a KVCache",)),
        Bad(lambda value: MODEL([SequenceChunk([value], CACHE)]), BAD_IDS, ("token id",), shows=False,
            state=cache_state),
        Bad(lambda value: MODEL([SequenceChunk(value, CACHE)]), NOT_LISTS | TEXTS, ("",), shows=False,
            state=cache_state, error=ValueError),
        Bad(lambda value: MODEL([SequenceChunk([1] * value, CACHE)]), st.integers(5, 20), ("do not fit", "new_cache"),
            state=cache_state),
        Bad(lambda value: MODEL([SequenceChunk([1], MODEL.new_cache(9))] + [SequenceChunk([value], CACHE)] * 2),
            st.integers(0, 7), ("twice in one batch",), shows=False, state=cache_state),
    ],
    "model.ToyTransformer.forward_chunk": [
        Bad(lambda value: MODEL.forward_chunk([1, 2], value, MASK, CACHE),
            NOT_LISTS | TEXTS | WRONG_SHAPES | st.just([torch.zeros(2), "x"]), ("positions must be 2 integers",),
            shows=False, state=cache_state),
        Bad(lambda value: MODEL.forward_chunk([1, 2], torch.tensor([2, value]), MASK, CACHE),
            st.integers(16, 99) | st.integers(-9, -1), ("positions must lie in 0..15",), state=cache_state),
        Bad(lambda value: MODEL.forward_chunk([1, 2], POSITIONS, value, CACHE),
            NOT_LISTS | TEXTS | WRONG_SHAPES | st.just(MASK[:, :0]) | st.just(torch.ones(2, 5, dtype=torch.bool)),
            ("mask must be bool of shape (2, kv_len)",), shows=False, state=cache_state),
        Bad(lambda value: MODEL.forward_chunk([1, 2], POSITIONS, MASK, value), ODD, ("cache",), shows=False),
        Bad(lambda value: MODEL.forward_chunk([value, 1], POSITIONS, MASK, CACHE), BAD_IDS, ("token id",), shows=False,
            state=cache_state),
    ],
    "kv_cache.KVCache": [
        *(argument(lambda name=name, **size: KVCache(**dict(num_layers=1, num_kv_heads=1, head_dim=2, max_num_tokens=4)
                                                     | size), name, NOT_INTS, below(1))
          for name in ("num_layers", "num_kv_heads", "head_dim", "max_num_tokens")),
        Bad(lambda value: KVCache(1, 1, 2, 4, device=value), ODD_DEVICES, ("choose_device(",), shows=False),
        argument(partial(KVCache, 1, 1, 2, 4), "dtype", ODD_DTYPES),
    ],
    **{f"kv_cache.KVCache.{name}": [
        Bad(getattr(CACHE, name), above(1) | TEXTS | FLOATS,
            ("layer must lie in 0..1",)),
        Bad(partial(getattr(CACHE, name), 0), above(6) | below(0) | TEXTS | NOT_FINITE, ("num_tokens in 0..6",)),
    ] for name in ("keys", "values")},
    "kv_cache.KVCache.check_room": [
        argument(CACHE.check_room, "num_tokens", NOT_INTS, below(0)),
        Bad(CACHE.check_room, above(4), ("do not fit", "holds 2 of 6")),
    ],
    "kv_cache.KVCache.views": [
        argument(CACHE.views, "num_tokens", NOT_INTS, below(0)),
        Bad(CACHE.views, above(4), ("do not fit", "holds 2 of 6")),
    ],
    "kv_cache.KVCache.advance": [
        argument(CACHE.advance, "num_tokens", NOT_INTS, below(0), state=cache_state),
        Bad(CACHE.advance, above(4), ("do not fit", "holds 2 of 6"), state=cache_state),
    ],
    "kv_cache.KVCache.write": [
        Bad(lambda value: CACHE.write(0, value, value), NOT_LISTS | TEXTS | st.sampled_from(
            [torch.zeros(3), torch.zeros(1, 2, 4), torch.zeros(1, 1, 3), torch.zeros(())]),
            ("keys and values must be tensors of shape (num_tokens, 1, 4)",), state=cache_state),
        Bad(lambda value: CACHE.write(value, torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)), above(1) | TEXTS,
            ("layer one of 0..1",), shows=False),
        Bad(lambda value: CACHE.write(0, torch.zeros(value, 1, 4), torch.zeros(value, 1, 4)), st.integers(5, 9),
            ("do not fit",), state=cache_state),
    ],
    "request.Request": [
        argument(lambda request_id: Request(request_id, [1], 1), "request_id", NOT_TEXTS),
        argument(lambda prompt_token_ids: Request("a", prompt_token_ids, 1), "prompt_token_ids", NOT_LISTS,
                 st.text(min_size=1, max_size=4)),
        Bad(lambda value: Request("a", [1, value], 1), NOT_INTS | below(0), ("prompt_token_ids of request 'a'[1]",)),
        Bad(lambda value: Request("a", value, 1), st.just([]) | st.just(()), ("empty prompt", "at least one token"),
            shows=False),
        argument(lambda max_tokens: Request("a", [1], max_tokens), "max_tokens", NOT_INTS, below(1)),
        argument(lambda arrival_time: Request("a", [1], 1, arrival_time), "arrival_time", NOT_NUMBERS, NOT_FINITE,
                 NEGATIVE),
    ],
    "request.Request.token_ids": [
        argument(lambda start: Request("a", [1, 2], 1).token_ids(start, 2), "start", NOT_INTS, above(2), below(0)),
        argument(lambda end: Request("a", [1, 2], 1).token_ids(1, end), "end", NOT_INTS, above(2), below(1)),
    ],
    "scheduler.SchedulerConfig": [
        *sizes(SchedulerConfig, "max_num_batched_tokens", "max_num_seqs", "block_size"),
        argument(SchedulerConfig, "enable_chunked_prefill", st.integers() | TEXTS | st.none()),
        argument(SchedulerConfig, "long_prefill_token_threshold", NOT_INTS, below(0)),
        argument(SchedulerConfig, "num_kv_blocks", NOT_INTS.filter(lambda value: value is not None), below(1)),
        Bad(lambda value: SchedulerConfig(value, 10), st.integers(1, 9), ("at least max_num_seqs",)),
    ],
    "scheduler.SchedulerOutput": [
        argument(SchedulerOutput, "num_scheduled_tokens", NOT_DICTS, TEXTS),
        argument(lambda preempted_req_ids: SchedulerOutput({}, preempted_req_ids), "preempted_req_ids", NOT_LISTS,
                 TEXTS),
    ],
    "scheduler.Scheduler": [argument(Scheduler, "config", ODD, TEXTS)],
    "scheduler.PrefillFirstScheduler": [argument(PrefillFirstScheduler, "config", ODD, TEXTS)],
    "scheduler.PlannedScheduler": [
        argument(partial(PlannedScheduler, CONFIG), "plans", NOT_LISTS, TEXTS),
        Bad(lambda value: PlannedScheduler(CONFIG, [{}, value]), NOT_DICTS, ("plans must be a list of dicts",)),
        argument(partial(PlannedScheduler, CONFIG, []), "prologue", NOT_LISTS, TEXTS),
    ],
    "scheduler.Scheduler.add_request": [
        argument(RUNNING.add_request, "request", ODD, TEXTS, state=queues),
        Bad(lambda value: RUNNING.add_request(Request(value, [1], 1)), st.sampled_from("ab"), ("is here already",),
            state=queues),
    ],
    "scheduler.Scheduler.update_from_output": [
        argument(lambda output: RUNNING.update_from_output(output, {}), "output", ODD, TEXTS, state=queues),
        argument(lambda sampled: RUNNING.update_from_output(SchedulerOutput({"a": 4}), sampled), "sampled", NOT_LISTS,
                 TEXTS, state=queues),
        Bad(lambda value: RUNNING.update_from_output(SchedulerOutput({"a": 4}), value),
            st.dictionaries(TEXTS, st.integers(0, 7), max_size=2), ("sampled has no token for 'a'",), shows=False,
            state=queues, error=KeyError),
    ],
    "engine.ModelExecutor": [argument(ModelExecutor, "model", ODD, TEXTS)],
    "engine.SimulatedExecutor": [argument(SimulatedExecutor, "seconds", TEXTS, FLOATS, st.none())],
    **{f"engine.{type(executor).__name__}.execute": [
        argument(lambda output, executor=executor: executor.execute(output, REQUESTS), "output", ODD, TEXTS,
                 state=queues),
        argument(lambda requests, executor=executor: executor.execute(SchedulerOutput({"a": 1}), requests), "requests",
                 NOT_LISTS, TEXTS, state=queues),
        Bad(lambda value, executor=executor: executor.execute(SchedulerOutput({"a": 1, value: 1}), REQUESTS),
            TEXTS, ("the plan names", "['a', 'b']"), error=KeyError, state=queues),
    ] for executor in (MODEL_EXECUTOR, SIMULATED)},
    "engine.run": [
        argument(lambda scheduler: fresh_run(scheduler=scheduler), "scheduler", ODD, TEXTS),
        argument(lambda requests: fresh_run(requests=requests), "requests", NOT_LISTS, TEXTS),
        Bad(lambda value: fresh_run(requests=[value]), ODD | TEXTS, ("requests must be a list of Requests",)),
        argument(lambda executor: fresh_run(executor=executor), "executor", ODD, TEXTS, st.just(MODEL)),
        Bad(lambda value: fresh_run(executor=Lasting(value)), NOT_NUMBERS | NOT_FINITE | NEGATIVE,
            ("the executor's seconds must be a number of at least 0",)),
        Bad(lambda value: planned({"a": value}), NOT_INTS | above(2) | below(1), ("int in 1..2",), shows=False,
            error=PlanError),
        Bad(lambda value: planned({value: 1}), TEXTS | st.integers() | st.none(), ("which is not running",),
            error=PlanError),
        Bad(lambda value: fresh_run(requests=[Request(value, [1], 1), Request(value, [2], 1)]), TEXTS,
            ("request ids must differ",)),
    ],
    "trace.Trace.after": [argument(TRACE.after, "num_iterations", NOT_INTS, below(0), above(1))],
    "trace.Trace.from_json": [
        Bad(Trace.from_json, BROKEN_TRACES | NOT_TEXTS, ("this is not a trace", "Trace.to_json"), shows=False,
            error=ValueError),
    ],
}
