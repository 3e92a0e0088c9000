"""Orders of steps: which are possible, and what is said about the others."""

import pytest

from course_lib import checks
from course_lib.dependencies import check_steps, steps_of, too_early, wrong_steps

RULES = {
    "boil -> brew": (True, "Tea needs hot water."),
    "fill cup -> drink": (True, "Nothing to drink yet."),
    "brew -> drink": (True, "It is only water so far."),
    "add salt": (False, "Nobody wants it."),
}


def test_steps_are_those_of_the_rules() -> None:
    assert steps_of(RULES) == ["boil", "brew", "fill cup", "drink"]


@pytest.mark.parametrize("order", [["boil", "brew", "fill cup", "drink"], ("fill cup", "boil", "brew", "drink")])
def test_every_possible_order_passes(order: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    check_steps("tea", order, checks.seal(RULES))
    assert "all 4 steps" in capsys.readouterr().out
    assert wrong_steps(order, RULES) == too_early(order, RULES) == []


def test_the_visible_check_forgives_spaces_around_a_step() -> None:
    check_steps("tea", ["boil ", " brew", "fill cup", "drink"], checks.seal(RULES))


def test_the_first_step_that_comes_too_early_is_told_why() -> None:
    problems = too_early(["fill cup", "drink", "brew", "boil"], RULES)
    assert problems[0] == ("step 2, 'drink', comes before 'brew', which it needs", "It is only water so far.")
    assert [why for _, why in problems] == ["It is only water so far.", "Tea needs hot water."]


@pytest.mark.parametrize("order, what, why", [
    (["boil", "add salt", "brew", "fill cup", "drink"], "step 2, 'add salt', never happens", "Nobody wants it."),
    (["boil", "boil", "brew", "fill cup", "drink"], "step 2, 'boil', stands twice", None),
    (["boil", "stir", "brew", "fill cup", "drink"], "step 2, 'stir', is none of the steps in the list", None),
    (["boil -> brew", "boil", "brew", "fill cup", "drink"], "step 1, 'boil -> brew', is none of", None),
    ([["boil"], "boil", "brew", "fill cup", "drink"], "step 1, ['boil'], is none of", None),
    (["boil", "brew", "fill cup"], "'drink' is missing", None),
])
def test_wrong_steps_are_named(order: list, what: str, why: str | None) -> None:
    [(said, reason)] = wrong_steps(order, RULES)
    assert said.startswith(what) and reason == why


def test_a_missing_step_counts_as_late() -> None:
    assert too_early(["boil", "brew", "drink"], RULES)[0][0] == (
        "step 3, 'drink', comes before 'fill cup', which it needs")


def test_an_order_that_is_not_there_is_not_an_error_of_the_learner() -> None:
    with pytest.raises(NotImplementedError):
        check_steps("tea", None, checks.seal(RULES))


@pytest.mark.parametrize("order", ["boil", 3])
def test_something_else_than_a_list_is_told_what_to_do(order: object) -> None:
    with pytest.raises(checks.CheckFailed, match="set it to a list of steps"):
        check_steps("tea", order, checks.seal(RULES))


def test_the_visible_check_gives_the_reason() -> None:
    with pytest.raises(checks.CheckFailed, match="(?s)comes before 'boil', which it needs.*Tea needs hot water"):
        check_steps("tea", ["brew", "boil", "fill cup", "drink"], checks.seal(RULES))
