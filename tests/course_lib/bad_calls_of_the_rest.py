"""Bad calls of what stands around the engine: documents, workloads, cost models, orders, pictures, widgets, checks."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from hypothesis import strategies as st

from course_lib import checks, documents, orders, plots, presets, recite, widgets, workload
from course_lib.checkpoint import load_pretrained
from course_lib.cost_model import CostModel, amounts, fit
from course_lib.device import choose_device
from course_lib.layers import ModelConfig
from course_lib.own_attention import forward_with
from course_lib.perfetto import chrome_trace, save_chrome_trace
from course_lib.progress import contents
from course_lib.recording import RecordingModel
from course_lib.trace import Iteration, RequestInfo, Trace
from tests.bad_input import (
    FLOATS,
    LISTS,
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
from tests.course_lib.bad_calls_of_the_engine import MASK, MODEL, POSITIONS, TRACE

NEVER = Trace((RequestInfo("a", 0.0, 1, 1),), (Iteration(0, 0.0, 0.0, 0.0, ()),))
ROW = SimpleNamespace(budget=8, throughput=1.0, p99_tbt=1.0, median_ttft=1.0, plan="p")
NO_TEXTS = st.lists(NOT_TEXTS, min_size=1, max_size=2)
ORDERING = widgets.ordering(["P11", "D21"])
SEEDS = (NOT_INTS, below(0), above(2**63 - 1))
BAD_SPANS = st.one_of(NOT_LISTS, TEXTS.filter(len), st.lists(st.one_of(
    st.integers(), TEXTS, st.tuples(below(0), st.integers(1, 3)), st.tuples(st.integers(0, 3), below(1)),
    st.tuples(st.none(), st.integers()), st.tuples(st.integers())), min_size=1, max_size=2))
SPANS_SAY = ("spans must be pairs (start_pos, num_tokens)",)
ODD_PAIRS = st.one_of(ODD, TEXTS, LISTS.filter(lambda pair: len(pair) != 2), st.tuples(below(1), st.integers()),
                      st.tuples(st.integers(5, 9), st.integers(1, 4)), st.tuples(st.floats(1, 2), st.integers(3, 4)))
WRONG_NUMBERS = st.one_of(NOT_LISTS, TEXTS, st.lists(st.one_of(NOT_NUMBERS, NOT_FINITE, NEGATIVE), min_size=1,
                                                     max_size=2))
UNREADABLE = st.one_of(ODD, FLOATS, TEXTS, st.lists(st.one_of(ODD, TEXTS, FLOATS), min_size=1, max_size=2)) \
    .filter(lambda value: value is not None)


def numbers_of(call: Any, *names: str, allows_zero: bool = False) -> list[Bad]:
    return [argument(call, name, NOT_NUMBERS, NOT_FINITE, NEGATIVE, *([] if allows_zero else [st.just(0.0)]))
            for name in names]


def fits(call: Any, config: Any) -> None:
    """Weights for a config that may have no room for the circuit: either it is refused, or they are all finite."""
    weights = call(config)
    values = weights.values() if isinstance(weights, dict) else [weights]
    assert all(value.isfinite().all() for value in values)
    raise ValueError(f"no room for the reciting circuit: it has room; {config}")


CONFIGS = st.builds(partial(ModelConfig, vocab_size=16), hidden_size=st.sampled_from([4, 8, 24]),
                    num_attention_heads=st.just(2), num_key_value_heads=st.sampled_from([1, 2]),
                    num_hidden_layers=st.integers(1, 2), max_position_embeddings=st.sampled_from([1, 8, 64]),
                    rope_theta=st.sampled_from([2.0, 1e4, 1e9]), intermediate_size=st.just(4))
WORKLOADS = {
    workload.conversation_workload: [("num_requests", "chats"), ("rate", "chats"), ("prompt_tokens", "chats"),
                                     ("output_tokens", "chats")],
    workload.mixed_workload: [("num_chats", "chats"), ("num_documents", "documents"), ("chat_rate", "chats"),
                              ("document_rate", "documents"), ("chat_prompt_tokens", "chats"),
                              ("document_output_tokens", "documents")],
}


def bad_setting(function: Any, name: str, kind: str) -> Bad:
    if name.endswith("_tokens"):
        values = [ODD_PAIRS]
    else:
        values = [NOT_NUMBERS, NOT_FINITE, NEGATIVE] if "rate" in name else [NOT_INTS, below(0)]
    return argument(function, name, *values, label=kind)


BAD = {
    "checkpoint.load_pretrained": [
        argument(load_pretrained, "folder", NOT_TEXTS),
        Bad(load_pretrained, st.sampled_from(["nowhere", Path("/nowhere")]), ("nowhere/config.json is not there",),
            shows=False, error=FileNotFoundError),
    ],
    "checks.seal": [
        argument(checks.seal, "options", NOT_DICTS, TEXTS),
        Bad(lambda value: checks.seal({"A": value}), ODD | TEXTS | LISTS | st.just(("yes", "why")),
            ("each option must be",)),
    ],
    "checks.unseal": [
        Bad(checks.unseal, NOT_TEXTS.filter(lambda value: not isinstance(value, bytes)) | TEXTS | st.just("VPaL"),
            ("the sealed options", "copy this cell anew")),
    ],
    "cost_model.CostModel": numbers_of(partial(CostModel, **{"base": 1.0, "per_token": 1.0}), "base", "per_token",
                                       "per_attention", "per_context", allows_zero=True),
    "cost_model.CostModel.__call__": [Bad(CostModel(1.0, 1.0), BAD_SPANS, SPANS_SAY)],
    "cost_model.amounts": [Bad(amounts, BAD_SPANS, SPANS_SAY)],
    "cost_model.fit": [
        argument(fit, "traces", NOT_LISTS, TEXTS, st.just(TRACE)),
        Bad(fit, st.lists(st.just(NEVER), max_size=2), ("no iteration that took time", "ModelExecutor"), shows=False),
    ],
    "device.choose_device": [
        argument(choose_device, "device", st.sampled_from(["gpu", "mps", "cpu:x", ""]), FLOATS, LISTS),
    ],
    "device.DeviceProfile.new_model": [
        Bad(lambda value: choose_device("cpu").new_model(value), st.one_of(*SEEDS), ("seed must be",)),
    ],
    "documents.Vocabulary": [
        Bad(documents.Vocabulary, NOT_LISTS | TEXTS | NO_TEXTS, ("texts must be a list of texts",), shows=False),
    ],
    **{f"documents.{name}": [
        argument(function, "text", NOT_TEXTS),
        Bad(function, st.sampled_from(["zebra", "One zebra ."]), ("no token id for 'zebra'",), shows=False),
    ] for name, function in (("encode", documents.encode), ("Vocabulary.encode", documents.VOCABULARY.encode))},
    **{f"documents.{name}": [
        Bad(function, NOT_LISTS | TEXTS | st.lists(TEXTS | FLOATS | st.none(), min_size=1, max_size=2),
            ("token_ids must be a list of ints",), shows=False),
    ] for name, function in (("decode", documents.decode), ("Vocabulary.decode", documents.VOCABULARY.decode))},
    "documents.repeated_pairs": [
        Bad(documents.repeated_pairs, NOT_LISTS | TEXTS | st.lists(NOT_INTS | below(0), min_size=1, max_size=2),
            ("token_ids", "must be"), shows=False),
    ],
    "documents.long_document": [
        argument(documents.long_document, "num_tokens", NOT_INTS, below(3), above(4000)),
        argument(partial(documents.long_document, 3), "seed", *SEEDS),
        argument(partial(documents.long_document, 3), "vocab_size", NOT_INTS, below(256)),
    ],
    "documents.prompt_for": [
        Bad(documents.prompt_for, NOT_LISTS | st.lists(NOT_INTS | below(0), min_size=3, max_size=3),
            ("document", "must be"), shows=False),
        Bad(documents.prompt_for, st.just("") | LISTS, ("at least 3 tokens",), shows=False),
    ],
    **{f"orders.{name}": [Bad(function, UNREADABLE, ("",), shows=False, error=orders.OrderError)]
       for name, function in (("unit", orders.unit), ("impossible", orders.impossible))},
    "orders.read": [
        Bad(orders.read, UNREADABLE, ("",), shows=False, error=orders.OrderError),
        argument(partial(orders.read, ["P11"]), "labels", NOT_LISTS.filter(lambda value: value is not None), TEXTS),
    ],
    "orders.judge": [
        Bad(lambda value: orders.judge(value, ["P11"]), UNREADABLE, ("",), shows=False, error=orders.OrderError),
        argument(partial(orders.judge, ["P11"]), "labels", NOT_LISTS, TEXTS),
        argument(partial(orders.judge, ["P11"], ["P11"]), "num_iterations", NOT_INTS.filter(lambda v: v is not None),
                 below(1)),
    ],
    "orders.plans": [
        argument(partial(orders.plans, ["P11"]), "num_tokens", NOT_DICTS, TEXTS),
        Bad(lambda value: orders.plans(["P11", value], {"P11": 4}), st.sampled_from(["P12", "P13"]), ("P1",),
            shows=False),
    ],
    "own_attention.forward_with": [
        argument(partial(forward_with, model=MODEL, token_ids=[1], start=0), "attention", TEXTS, FLOATS, st.none()),
        argument(partial(forward_with, lambda layer, q, k, v: q, token_ids=[1], start=0), "model", ODD, TEXTS),
        Bad(lambda value: forward_with(lambda layer, q, k, v: q, MODEL, value, 0),
            NOT_LISTS | TEXTS | st.lists(NOT_INTS | above(7) | below(0), min_size=1, max_size=2) | st.just([]),
            ("token_ids", "must be"), shows=False),
        argument(partial(forward_with, lambda layer, q, k, v: q, MODEL, [1]), "start", NOT_INTS, below(0), above(15)),
        Bad(lambda value: forward_with(lambda layer, q, k, v: value, MODEL, [1], 0),
            ODD | TEXTS | st.just(torch.zeros(2, 1, 4).double()), ("attention must return a tensor",), shows=False),
    ],
    "perfetto.chrome_trace": [
        argument(chrome_trace, "trace", ODD, TEXTS),
        Bad(lambda value: chrome_trace(Trace(TRACE.requests, TRACE.iterations[:1]), {"a": value}),
            NOT_INTS | below(0), ("numbers['a'] must be",)),
    ],
    "perfetto.save_chrome_trace": [
        Bad(lambda value: save_chrome_trace(value, "/nowhere/trace.json"), ODD | TEXTS, ("trace must be a Trace",)),
        Bad(lambda value: save_chrome_trace(Trace(TRACE.requests, ()), value), st.just("/nowhere/t.json"),
            ("/nowhere/t.json",), shows=False, error=OSError),
    ],
    **{f"trace.Trace.{name}": [Bad(function, st.just("/nowhere/t.json"), ("/nowhere/t.json",), shows=False,
                                   error=OSError)] for name, function in (("save", TRACE.save), ("load", Trace.load))},
    "plots.timeline": [
        argument(plots.timeline, "traces", NOT_LISTS, TEXTS, LISTS),
        Bad(lambda value: plots.timeline({"one": value}), ODD | TEXTS, ("traces['one'] must be a Trace",)),
        *(Bad(lambda value, option=option: plots.timeline(TRACE, **{option: {"a": value}}), values,
              (f"{option}['a'] must be",)) for option, values in (
            ("names", NOT_TEXTS), ("numbers", NOT_INTS | below(0)), ("first_decode", NOT_INTS | below(0)),
            ("idle_times", NOT_NUMBERS | NOT_FINITE | NEGATIVE))),
        argument(partial(plots.timeline, TRACE), "prologue", NOT_INTS, below(0), above(1)),
        argument(partial(plots.timeline, TRACE), "x", TEXTS, LISTS),
    ],
    "plots.chunk_bars": [
        Bad(lambda value: plots.chunk_bars(value, [1.0]), WRONG_NUMBERS | st.just([]), ("standard", "must be"),
            shows=False),
        Bad(lambda value: plots.chunk_bars([1.0], value), WRONG_NUMBERS | st.just([]), ("chunked", "must be"),
            shows=False),
        Bad(lambda value: plots.chunk_bars([1.0], [1.0], names=value), NOT_LISTS | st.just(("a", "a")) | NO_TEXTS,
            ("names must be",), shows=False),
    ],
    "plots.gap_distribution": [
        argument(plots.gap_distribution, "gaps", NOT_DICTS, TEXTS),
        Bad(lambda value: plots.gap_distribution({"a": value}), WRONG_NUMBERS, ("gaps['a']", "must be"), shows=False),
        Bad(lambda value: plots.gap_distribution({"a": [1.0]}, statistics={"a": value}),
            NOT_DICTS | st.fixed_dictionaries({"median": NOT_NUMBERS | NOT_FINITE, "p99": FLOATS, "max": FLOATS}),
            ("statistics['a']", "must be"), shows=False),
    ],
    "plots.cache_grid": [
        Bad(plots.cache_grid, NOT_LISTS | TEXTS | st.lists(NOT_LISTS | TEXTS, min_size=1, max_size=2)
            | st.lists(st.lists(TEXTS | FLOATS, min_size=1), min_size=1, max_size=2), ("written_in", "must"),
            shows=False),
    ],
    "plots.service_curves": [
        Bad(plots.service_curves, NOT_DICTS | TEXTS | st.dictionaries(TEXTS, NOT_DICTS, min_size=1, max_size=1),
            ("curves", "must be"), shows=False),
        Bad(lambda value: plots.service_curves({"p": {"a": value}}), NOT_LISTS | TEXTS.filter(len) | st.lists(
            NOT_LISTS | st.tuples(NOT_NUMBERS, FLOATS) | st.tuples(st.just(1.0)), min_size=1, max_size=2),
            ("curves['p']['a']", "must be"), shows=False),
    ],
    "plots.trade_off": [
        Bad(plots.trade_off, NOT_LISTS | st.lists(ODD | TEXTS, min_size=1, max_size=2), ("rows", "must be"),
            shows=False),
        Bad(lambda value: plots.trade_off([SimpleNamespace(budget=8, throughput=value, p99_tbt=1.0)]),
            NOT_NUMBERS | NOT_FINITE, ("throughput of rows[0] must be a number",)),
        argument(partial(plots.trade_off, [ROW]), "slo", NOT_NUMBERS.filter(lambda v: v is not None), NEGATIVE,
                 NOT_FINITE),
    ],
    "plots.decision_dashboard": [
        Bad(lambda value: plots.decision_dashboard({"c": value}, {"c": ROW}, chosen={"c": "p"}, today={"c": "p"}),
            st.lists(ODD | TEXTS, min_size=1, max_size=2) | st.just([]), ("outcomes",), shows=False),
        *(Bad(lambda value, name=name: plots.decision_dashboard(
            **{"outcomes": {"c": [ROW]}, "slos": {"c": ROW}, "chosen": {"c": "p"}, "today": {"c": "p"}, name: value}),
            NOT_DICTS | TEXTS, (f"{name} must be a dict",)) for name in ("outcomes", "slos", "chosen", "today")),
    ],
    "plots.Picture.save": [
        Bad(lambda value: plots.cache_grid([[0]]).save(value), st.just("/nowhere/p.png"), ("/nowhere/p.png",),
            shows=False, error=OSError),
    ],
    "presets.RooflineModel": [
        *numbers_of(partial(presets.RooflineModel, **{"base": 1.0, "read_weights": 1.0, "per_token": 1.0}), "base",
                    "read_weights", "per_attention", "per_context", "per_decode", allows_zero=True),
        *numbers_of(partial(presets.RooflineModel, 1.0, 1.0), "per_token"),
    ],
    "presets.RooflineModel.__call__": [
        Bad(presets.YI_34B, BAD_SPANS, SPANS_SAY),
    ],
    "presets.Measurement": [
        argument(partial(presets.Measurement, "m", ()), "seconds", NOT_NUMBERS, NOT_FINITE, NEGATIVE, st.just(0.0)),
        argument(partial(presets.Measurement, "m", seconds=1.0), "iterations", NOT_LISTS),
    ],
    "presets.predicted_seconds": [
        argument(partial(presets.predicted_seconds, measurement=presets.YI_34B_MEASUREMENTS[0]), "model", ODD, TEXTS),
        argument(partial(presets.predicted_seconds, presets.YI_34B), "measurement", ODD, TEXTS),
    ],
    "presets.residuals": [
        argument(presets.residuals, "model", ODD, TEXTS),
        argument(presets.residuals, "measurements", NOT_LISTS, TEXTS),
    ],
    "presets.published_workload": [
        Bad(lambda value: presets.published_workload(value, 1, 1.0), NOT_LISTS | LISTS | st.just(((9, 8), (1, 2), 99))
            | st.just(((9, 10), (1, 2), 5)), ("lengths must be like OPENCHAT_SHAREGPT4",)),
        argument(partial(presets.published_workload, ((9, 10), (1, 2), 99), rate=1.0), "num_requests", NOT_INTS,
                 below(0)),
        argument(partial(presets.published_workload, ((9, 10), (1, 2), 99), 1), "rate", NOT_NUMBERS, NOT_FINITE,
                 NEGATIVE),
        argument(partial(presets.published_workload, ((9, 10), (1, 2), 99), 1, 1.0), "seed", *SEEDS),
    ],
    "progress.contents": [
        argument(contents, "folder", FLOATS, LISTS, st.booleans()),
        Bad(contents, st.just("/nowhere"), ("there is no folder /nowhere",), shows=False, error=FileNotFoundError),
    ],
    **{f"recite.{function.__name__}": [
        argument(function, "config", ODD, TEXTS),
        Bad(partial(fits, function), CONFIGS, ("no room for the reciting circuit",), shows=False),
        argument(partial(function, recite.RECITING_CONFIG), "seed", *SEEDS),
    ] for function in (recite.word_codes, recite.reciting_weights)},
    "recite.reciting_model": [argument(recite.reciting_model, "config", ODD, TEXTS)],
    "recording.RecordingModel": [argument(RecordingModel, "model", ODD, TEXTS)],
    "recording.RecordingModel.new_cache": [
        argument(RecordingModel(MODEL).new_cache, "max_num_tokens", NOT_INTS, below(1)),
    ],
    "recording.RecordingModel.forward_chunk": [
        argument(partial(RecordingModel(MODEL).forward_chunk, [1, 2], POSITIONS, MASK), "cache", ODD, TEXTS),
    ],
    **{f"widgets.{name}": [
        argument(partial(function, **rest), "labels", NOT_LISTS, TEXTS),
        Bad(partial(function, **rest), NO_TEXTS | st.just([]) | st.just(["P11", "P11"]), ("labels must be",),
            shows=False),
    ] for name, function, rest in (
        ("ordering", widgets.ordering, {}),
        ("Ordering", widgets.Ordering, {"name": "order", "leave_out": False, "share_iterations": False}))},
    "widgets.Ordering.press": [
        Bad(lambda value: ORDERING.press(value, "up"), TEXTS, ("label must be one of ['P11', 'D21']",),
            state=lambda: ORDERING.order),
        Bad(lambda value: ORDERING.press("P11", value), TEXTS, ("action one of ['up', 'down']",),
            state=lambda: ORDERING.order),
    ],
    **{f"widgets.{function.__name__}": [
        Bad(lambda value, function=function: function(value, plots.trade_off),
            NOT_LISTS | st.lists(ODD | TEXTS, min_size=1, max_size=2) | st.just([]), ("rows",), shows=False),
        argument(partial(function, [ROW]), "picture", TEXTS, FLOATS, st.none()),
    ] for function in (widgets.explorer, widgets.Explorer)},
    "workload.running_example": [
        *(argument(workload.running_example, name, NOT_INTS, below(1))
          for name in ("prompt_1", "prompt_2", "vocab_size")),
        argument(workload.running_example, "seed", *SEEDS),
    ],
    **{f"workload.{function.__name__}": [
        *(bad_setting(function, name, kind) for name, kind in names),
        argument(function, "vocab_size", NOT_INTS, below(1)), argument(function, "seed", *SEEDS),
    ] for function, names in WORKLOADS.items()},
}
