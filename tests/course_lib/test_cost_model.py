"""The cost formula against sums done by hand."""

import random
from dataclasses import astuple, replace

import pytest

from course_lib.cost_model import CPU_DEFAULT, ONE_SECOND, CostModel, fit
from course_lib.trace import Iteration, Trace, Work

COST = CostModel(base=1000.0, per_token=10.0, per_attention=1.0, per_context=0.5)


@pytest.mark.parametrize("spans, expected", [
    ([], 1000.0),
    ([(0, 4)], 1000 + 40 + 10),  # a first chunk: 1 + 2 + 3 + 4 keys
    ([(0, 1)], 1000 + 10 + 1),  # a prompt of one token is a first chunk
    ([(4, 3)], 1000 + 30 + 3 * 7),  # a later chunk: each token against all 7 keys
    ([(9, 1)], 1000 + 10 + 0.5 * 10),  # a decode step: 9 tokens in the cache and its own
    ([(0, 4), (4, 3), (9, 1), (19, 1)], 1000 + 90 + (10 + 21) + 0.5 * (10 + 20)),
])
def test_seconds_by_hand(spans: list[tuple[int, int]], expected: float) -> None:
    assert COST(spans) == pytest.approx(expected)
    assert COST(iter(spans)) == pytest.approx(expected)


def test_chunking_never_saves_work() -> None:
    """Beyond the iterations' base cost: the formula of a first chunk, taken for later ones, would."""
    cost = replace(CPU_DEFAULT, base=0.0)
    for chunk_size in (1, 64, 512, 1023):
        starts = range(0, 1024, chunk_size)
        assert sum(cost([(start, min(chunk_size, 1024 - start))]) for start in starts) > cost([(0, 1024)])


def test_presets() -> None:
    assert ONE_SECOND([]) == ONE_SECOND([(0, 500), (7, 1)]) == 1.0
    # 2048 tokens: 4.45 ms + 167.1 ms + 178.3 ms of attention
    assert CPU_DEFAULT([(0, 2048)]) == pytest.approx(0.3499, abs=1e-3)
    assert all(preset.source for preset in (ONE_SECOND, CPU_DEFAULT))


def _measured(seconds, batches: list[list[tuple[int, int]]]) -> Trace:
    """A trace in which each batch took what `seconds` says."""
    iterations, clock = [], 0.0
    for index, spans in enumerate(batches):
        work = tuple(Work(str(order), start, length, False) for order, (start, length) in enumerate(spans))
        iterations.append(Iteration(index, clock, clock + seconds(spans), 0.0, work))
        clock = iterations[-1].end
    return Trace((), tuple(iterations))


BATCHES = [[(0, 2048)], [(0, 64)], [(64, 64), (9, 1)], [(512, 256)], [(100, 1)], [(900, 1), (30, 1), (31, 1)], [(0, 1)]]


@pytest.mark.parametrize("batches", [[BATCHES], [BATCHES[:3], BATCHES[3:]]])
def test_fit_finds_the_formula_behind_exact_times(batches: list) -> None:
    found = fit([_measured(CPU_DEFAULT, part) for part in batches], source="test")
    assert astuple(found)[:4] == pytest.approx(astuple(CPU_DEFAULT)[:4], rel=1e-6)
    assert found.source == "test"


def test_fit_is_close_under_noise() -> None:
    noise = random.Random(3)
    found = fit([_measured(lambda spans: CPU_DEFAULT(spans) * noise.uniform(0.9, 1.1), BATCHES * 30)])
    for spans in BATCHES:
        assert found(spans) == pytest.approx(CPU_DEFAULT(spans), rel=0.05)


def test_fit_is_not_drawn_to_fast_readings() -> None:
    """On a shared machine readings of the same work differ by a factor of three; the fit is their mean."""
    noise = random.Random(4)
    found = fit([_measured(lambda spans: CPU_DEFAULT(spans) * noise.uniform(1.0, 3.0), BATCHES * 100)])
    for spans in BATCHES:
        assert found(spans) == pytest.approx(2.0 * CPU_DEFAULT(spans), rel=0.1)


def test_fit_never_pays_for_more_work() -> None:
    """Here longer prompts take less time; no coefficient may become negative, and the rest is fitted anew."""
    found = fit([_measured(lambda spans: 2.0 - spans[0][1] / 1000, [[(0, length)] for length in (1, 100, 200, 900)])])
    assert min(astuple(found)[:4]) == 0.0
    assert found.base > 1.0


def test_fit_on_one_kind_of_iteration() -> None:
    """All the same: what belongs to which term cannot be told, but the sum is right."""
    found = fit([_measured(CPU_DEFAULT, [[(64, 1)]] * 5)])
    assert found([(64, 1)]) == pytest.approx(CPU_DEFAULT([(64, 1)]))
    assert found.per_attention == 0.0


@pytest.mark.parametrize("traces", [[], [Trace((), ())], [_measured(lambda _: 0.0, [[(0, 4)]])]])
def test_fit_needs_measured_iterations(traces: list[Trace]) -> None:
    with pytest.raises(ValueError, match="no iteration that took time"):
        fit(traces)
