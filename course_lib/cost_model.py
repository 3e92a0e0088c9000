"""How long an iteration takes, as a formula: what the simulated executor runs on."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.short import show
from course_lib.trace import Trace
from course_lib.validate import check_fields, checked_list

REWEIGHTINGS = 10  # by then the prediction no longer moves


@dataclass(frozen=True)
class CostModel:
    """Seconds of an iteration = base + per_token * tokens + per_attention * A + per_context * C.

    A sums over the prefill chunks how many keys their tokens look at: n * (past + n) for a chunk of n tokens
    behind `past` computed ones, and n * (n + 1) / 2 for a first chunk, which takes the faster causal path
    (one formula for both would make chunking save time that it does not save). C sums over the decode steps the
    tokens in their cache. Called with the (start_pos, num_tokens) of each sequence of a batch.
    """

    base: float
    per_token: float
    per_attention: float = 0.0
    per_context: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        check_fields(self, may_be_zero=vars(self))

    def __call__(self, spans: Iterable[tuple[int, int]]) -> float:
        """Seconds of the iteration that computes `num_tokens` tokens from `start_pos` on, for each span."""
        num_tokens, attention, context = amounts(spans)
        return (self.base + self.per_token * num_tokens
                + self.per_attention * attention + self.per_context * context)


def fit(traces: Iterable[Trace], source: str = "") -> CostModel:
    """The cost model that fits measured iterations best, by least squares on relative errors.

    Relative, so that a decode step counts as much as a long prefill. No coefficient is negative: where the best fit
    would have one (more work in less time), that term is left out. ValueError without an iteration that took time.
    """
    traces = checked_list("traces", traces, Trace, "Traces")
    iterations = [iteration for trace in traces for iteration in trace.iterations
                  if iteration.start < iteration.end < math.inf]
    if not iterations:
        raise ValueError("the traces hold no iteration that took time; pass traces that a ModelExecutor measured")
    columns = torch.tensor([[1.0, *amounts((work.start_pos, work.num_tokens) for work in iteration.work)]
                            for iteration in iterations], dtype=torch.float64)
    seconds = torch.tensor([iteration.end - iteration.start for iteration in iterations], dtype=torch.float64)
    # Relative to what the model predicts: relative to noisy measurements, slow readings would hardly count.
    predicted = seconds
    for _ in range(REWEIGHTINGS):
        coefficients = _least_squares(columns / predicted[:, None], seconds / predicted)
        predicted = columns @ coefficients
    return CostModel(*coefficients.tolist(), source=source)


def _least_squares(rows: Tensor, target: Tensor) -> Tensor:
    """The coefficients, none negative, with which the columns of `rows` add up to `target` best."""
    scales = rows.norm(dim=0)  # columns of like size, or rounding decides about their rank
    kept = [column for column in range(rows.shape[1]) if scales[column] > 0]
    while True:
        found = torch.linalg.lstsq(rows[:, kept] / scales[kept], target[:, None], driver="gelsd").solution[:, 0]
        if found.min() >= 0:
            break
        kept.pop(int(found.argmin()))
    coefficients = torch.zeros_like(scales)
    coefficients[kept] = found / scales[kept]
    return coefficients


def amounts(spans: Iterable[tuple[int, int]]) -> tuple[float, float, float]:
    """Tokens, A and C of one iteration, as CostModel explains them."""
    num_tokens = attention = context = 0.0
    try:
        for start, length in spans:
            if start < 0 or length < 1:
                raise ValueError
            num_tokens += length
            if start == 0:
                attention += length * (length + 1) / 2
            elif length == 1:
                context += start + 1
            else:
                attention += length * (start + length)
    except (TypeError, ValueError) as error:  # looked for only here: a simulation passes many thousands of spans
        raise ValueError("spans must be pairs (start_pos, num_tokens), start_pos from 0 and num_tokens from 1 on, got "
                         f"{show(spans)}") from error
    return num_tokens, attention, context


ONE_SECOND = CostModel(1.0, 0.0, source="one second an iteration, whatever is in it: for counting by hand")
CPU_DEFAULT = CostModel(
    4.45e-3, 8.16e-5, 8.5e-8, 6.2e-7,
    source="fitted to the first version of the toy transformer, default size (hidden 256, 4 layers), on one thread of "
           "a shared 2-core CPU; since then it has become two to five times as fast",
)
