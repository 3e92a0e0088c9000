"""What a failed check says, what counts as equal, and what happens under the grader."""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from course_lib import checks
from course_lib.checks import CheckFailed, differs, show
from course_lib.model import ModelConfig, ToyTransformer


@pytest.fixture(autouse=True)
def outside_the_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setattr(checks, "passed", set())


def split(num_tokens: int, chunk_size: int) -> list[range]:
    """A learner's answer: the last chunk is lost."""
    return [range(start, start + chunk_size) for start in range(0, num_tokens - chunk_size + 1, chunk_size)]


EXPECTED = [range(0, 4), range(4, 8), range(8, 10)]
TAIL_LOST = ([[0, 1, 2, 3], [4, 5, 6, 7]], "The last, shorter chunk is missing.")


def test_a_failure_names_input_expected_got_first_difference_and_misconception() -> None:
    with pytest.raises(CheckFailed) as raised, checks.exercise("split") as check:
        check.call(split, 10, 4, expect=EXPECTED, wrong=[([], "Nothing is cut."), TAIL_LOST])
    assert str(raised.value).splitlines() == [
        "Input:            split(10, 4)",
        "Expected:         [range(0, 4), range(4, 8), range(8, 10)]",
        "Got:              [range(0, 4), range(4, 8)]",
        "First difference: expected 3 items, got 2",
        "Likely cause:     The last, shorter chunk is missing.",
    ]


def test_without_a_known_misconception_no_cause_is_claimed() -> None:
    with pytest.raises(CheckFailed) as raised, checks.exercise("split") as check:
        check.call(split, 10, 4, expect=EXPECTED, wrong=[([], "Nothing is cut.")], given="a prompt of 10 tokens")
    lines = str(raised.value).splitlines()
    assert lines[0] == "Input:            a prompt of 10 tokens"
    assert len(lines) == 4


def test_a_forgotten_return_is_recognised() -> None:
    with pytest.raises(CheckFailed, match=r"Got: +None\n(.*\n)*Likely cause: .*is there a `return`"):
        checks.exercise("f").call(lambda: None, expect=[1])


def test_an_iterator_where_a_list_was_asked_is_recognised() -> None:
    with pytest.raises(CheckFailed, match=r"Likely cause: .*make a list of it"):
        checks.exercise("f").call(lambda: (one for one in [1]), expect=[1])


def test_rounding_in_the_last_digits_is_not_shown() -> None:
    assert show([0.1 + 0.2, 1 / 3, 1e-12, float("inf")]) == "[0.3, 0.3333333333, 1e-12, inf]"


def test_none_is_a_forgotten_return_unless_a_variable_is_checked() -> None:
    check = checks.exercise("f")
    with pytest.raises(CheckFailed, match="is there a `return`"):
        check.equal(None, 1, given="f()")
    with pytest.raises(CheckFailed, match="None is what I asked about"):
        check.equal(None, 1, given="f()", wrong=[(None, "None is what I asked about.")])
    check.written({"a": None})
    with pytest.raises(CheckFailed) as raised:
        check.equal(None, 1, given="answers['a']")
    assert "return" not in str(raised.value)


def test_the_input_is_shown_as_it_was_before_the_call() -> None:
    def clear(items: list[int]) -> int:
        items.clear()
        return 0

    with pytest.raises(CheckFailed, match=r"clear\(\[1, 2, 3\]\)"):
        checks.exercise("clear").call(clear, [1, 2, 3], expect=1)


def test_success_is_counted_and_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    with checks.exercise("split") as check:
        check.call(split, 8, 4, expect=EXPECTED[:2])
        check.true(True, "never shown")
        check.raises(ZeroDivisionError, lambda: 1 // 0)
    assert capsys.readouterr().out == "split: 3 checks passed.\n"
    assert checks.passed == {"split"}
    with pytest.raises(CheckFailed), checks.exercise("split") as check:
        check.true(False, "broken again")
    assert checks.passed == set()


def test_raises_wants_the_error_it_names() -> None:
    check = checks.exercise("f")
    with pytest.raises(CheckFailed, match=r"Expected: +ValueError\nGot: +\[range\(0, 4\), range\(4, 8\)\]"):
        check.raises(ValueError, split, 10, 4)
    with pytest.raises(ZeroDivisionError):  # another error of the learner's comes out as it is
        check.raises(KeyError, lambda: 1 // 0)
    assert check.count == 0


def not_written(num_tokens: int) -> int:
    raise NotImplementedError("not written yet")


def test_an_exercise_not_written_yet_says_so() -> None:
    with pytest.raises(NotImplementedError, match="not written yet"), checks.exercise("f") as check:
        check.call(not_written, 3, expect=1)


SAME = [
    (3, 3), (1.0, 1), (1.0, 1.0 + 5e-7), (1e9, 1e9 + 500), (float("inf"), float("inf")), ("a", "a"), (None, None),
    ([1, 2], (1, 2)), ([0, 1, 2], range(3)), ([range(2)], [[0, 1]]), ((1, 2), deque([1, 2])), ([], ()),
    ([1, 2], numpy.array([1, 2])), ([[1.0], [2.0]], torch.tensor([[1.0], [2.0]])), (2.5, torch.tensor(2.5)),
    (3, numpy.int64(3)), ([True, False], torch.tensor([True, False])),
    ({"a": [1, 2]}, {"a": (1, 2)}), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({1, 2}, {2, 1}),
    (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0 + 1e-6])),
    (torch.tensor([1, 2]), torch.tensor([1, 2], dtype=torch.int32)), (torch.ones(0), torch.ones(0)),
]


@pytest.mark.parametrize("expected, got", SAME, ids=repr)
def test_same(expected: Any, got: Any) -> None:
    assert differs(expected, got) is None


DIFFERENT = [
    (3, 4, "expected 3, got 4"),
    (1.0, 1.00001, "expected 1, got 1.00001"),
    (0.1234567, 0.1234589, "expected 0.1234567, got 0.1234589"),
    (float("inf"), 5.0, "expected inf, got 5"),
    (5.0, float("inf"), "expected 5, got inf"),
    (1.0, float("nan"), "expected 1, got nan"),
    (1.0, True, "expected 1, got True"),
    (1.0, "1.0", "expected 1.0, got '1.0'"),
    (None, 0, "expected None, got 0"),
    ([1, 2, 3], [1, 5, 4], "at [1]: expected 2, got 5"),
    ([1, 2], [1, 2, 3], "expected 2 items, got 3"),
    ([range(0, 4), range(4, 8)], [range(0, 4), range(3, 8)], "at [1][0]: expected 4, got 3"),
    ([[1, 2], [3]], [[1, 2], [3, 4]], "at [1]: expected 1 items, got 2"),
    (["ab"], ["ba"], "at [0]: expected 'ab', got 'ba'"),
    (["a", "b"], "ab", "expected a list of 2 items, got a str"),
    ([1], 1, "expected a list of 1 items, got an int"),
    ([1], {1}, "expected a list of 1 items, got a set"),
    ({"a": 1}, [("a", 1)], "expected a dict, got a list"),
    ({"a": 1, "b": 2}, {"a": 1}, "'b' is missing"),
    ({"a": 1}, {"a": 1, "c": 3}, "'c' should not be there"),
    ({"a": {"b": [1]}}, {"a": {"b": [2]}}, "at ['a']['b'][0]: expected 1, got 2"),
    ({1, 2}, {1}, "expected {1, 2}, got {1}"),
    (torch.ones(1), [1.0], "expected a tensor of shape (1,), got a list"),
    (torch.ones(2, 3), torch.ones(3, 2), "expected shape (2, 3), got (3, 2)"),
    (torch.tensor([True]), torch.tensor([1]), "expected dtype torch.bool, got torch.int64"),
    (torch.tensor([[True, False], [True, True]]), torch.tensor([[True, True], [True, True]]),
     "1 of 4 values differ, the first at [0, 1]: expected False, got True"),
    (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.5, 0.0]),
     "2 of 3 values differ, the first at [1]: expected 2, got 2.5"),
    (torch.tensor([1.0]), torch.tensor([1.00001]), "1 of 1 values differ, the first at [0]: expected 1, got 1.00001"),
    (torch.tensor([1.0]), torch.tensor([float("nan")]), "1 of 1 values differ, the first at [0]: expected 1, got nan"),
    ([torch.ones(1)], [torch.zeros(1)], "at [0]: 1 of 1 values differ, the first at [0]: expected 1, got 0"),
]


@pytest.mark.parametrize("expected, got, sentence", DIFFERENT, ids=repr)
def test_different(expected: Any, got: Any, sentence: str) -> None:
    assert differs(expected, got) == sentence


def test_tolerance_can_be_set() -> None:
    assert differs([1.0], [1.05]) and not differs([1.0], [1.05], tolerance=0.1)
    assert differs(torch.ones(2), torch.ones(2) + 1e-3)
    assert not differs(torch.ones(2), torch.ones(2) + 1e-3, tolerance=1e-2)


@pytest.mark.parametrize("value", [
    list(range(1000)), "x" * 1000, {str(i): i for i in range(100)}, torch.arange(10_000.0), torch.ones(3, 3, 3),
    [[[[[[1]]]]]], [torch.ones(3, 3)], ToyTransformer(ModelConfig(8, 16, 1, 2, 1, 8, 8)),
], ids=lambda value: type(value).__name__)
def test_anything_is_shown_on_one_line(value: Any) -> None:
    assert len(show(value)) <= 240
    assert "\n" not in show(value)


def test_a_tensor_is_shown_by_shape_dtype_and_first_values() -> None:
    shown = show(torch.arange(8.0).reshape(2, 4).requires_grad_())
    assert shown == "tensor of shape (2, 4), torch.float32, first values [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]"


def test_a_small_mask_is_shown_whole_a_large_one_by_its_first_values() -> None:
    assert show(torch.ones(2, 3).tril().bool()) == "tensor of shape (2, 3), torch.bool, rows [[1, 0, 0], [1, 1, 0]]"
    assert show(torch.ones(9, 9).bool()).endswith("first values [True, True, True, True, True, True]")


def failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error
    return fail


@pytest.mark.parametrize("function, shown", [
    (lambda: 1, "First difference: expected 2, got 1"),
    (failing(NotImplementedError("not written yet")), "NotImplementedError: not written yet"),
    (failing(KeyError("layer")), "KeyError: 'layer'"),
])
def test_under_the_grader_a_failure_is_printed_not_raised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], function: Callable, shown: str
) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with checks.exercise("f") as check:
        check.call(function, expect=2)
    captured = capsys.readouterr()
    assert shown in captured.out and "passed" not in captured.out
    assert captured.err == ""  # text on stderr would cost marks
    assert checks.passed == set()


@pytest.mark.parametrize("execution", ["validate", ""])
def test_elsewhere_in_nbgrader_a_failure_is_raised(monkeypatch: pytest.MonkeyPatch, execution: str) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", execution)
    with pytest.raises(CheckFailed), checks.exercise("f") as check:
        check.true(False, "no")


def test_an_interrupt_is_never_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(KeyboardInterrupt), checks.exercise("f"):
        raise KeyboardInterrupt


def test_ipython_shows_the_message_alone() -> None:
    shell = InteractiveShell()
    code = "from course_lib import checks\nchecks.exercise('f').call(len, [1, 2], expect=3)"
    with capture_output() as captured:
        result = shell.run_cell(code)
    assert isinstance(result.error_in_exec, CheckFailed)
    assert captured.stdout.splitlines() == [
        "Input:            len([1, 2])", "Expected:         3", "Got:              2",
        "First difference: expected 3, got 2",
    ]
    assert captured.stderr == ""


@pytest.mark.parametrize("value", [0, -3, 2.5, "long", 10**400])
def test_any_prediction_counts(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    checks.predicted("guess", value)
    assert capsys.readouterr().out == f"guess: your guess is {checks.show(value)}.\n"


@pytest.mark.parametrize("value", ["", "  ", True, float("nan"), float("inf"), [1], ...])
def test_no_prediction_is_told(value: Any) -> None:
    with pytest.raises(CheckFailed, match="guess is .*: type your guess.*it need not be right"):
        checks.predicted("guess", value)


OPTIONS = {"A": (False, "Work stays the same."), "B": (True, "Decodes run beside the “chunks”."), "C": (False, "No.")}


def test_choices_are_sealed_and_opened(capsys: pytest.CaptureFixture[str]) -> None:
    sealed = checks.seal(OPTIONS)
    assert sealed.isascii() and not set(sealed) & set("\"'\\\n"), "it has to stand in a string literal"
    assert "Work" not in sealed and sealed == checks.seal(OPTIONS)
    checks.choice("why", " b ", sealed)
    assert capsys.readouterr().out == "B is right. Decodes run beside the “chunks”.\n"
    assert checks.passed == {"why"}
    with pytest.raises(CheckFailed, match=r"^A is not it\. Work stays the same\. Try again; retries are free\.$"):
        checks.choice("why", "A", sealed)


@pytest.mark.parametrize("answer", ["", "D", "AB", 1, ["B"]])
def test_an_answer_that_is_no_option_is_told_which_there_are(answer: Any) -> None:
    with pytest.raises(CheckFailed, match="why is .*: set it to one of 'A', 'B', 'C'"):
        checks.choice("why", answer, checks.seal(OPTIONS))


def test_a_variable_that_is_still_none_is_not_written_yet() -> None:
    with pytest.raises(NotImplementedError, match="guess is still None: fill in the cell above and run it"):
        checks.predicted("guess", None)
    with pytest.raises(NotImplementedError, match="why is still None"):
        checks.choice("why", None, checks.seal(OPTIONS))
    with pytest.raises(NotImplementedError, match="waited is still None"), checks.exercise("waited") as check:
        check.written(None)
    with checks.exercise("waited") as check:
        check.written(0)


def test_a_dict_is_shown_in_its_own_order() -> None:
    assert show({"b": 1, "a": [{"d": 2, "c": 3}]}) == "{'b': 1, 'a': [{'d': 2, 'c': 3}]}"
    assert show(dict.fromkeys(range(20, 0, -1), 0)).startswith("{20: 0, 19: 0")
    assert show(dict.fromkeys(range(20), 0)).endswith("11: 0, ...}")


def test_an_unwritten_exercise_is_told_in_one_sentence() -> None:
    def plan_running() -> None:
        raise NotImplementedError(checks.STUB)

    with pytest.raises(NotImplementedError) as unwritten, checks.exercise("plan_running") as check:
        check.call(plan_running, expect=1)
    [line] = unwritten.value._render_traceback_()
    assert line.startswith("NotImplementedError: ") and "plan_running is not written yet: write it between" in line
    with pytest.raises(NotImplementedError) as unset, checks.exercise("guess") as check:
        check.written(None)
    assert unset.value._render_traceback_() == [
        "NotImplementedError: guess is still None: fill in the cell above and run it"]
