"""The check's own simulation and search for notebook 08, against the engine and by hand."""

import random

import pytest

from autograder import plan_search, solutions
from autograder.plan_search import RULES, drawn_case, right_plan
from autograder.serving import Figures, Plan, nearest_rank, serve
from course_lib.presets import YI_34B
from course_lib.request import Request

NOTEBOOK = "08_case_studies"


def figures(throughput: float, p99_tbt: float, median_ttft: float) -> Figures:
    return Figures((), throughput, p99_tbt, median_ttft)


def test_the_running_example_by_hand():
    jobs = [("2", 8, 4, 0.0), ("1", 24, 3, 1.0)]
    found = serve(jobs, Plan("prefill-first", 32), lambda spans: 1 + sum(length for _, length in spans) / 8)
    assert found.gaps == [5.25, 1.25, 1.125, 1.25, 1.25]
    assert (found.throughput, found.p99_tbt, found.median_ttft) == (7 / 9.625, 5.25, 3.5)


@pytest.mark.parametrize("seed", range(30))
def test_the_simulation_agrees_with_the_engine(seed: int):
    generator = random.Random(seed)
    jobs = [(f"r{number}", generator.randint(1, 300), generator.randint(1, 20), generator.uniform(0, 3))
            for number in range(generator.randint(1, 40))]
    fields = (generator.choice(("prefill-first", "stall-free")), generator.randint(4, 600), generator.randint(0, 60))
    expected = serve(jobs, Plan(*fields), YI_34B)
    plan = solutions.load(NOTEBOOK, "Recommendation")(*fields)
    got = solutions.load(NOTEBOOK, "evaluate")(
        plan, lambda: [Request(name, [0] * prompt, output, arrival) for name, prompt, output, arrival in jobs], YI_34B)
    assert got.throughput == pytest.approx(expected.throughput)
    assert (got.p99_tbt, got.median_ttft) == pytest.approx((expected.p99_tbt, expected.median_ttft))


def test_the_check_knows_the_grid_of_the_notebook():
    grid = solutions.load(NOTEBOOK, "GRID")
    assert [[plan.policy, plan.max_num_batched_tokens, plan.long_prefill_token_threshold] for plan in grid] == [
        plan.fields for plan in plan_search.GRID]
    assert solutions.load(NOTEBOOK, "MAX_NUM_SEQS") == 32


def test_nearest_rank_counts():
    assert nearest_rank(range(1, 201), 99) == 198
    assert nearest_rank([3, 1, 2], 99) == 3
    assert nearest_rank([], 99) == 0.0


def test_rules_on_a_small_table():
    whole, large, small = Plan("prefill-first", 64), Plan("stall-free", 64), Plan("stall-free", 16)
    outcomes = {whole: figures(9, 5.0, 1.0), large: figures(8, 2.0, 2.0), small: figures(6, 1.0, 4.0)}
    assert right_plan(outcomes, (2.0, 3.0)) == large
    assert right_plan(outcomes, (1.5, 3.0)) is None
    answers = {name: rule(outcomes, (2.0, 3.0)) for name, rule in RULES.items()}
    assert answers["slo_ignored"] == answers["tbt_ignored"] == answers["either"] == whole
    assert answers["best_or_nothing"] is answers["strict_limit"] is None
    assert RULES["least_bad"](outcomes, (1.5, 3.0)) == small


def test_a_drawn_case_tells_the_rules_apart():
    for _ in range(10):
        case = drawn_case("none", ["least_bad", "either"], none=True)
        assert case.expected is None and not case.accepts(RULES["either"](case.outcomes, case.promise))
        case = drawn_case("ties", ["tie_last"], small_work=True, exact=True)
        assert case.accepts(RULES["tie_last"](case.outcomes, case.promise)), "equally fast"
        assert not case.accepts(RULES["tie_last"](case.outcomes, case.promise), exact=True)
