"""Every public function, class and method of course_lib refuses bad input in our own words, and leaves all as it was.

The tables name each of them: one that is new and has no entry fails the first test.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import course_lib
from course_lib import checks, compare, dependencies, documents, orders, widgets
from course_lib.checkpoint import load_pretrained
from course_lib.cost_model import ONE_SECOND, CostModel, fit
from course_lib.engine import SimulatedExecutor, run
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.perfetto import chrome_trace
from course_lib.plots import chunk_bars, timeline
from course_lib.request import Request
from course_lib.scheduler import PrefillFirstScheduler, SchedulerConfig
from course_lib.short import show
from course_lib.trace import Trace
from course_lib.workload import conversation_workload, mixed_workload
from tests.bad_input import FLOATS, LISTS, ODD, TEXTS, Bad, check, surface
from tests.course_lib import bad_calls_of_the_engine, bad_calls_of_the_rest

BAD: dict[str, list[Bad]] = bad_calls_of_the_engine.BAD | bad_calls_of_the_rest.BAD
CASES = [pytest.param(bad, id=f"{name} {number}") for name, calls in BAD.items() for number, bad in enumerate(calls)]
FEW = settings(max_examples=15, deadline=None, derandomize=True, database=None,
               suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("bad", CASES)
@FEW
@given(data=st.data())
def test_bad_input_is_refused_in_our_own_words(bad: Bad, data: Any) -> None:
    check(bad, data.draw(bad.values, label="value"))


# What learners' answers reach: whatever an answer is, it gets a CheckFailed with a sentence, or is not written yet.
OPTIONS = checks.seal({"A": (True, "why"), "B": (False, "why not")})
STEPS = checks.seal({"boil -> brew": (True, "why")})
ANSWERS: dict[str, Callable[[Any], Any]] = {
    "checks.predicted": lambda answer: checks.predicted("guess", answer),
    "checks.choice": lambda answer: checks.choice("why", answer, OPTIONS),
    "dependencies.check_steps": lambda answer: dependencies.check_steps("tea", answer, STEPS),
    "checks.Check.call": lambda answer: checks.exercise("f").call(lambda: answer, expect=[{"a": 0.5}, "P11"]),
    "checks.Check.equal": lambda answer: checks.exercise("f").equal(answer, torch.ones(2), given="f()",
                                                                    wrong=[([1, 2], "Ones are wanted.")]),
    "checks.Check.true": lambda answer: checks.exercise("f").true(answer, "it does not hold"),
    "checks.Check.written": lambda answer: checks.exercise("f").written(answer),
    "checks.Check.raises": lambda answer: checks.exercise("f").raises(ValueError, lambda: answer),
    "checks.Check.call with a name that is no function": lambda answer: checks.exercise("f").call(answer, expect=1),
}


class Odd:
    """What a learner may return by mistake: nothing works on it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")

    def __repr__(self) -> str:
        raise RuntimeError("cannot be shown")

    __hash__ = None


ANY_ANSWER = st.one_of(ODD, TEXTS, LISTS, FLOATS, st.integers(), st.lists(ODD | TEXTS, max_size=3), st.builds(Odd),
                       st.lists(st.builds(Odd), max_size=2), st.dictionaries(TEXTS, ODD, max_size=2), st.sampled_from(
                           [10**5000, torch.zeros(2, device="meta"), torch.zeros(2).to_sparse(), torch.zeros(2, 3),
                            torch.complex(torch.ones(2), torch.ones(2)), numpy.zeros(2), numpy.array([[1, 2]]), Odd,
                            (number for number in range(3)), {1, 2}]))


@pytest.mark.parametrize("answer_to", ANSWERS.values(), ids=ANSWERS)
@FEW
@given(answer=ANY_ANSWER)
def test_no_answer_of_a_learner_breaks_a_check(answer_to: Callable[[Any], Any], answer: Any) -> None:
    try:
        answer_to(answer)
    except (checks.CheckFailed, NotImplementedError) as refusal:
        assert len(str(refusal)) > 10


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model in Hugging Face's format."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model = bad_calls_of_the_engine.MODEL
    (folder / "config.json").write_text(json.dumps(asdict(model.config) | {"model_type": "llama"}))
    save_file(dict(model.state_dict()), folder / "model.safetensors")
    return folder


def test_the_checkpoint_loads(checkpoint: Path) -> None:
    model = load_pretrained(checkpoint)
    assert model.config == bad_calls_of_the_engine.SMALL
    expected = bad_calls_of_the_engine.MODEL.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in model.state_dict().items())
    assert not any(weight.requires_grad for weight in model.parameters())
    chunk = [SequenceChunk([1, 2, 3], model.new_cache(3))]
    assert torch.equal(model(chunk), bad_calls_of_the_engine.MODEL([SequenceChunk([1, 2, 3], model.new_cache(3))]))


SETTINGS = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "intermediate_size", "max_position_embeddings", "rope_theta", "rms_norm_eps", "rope_scaling",
            "rope_parameters")


@FEW
@given(name=st.sampled_from(SETTINGS), value=st.one_of(TEXTS.filter(len), st.booleans().filter(bool), st.just([1]),
                                                       st.just({"rope_type": ["linear"]}), st.just({"type": "linear"}),
                                                       st.just({"type": "linear", "factor": "8"}), st.just(-1),
                                                       st.floats(max_value=-1, allow_nan=False)))
def test_a_setting_of_another_kind_is_named_with_its_file(checkpoint: Path, name: str, value: Any) -> None:
    with changed(checkpoint / "config.json") as path:
        path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
        with pytest.raises(ValueError, match=r"config\.json"):
            load_pretrained(checkpoint)


@FEW
@given(name=st.sampled_from(["config.json", "model.safetensors", "model.safetensors.index.json"]), data=st.data())
def test_a_broken_file_is_named(checkpoint: Path, name: str, data: Any) -> None:
    with changed(checkpoint / name) as path:
        whole = path.read_bytes() if path.exists() else b'{"weight_map": {"a": 5}}'
        cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
        path.write_bytes(data.draw(st.sampled_from([cut, b"\xff\xfe" + whole, b"[" * 100_000, b"null", b"{}"])))
        with pytest.raises((ValueError, FileNotFoundError), match=name.replace(".", r"\.")) as raised:
            load_pretrained(checkpoint)
        assert not isinstance(raised.value, UnicodeError)


@contextlib.contextmanager
def changed(path: Path) -> Iterator[Path]:
    """A file that becomes again what it was."""
    before = path.read_bytes() if path.exists() else None
    try:
        yield path
    finally:
        path.unlink()
        if before is not None:
            path.write_bytes(before)


ANYTHING: dict[str, Callable[[Any], Any]] = {
    "compare.differs": lambda value: compare.differs(1, value),
    "compare.is_list": compare.is_list,
    "short.show": show,
    "checks.explain": lambda value: checks.explain("f()", value, value, "another"),
    "checks.likely_misconception": lambda value: checks.likely_misconception(value, [(1, "one"), ([2], "two")]),
}


@pytest.mark.parametrize("function", ANYTHING.values(), ids=ANYTHING)
@FEW
@given(value=ANY_ANSWER)
def test_what_must_take_anything_does(function: Callable[[Any], Any], value: Any) -> None:
    assert function(value) is None or function(value) != ""


def test_true_is_not_one() -> None:
    for expected, got in ((1, True), (True, 1), (0, False), ([1], [True]), ({"a": 0}, {"a": False}), (1.0, True)):
        assert compare.differs(expected, got) is not None, (expected, got)
    assert compare.differs([True, 1, 1.0], [True, 1, 1]) is None


BELIEVED = {
    "validate": "refuses the arguments of others; its own are written in the library",
    "checks.Check": "takes a name that is only shown", "checks.exercise": "takes a name that is only shown",
    "rotary.RopeScaling.__call__": "called by rotary_table alone",
    "model_input": "refuses what the model is given: see the calls of ToyTransformer",
    "model.ToyTransformer.rotary_of": "takes positions that are checked already",
    "engine.ModelExecutor.release": "an unknown id holds nothing", "engine.SimulatedExecutor.release": "holds nothing",
    "text_bar.tqdm": "passes its arguments on to tqdm", "progress.record": "writes down what a check passes to it",
    "widgets.KeptAsText": "the base of the widgets",
    **dict.fromkeys(["device.DeviceProfile", "engine.Execution", "model.SequenceChunk", "orders.Unit", "plots.Picture",
                     "progress.Entry", "progress.Notebook", "progress.Contents", "recording.ForwardCall",
                     "trace.RequestInfo", "trace.Work", "trace.Iteration", "trace.Trace"],
                    "a record that the library fills; those who read it check it"),
}


def test_every_public_function_has_its_bad_calls() -> None:
    found = surface(course_lib)
    known = {*BAD, *ANSWERS, *ANYTHING, *BELIEVED}
    without = [name for name in found if name not in known and name.partition(".")[0] not in BELIEVED]
    assert not without, (
        f"add bad calls of {without} to BAD in tests/course_lib/bad_calls_of_*.py, or, where there are none, say why "
        "in BELIEVED; a function for the library itself gets an underscore, or its module an __all__"
    )
    gone = [name for name in known if name not in found and name.partition(" ")[0] not in {*found, *BELIEVED}]
    assert not gone, f"these are no longer public: {gone}"


def test_sizes_of_zero_and_one_are_legal_work() -> None:
    assert run(PrefillFirstScheduler(SchedulerConfig()), [], SimulatedExecutor(ONE_SECOND)) == Trace((), ())
    one = run(PrefillFirstScheduler(SchedulerConfig(1, 1)), [Request("a", [0], 1)], SimulatedExecutor(ONE_SECOND))
    assert [iteration.num_tokens for iteration in one.iterations] == [1]
    assert Trace.from_json(Trace((), ()).to_json()) == Trace((), ()) and Trace.from_json(one.to_json()) == one
    tiny = ToyTransformer(ModelConfig(1, 2, 1, 1, 1, 1, 1))
    assert tiny([SequenceChunk([0], tiny.new_cache(1))]).shape == (1, 1)
    assert tiny.new_cache(1).keys(0).shape == (1, 0, 2)
    assert fit([one]).base > 0 and CostModel(0.0, 0.0)([]) == 0.0
    assert conversation_workload(0) == mixed_workload(0, 0) == [] and len(conversation_workload(1)) == 1
    assert documents.Vocabulary([]).words == documents.encode("") == []
    assert documents.decode([]) == "" and documents.repeated_pairs([5]) == documents.repeated_pairs([]) == set()
    assert orders.read([]) == [] and orders.plans(["P11"], {"P11": 1}) == [{"1": 1}]
    assert chrome_trace(Trace((), ()))["traceEvents"] and timeline(one).rows and chunk_bars([1.0], [1.0]).rows
    assert widgets.ordering(["P11"]).order == ["P11"]
