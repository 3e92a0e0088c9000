"""What the checks of scheduling notebooks compare with: shares of the budget, and which mistake explains the plans."""

from autograder.checking import Result, Tally
from autograder.scheduling import INVARIANTS, Drive, Progress, State, Suspects, flawed_plans, share_out

NAMES = {name for _, name in flawed_plans(State(8, 4))}
SENTENCES = {name: f"sentence of {name}" for name in NAMES | {"counts_itself", "not_moved", "not_popped"}}


def line(*sizes: int) -> list[Progress]:
    return [Progress(name, size, 1) for name, size in zip("abcdef", sizes, strict=False)]


def test_the_budget_is_handed_out_from_the_front() -> None:
    assert share_out(line(3, 4, 5), [3, 4, 5], 12) == {"a": 3, "b": 4, "c": 5}
    assert share_out(line(3, 4, 5), [3, 4, 5], 6) == {"a": 3, "b": 3, "c": 0}
    assert share_out([], [], 6) == {}


def test_the_mistake_that_explains_all_plans_is_named() -> None:
    suspects = Suspects()
    # Both a forgotten threshold and a forgotten budget plan {"a": 9} here ...
    suspects.see(State(9, 4, threshold=4, waiting=line(9)), {"a": 9}, is_wrong=True)
    assert {"threshold_ignored", "threshold_not_for_new"} <= set(suspects.guilty)
    # ... and only one of them still keeps the threshold for running requests.
    suspects.see(State(9, 4, threshold=4, running=line(9)), {"a": 4}, is_wrong=False)
    named = suspects.name(Result(0.5, "message"), SENTENCES)
    assert named.misconception == "sentence of threshold_not_for_new"


def test_a_sure_misconception_is_kept_and_a_right_answer_has_none() -> None:
    suspects = Suspects()
    suspects.see(State(9, 4, threshold=4, waiting=line(9)), {"a": 9}, is_wrong=True)
    assert suspects.name(Result(0.5, "message", "sure"), SENTENCES).misconception == "sure"
    assert suspects.name(Result(1.0, "message"), SENTENCES).misconception is None


def drive(plans: list[list[list]]) -> tuple[Tally, list[bool]]:
    """Plays the adapter's side with given plans; returns the tally and each step's `stop`."""
    tally = Tally("plans", *INVARIANTS)
    answer = Drive(tally, "plans", State(4, 2), [[Progress("a", 6, 2)]], [{"a": 4}, {"a": 2}, {"a": 1}], Suspects(),
                   SENTENCES)
    stops, done = [answer({"start": True})["stop"]], 0
    for plan in plans:
        question = {"plan": plan, "waiting": [], "running": ["a"], "num_computed_tokens": [done]}
        stops.append(answer(question)["stop"])
        done += sum(num_tokens for _, num_tokens in plan)
    return tally, stops


def test_right_plans_meet_every_requirement() -> None:
    tally, stops = drive([[["a", 4]], [["a", 2]], [["a", 1]]])
    assert stops == [False, False, False, True]
    assert tally.result() == Result(1.0, "All requirements are met.")


def test_a_plan_of_more_than_is_left_stops_the_run() -> None:
    tally, stops = drive([[["a", 4]], [["a", 3]]])
    assert stops == [False, False, True]
    assert tally.result().share < 1


def test_an_empty_plan_with_work_left_stops_the_run() -> None:
    assert drive([[]])[1] == [False, True]
