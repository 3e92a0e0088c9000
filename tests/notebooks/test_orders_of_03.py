"""The orders of notebook 03: each permutation earns its share, and only those that meet every constraint full marks."""

from itertools import permutations, product

import pytest

from autograder import exercises

NOTEBOOK = "03_interleaving"
P, D = ["P11", "P12", "P13"], ["D21", "D22", "D23"]


def share(name: str, order: list) -> float:
    return exercises.grade(NOTEBOOK, name, {name: order}).share


def met(order: tuple[str, ...]) -> int:
    """How many of the three constraints an order of single units meets, said in another way than the check does."""
    waits = False
    for kind in "PD":
        mine = [place for place, label in enumerate(order) if label[0] == kind]
        waits |= any(after - before > 2 for before, after in zip([-1, *mine], mine, strict=False))
    in_order = [[label for label in order if label[0] == kind] for kind in "PD"]
    return sum(labels == sorted(labels) for labels in in_order) + (not waits)


@pytest.mark.parametrize("name, chunks", [("order_two", 2), ("order_three", 3)])
def test_every_permutation_earns_a_share_for_each_constraint_it_meets(name: str, chunks: int) -> None:
    shares = {order: share(name, list(order)) for order in permutations(P[:chunks] + D[:chunks])}
    assert shares == {order: pytest.approx(met(order) / 3) for order in shares}
    turns = [tuple(label for pair in zip(one, other, strict=True) for label in pair)
             for one, other in ((P[:chunks], D[:chunks]), (D[:chunks], P[:chunks]))]
    assert {order for order, value in shares.items() if value == 1} == set(turns)


def test_of_all_hybrid_orders_only_one_pairing_earns_full_marks() -> None:
    """All ways to put six units into three iterations, none of them empty."""
    labels, full = P + D, []
    for places in product(range(3), repeat=6):
        if set(places) == {0, 1, 2}:
            order = [[label for label, place in zip(labels, places, strict=True) if place == i] for i in range(3)]
            if share("order_hybrid", order) == 1:
                full.append(order)
    assert full == [[["P11", "D21"], ["P12", "D22"], ["P13", "D23"]]]
    assert share("order_hybrid", [[label] for label in ("P11", "D21", "P12", "D22", "P13", "D23")]) == 0.75


@pytest.mark.parametrize("order", [None, "P11", 7, [], ["P11", "P12", "D21"], ["P11", "P12", "D21", "D22", "D22"],
                                   ["P11", "D21", "P12", "Q22"], [["P11", "D21"], ["P12", "D22"]], [[], *P]])
def test_what_is_not_an_order_of_the_four_units_earns_nothing(order: object) -> None:
    result = exercises.grade(NOTEBOOK, "order_two", {"order_two": order})
    assert result.share == 0 and result.message
