"""The cost formula against sums done by hand."""

from dataclasses import replace

import pytest

from course_lib.cost_model import CPU_DEFAULT, ONE_SECOND, CostModel

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
