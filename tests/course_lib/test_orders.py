"""Orders typed by hand: what is read, what is refused and with which words, which constraints are met."""

from itertools import permutations

import pytest

from course_lib import orders
from course_lib.orders import OrderError

FOUR = ["P11", "P12", "D21", "D22"]
SIX = ["P11", "P12", "P13", "D21", "D22", "D23"]
HYBRID = [["P11", "D21"], ["P12", "D22"], ["P13", "D23"]]


def texts(iterations: list[list[orders.Unit]]) -> list[list[str]]:
    return [[str(one) for one in iteration] for iteration in iterations]


@pytest.mark.parametrize("label, expected", [("P11", "P11"), (" d23", "D23"), ("P₁₂", "P12"), ("P1,12", "P112")])
def test_labels_are_read_as_people_write_them(label: str, expected: str) -> None:
    assert str(orders.unit(label)) == expected


@pytest.mark.parametrize("label", ["", "P1", "Q11", "P10", "11", None, 3, ["P11"]])
def test_other_labels_are_refused(label: object) -> None:
    with pytest.raises(OrderError, match="is not a label; a label is a text such as 'P11'"):
        orders.unit(label)


@pytest.mark.parametrize("label", ["P11 D21", "P11D21", "P₁₁, D₂₁"])
def test_several_labels_in_one_text_are_refused(label: str) -> None:
    with pytest.raises(OrderError, match="holds several labels: .* such as \\['P11', 'D21'\\]"):
        orders.unit(label)


def test_an_iteration_may_be_a_label_or_a_collection_of_labels() -> None:
    assert texts(orders.read(["P11", "D21"])) == [["P11"], ["D21"]]
    assert texts(orders.read((("P11", "D21"), ["P12"], {"D22"}))) == [["P11", "D21"], ["P12"], ["D22"]]


@pytest.mark.parametrize("order, message", [
    ("P11, D21", "an order is a list of labels"),
    (["P11", "P12", "D21"], "D22 missing: each of P11, P12, D21, D22 has to run once"),
    (["P11", "P12", "D21", "D22", "D21"], "D21 stands 2 times"),
    (["P11", "P12", "D21", "D22", "D23"], "D23 is none of the units to order; they are P11"),
    ([["P11"], [], ["P12", "D21", "D22"]], "iteration 1 is empty"),
])
def test_an_order_that_cannot_be_read_says_why(order: object, message: str) -> None:
    with pytest.raises(OrderError, match=message):
        orders.read(order, FOUR)


def test_an_order_not_written_yet_is_not_implemented() -> None:
    with pytest.raises(NotImplementedError):
        orders.judge(None, FOUR)


@pytest.mark.parametrize("order, message", [
    (["P12", "P11"], "P12 runs before P11. P12 attends to the keys and values that P11 writes."),
    (["D22", "D21"], "D22 runs before D21. D22 needs the token that comes out of D21."),
    ([["D21", "D22"]], "D22 runs in the same iteration as D21. D22 needs the token that comes out of D21."),
    (["P11", "P13"], "P13 runs, but P12 never does. P13 attends to the keys and values that P12 writes."),
    (["P11", "D11", "P12"], "D11 runs before P12. D11 needs the token that comes out of P12."),
])
def test_an_impossible_order_is_explained_and_not_planned(order: list, message: str) -> None:
    assert orders.impossible(order) == message
    with pytest.raises(OrderError, match="not executed"):
        orders.plans(order, {})


def test_plans_hold_the_tokens_of_each_request() -> None:
    sizes = {"P11": 8, "P12": 8, "P13": 5}
    assert orders.plans(HYBRID, sizes) == [{"1": 8, "2": 1}, {"1": 8, "2": 1}, {"1": 5, "2": 1}]
    assert orders.plans(["P11", "D21"], sizes) == [{"1": 8}, {"2": 1}]


@pytest.mark.parametrize("labels, best", [
    (FOUR, [["P11", "D21", "P12", "D22"], ["D21", "P11", "D22", "P12"]]),
    (SIX, [["P11", "D21", "P12", "D22", "P13", "D23"], ["D21", "P11", "D22", "P12", "D23", "P13"]]),
    (["P11", "P12", "P13", "D21"], [["P11", "D21", "P12", "P13"], ["D21", "P11", "P12", "P13"]]),
])
def test_of_all_permutations_only_the_alternating_ones_meet_every_constraint(labels: list, best: list) -> None:
    judged = {order: orders.judge(order, labels) for order in permutations(labels)}
    assert sorted(order for order, found in judged.items() if not any(found.values())) == sorted(map(tuple, best))


def test_each_constraint_is_judged_by_itself() -> None:
    found = orders.judge(["P12", "P11", "D21", "D22"], FOUR)
    assert found[orders.CHUNKS_IN_ORDER].startswith("P12 is in iteration 0, P11 in 1.")
    assert found[orders.DECODES_IN_ORDER] is None
    assert found[orders.NO_LONG_WAIT] == "sequence 2 has work left and waits 2 iterations in a row, from 0 to 1."


def test_a_hybrid_order_is_judged_by_its_iterations() -> None:
    assert not any(orders.judge(HYBRID, SIX, num_iterations=3).values())
    late = [["P11"], ["P12", "D21"], ["P13", "D22"], ["D23"]]
    assert orders.judge(late, SIX, num_iterations=3)["It takes 3 iterations"].startswith("this order takes 4;")
    with pytest.raises(OrderError, match="one unit an iteration here"):
        orders.judge(HYBRID, SIX)
    twice = [["P11", "D21", "D22"], ["P12", "D23"], ["P13"]]
    assert orders.judge(twice, SIX, num_iterations=3)[orders.DECODES_IN_ORDER].startswith("D22 is in iteration 0")
