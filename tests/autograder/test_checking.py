"""Tally, Result and direct_call: what a hidden check works with."""

import pytest
import torch

from autograder import checking
from autograder.checking import LearnerError, Result, Tally, direct_call, run_check


def test_share_counts_requirements_whose_every_case_is_met() -> None:
    tally = Tally("one", "two", "three")
    tally.equal("one", 1, 1, given="f(1)")
    tally.equal("one", 2, 3, given="f(2)")
    tally.equal("one", 4, 4, given="f(3)")
    tally.true("two", True, "never shown")
    result = tally.result()
    assert result.share == pytest.approx(1 / 3)  # the second is met; the third was never reached
    assert "one" in result.message and "f(2)" in result.message and "f(3)" not in result.message


def test_edges_count_only_beside_another_requirement() -> None:
    def share(main: bool, edge: bool) -> float:
        tally = Tally("main", "other", "edge", edges=["edge"])
        for requirement, met in {"main": main, "other": False, "edge": edge}.items():
            tally.true(requirement, met, "no")
        return tally.result().share

    assert share(main=False, edge=True) == 0
    assert share(main=True, edge=True) == pytest.approx(2 / 3)
    assert share(main=True, edge=False) == pytest.approx(1 / 3)


def test_a_failure_that_names_a_misconception_goes_first() -> None:
    tally = Tally("one", "two")
    tally.equal("one", [1], [2], given="f()")
    tally.equal("two", [1, 2], [1, 2, 3], given="f()", wrong=[([1, 2], "The tail is missing.")])
    result = tally.result()
    assert result.misconception == "The tail is missing."
    assert "two" in result.message


def test_close_takes_a_tolerance_and_equal_does_not() -> None:
    tally = Tally()
    assert tally.close("close", torch.tensor([1.0005]), torch.tensor([1.0]), given="f()", tolerance=1e-3)
    assert not tally.close("close", 1.01, 1.0, given="f()", tolerance=1e-3)
    assert not tally.equal("equal", 1.0001, 1.0, given="f()")
    assert not tally.close("nan", float("nan"), 1.0, given="f()")
    assert not tally.close("nan tensor", torch.tensor([float("nan")]), torch.tensor([1.0]), given="f()")


def test_all_met_needs_all_declared_requirements() -> None:
    tally = Tally("one", "two")
    tally.true("one", True, "")
    with pytest.raises(ValueError, match="without a case of: two"):
        tally.result()
    with pytest.raises(ValueError, match="no case"):
        Tally().result()


def test_learner_errors_keep_their_type_and_printing_is_dropped(capsys: pytest.CaptureFixture) -> None:
    def adapter(learner, payload, ask):
        print("noise")
        return {"got": learner["f"](payload["x"])}

    assert direct_call(adapter, {"f": lambda x: x + 1})({"x": 1}) == {"got": 2}
    assert capsys.readouterr() == ("", "")
    with pytest.raises(LearnerError, match="ZeroDivisionError"):
        direct_call(adapter, {"f": lambda x: x / 0})({"x": 1})
    with pytest.raises(LearnerError, match="f is not defined"):
        direct_call(adapter, {})({"x": 1})
    with pytest.raises(LearnerError, match="PlainError"):
        direct_call(adapter, {"f": lambda x: object()})({"x": 1})
    with pytest.raises(LearnerError, match="SystemExit"):
        direct_call(adapter, {"f": lambda x: exit(0)})({"x": 1})


def test_the_learner_gets_copies() -> None:
    payload = {"numbers": [1, 2], "tensor": torch.zeros(2)}

    def adapter(learner, received, ask):
        received["numbers"].clear()
        received["tensor"].fill_(7)
        return {}

    direct_call(adapter, {})(payload)
    assert payload["numbers"] == [1, 2] and payload["tensor"].tolist() == [0, 0]


def test_questions_are_answered_on_the_side_of_the_check() -> None:
    asked = []

    def adapter(learner, payload, ask):
        return {"sum": ask({"n": 1})["square"] + ask({"n": 3})["square"]}

    def answer(question: dict) -> dict:
        asked.append(question["n"])
        return {"square": question["n"] ** 2}

    assert direct_call(adapter, {})({}, answer) == {"sum": 10}
    assert asked == [1, 3]


@pytest.mark.parametrize("raised", [LearnerError("ValueError", "no such chunk"), KeyError("ours")],
                         ids=["the learner's", "ours"])
def test_what_answer_raises_comes_out_even_if_the_learner_swallows_it(raised: Exception) -> None:
    def adapter(learner, payload, ask):
        try:
            ask({})
        except Exception:
            return {}

    def answer(question: dict) -> dict:
        raise raised

    with pytest.raises(type(raised)) as caught:
        direct_call(adapter, {})({}, answer)
    assert caught.value is raised


def test_run_check_gives_nothing_for_an_exercise_not_written() -> None:
    def adapter(learner, payload, ask):
        raise NotImplementedError("<not written yet>")

    result = run_check(lambda call: Result(call({})["share"], "never"), direct_call(adapter, {}))
    assert result.share == 0 and "not written yet" in result.message


@pytest.mark.parametrize("wrong", [Result(1.5, ""), Result(float("nan"), ""), True, None], ids=repr)
def test_run_check_refuses_a_check_that_returns_something_else(wrong: object) -> None:
    with pytest.raises(ValueError, match="Result"):
        run_check(lambda call: wrong, lambda payload: {})


def test_points_are_plain_rounded_floats() -> None:
    assert checking.points(Result(1 / 3, ""), 5) == 1.67
    assert [type(checking.points(Result(share, ""), 5)) for share in (0, 1)] == [float, float]
