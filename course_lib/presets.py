"""A published cost model, the measurements it is made from, and requests with published lengths to serve on it.

All from Sarathi-Serve (Agrawal et al., OSDI 2024): the paper, and `osdi-experiments/` of its artifact,
https://github.com/microsoft/sarathi-serve. Model and device: Yi-34B on two A100 80GB, tensor parallel.
"""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from course_lib.cost_model import amounts
from course_lib.request import Request
from course_lib.short import show
from course_lib.validate import check_fields, check_int, check_number, check_seed, check_type, checked_list


@dataclass(frozen=True)
class RooflineModel:
    """Seconds of an iteration = base + max(read_weights, per_token * tokens) + per_attention * A + per_context * C
    + per_decode * decode steps.

    A and C as in CostModel. The linear layers either wait for their weights, which are read once for the whole batch,
    or compute: whichever takes longer counts. So up to `ridge` tokens they take no longer than with one.
    """

    base: float
    read_weights: float
    per_token: float
    per_attention: float = 0.0
    per_context: float = 0.0
    per_decode: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        check_fields(self, may_be_zero=vars(self).keys() - {"per_token"})  # `ridge` divides by it

    def __call__(self, spans: Iterable[tuple[int, int]]) -> float:
        """Seconds of the iteration that computes `num_tokens` tokens from `start_pos` on, for each span."""
        spans = list(spans) if isinstance(spans, Iterator) else spans  # which is gone through twice
        num_tokens, attention, context = amounts(spans)
        num_decodes = sum(start > 0 and length == 1 for start, length in spans)
        return (self.base + max(self.read_weights, self.per_token * num_tokens) + self.per_attention * attention
                + self.per_context * context + self.per_decode * num_decodes)

    @property
    def ridge(self) -> float:
        """Tokens at which computing takes as long as reading the weights."""
        return self.read_weights / self.per_token


@dataclass(frozen=True)
class Measurement:
    """Published seconds of one iteration, or of several in a row; each iteration as (start_pos, num_tokens) spans."""

    name: str
    iterations: tuple[tuple[tuple[int, int], ...], ...]
    seconds: float

    def __post_init__(self) -> None:
        check_fields(self)


def _prefill(source: str, length: int, seconds: float) -> Measurement:
    return Measurement(f"{source}: prompt of {length}", (((0, length),),), seconds)


def _decodes(source: str, batch: int, context: int, seconds: float) -> Measurement:
    return Measurement(f"{source}: {batch} decode step{'s' * (batch > 1)}", (((context, 1),) * batch,), seconds)


def _chunks(length: int, chunk_size: int, seconds: float) -> Measurement:
    starts = range(0, length, chunk_size)
    iterations = tuple(((start, min(chunk_size, length - start)),) for start in starts)
    how = "whole" if chunk_size >= length else f"in chunks of {chunk_size}"
    return Measurement(f"figure-9: prompt of {length} {how}", iterations, seconds)


# figure-2/{prefill,decode}.csv, table-2/results.csv, figure-9/chunking-overhead.csv of the artifact. Decodes have about
# 1,024 tokens in their caches: the runs' scripts ask for requests of that length. Left out: the prompt of 256 tokens,
# 121.4 ms, longer than the one of 512; it was the first batch of its run.
YI_34B_MEASUREMENTS = (
    _prefill("figure-2", 128, 0.04809), _prefill("figure-2", 512, 0.10558), _prefill("figure-2", 1024, 0.21430),
    _prefill("figure-2", 2048, 0.36603), _prefill("figure-2", 4096, 0.75760), _prefill("figure-2", 8192, 1.86326),
    _prefill("figure-2", 16384, 4.40750),
    _decodes("figure-2", 1, 1020, 0.04680), _decodes("figure-2", 2, 1020, 0.04750),
    _decodes("figure-2", 4, 1020, 0.04885), _decodes("figure-2", 8, 1020, 0.06968),
    _decodes("figure-2", 16, 1020, 0.07725), _decodes("figure-2", 32, 1020, 0.08790),
    _decodes("figure-2", 64, 1020, 0.12781), _decodes("figure-2", 128, 1020, 0.18933),
    _decodes("table-2", 4, 1030, 0.06812), _prefill("table-2", 1024, 0.21724),
    Measurement("table-2: chunk of 1021, 3 decode steps", (((0, 1021), *((1030, 1),) * 3),), 0.21765),
    _chunks(2047, 512, 0.43568), _chunks(2047, 1024, 0.44417), _chunks(2047, 16384, 0.37813),
    _chunks(4095, 512, 0.92196), _chunks(4095, 1024, 0.93226), _chunks(4095, 2048, 0.79390),
    _chunks(4095, 16384, 0.77544),
    _chunks(8191, 512, 1.95853), _chunks(8191, 1024, 1.94624), _chunks(8191, 2048, 1.64337),
    _chunks(8191, 16384, 1.75416),
    _chunks(16383, 512, 4.51283), _chunks(16383, 1024, 4.35755), _chunks(16383, 2048, 3.65159),
    _chunks(16383, 16384, 4.53500),
)

# Fitted: least sum of |relative error| ** 1.5, so that no single odd reading pulls the curve. But per_context is
# arithmetic, for the runs decode at one context length only, which cannot tell a sequence's cost from that of its
# cache: 60 layers * 8 KV heads * 128 * 2 * 2 bytes a token, read at two times 1,935 GB/s (A100 80GB PCIe, data sheet).
YI_34B = RooflineModel(
    base=0.0157, read_weights=0.0325, per_token=1.756e-4, per_attention=8.3e-9, per_context=6.4e-8, per_decode=1.16e-3,
    source="Yi-34B on two A100 80GB, fitted to 33 measurements of Sarathi-Serve's artifact (OSDI 2024)",
)


def predicted_seconds(model: RooflineModel, measurement: Measurement) -> float:
    """What the model says that the measurement should have taken."""
    check_type("model", model, RooflineModel, "a RooflineModel")
    check_type("measurement", measurement, Measurement, "a Measurement")
    return sum(model(spans) for spans in measurement.iterations)


def residuals(model: RooflineModel = YI_34B,
              measurements: Iterable[Measurement] = YI_34B_MEASUREMENTS) -> list[tuple[str, float, float, float]]:
    """For each measurement: name, published seconds, the model's seconds, and the model's relative error."""
    rows = []
    for measurement in checked_list("measurements", measurements, Measurement, "Measurements"):
        seconds = predicted_seconds(model, measurement)
        rows.append((measurement.name, measurement.seconds, seconds, seconds / measurement.seconds - 1))
    return rows


# Table 2 of the paper: (median, 90th percentile) of prompt and output tokens, and the most tokens of both together.
OPENCHAT_SHAREGPT4 = ((1730, 5696), (415, 834), 8192)
ARXIV_SUMMARIZATION = ((7059, 12985), (208, 371), 16384)


def published_workload(lengths: tuple[tuple[int, int], tuple[int, int], int], num_requests: int, rate: float,
                       seed: int = 0) -> list[Request]:
    """Requests with Poisson arrivals at `rate` a second, and lengths distributed like those of a published dataset.

    Drawn from log-normal distributions with the dataset's median and 90th percentile; a request with more tokens than
    the dataset allows is drawn anew. All tokens are 0: for simulation only. ValueError for a rate that is not positive.
    """
    check_number("rate", rate, positive=True, hint="it counts requests a second")
    check_int("num_requests", num_requests, 0)
    check_seed(seed)
    try:
        prompt_lengths, output_lengths, most = lengths
        for median, p90 in (prompt_lengths, output_lengths):
            check_int("a median", median, 1)
            check_int("a 90th percentile", p90, median)
        # With fewer, hardly any request that is drawn would be short enough.
        check_int("the most tokens of both together", most, prompt_lengths[0] + output_lengths[0])
    except (TypeError, ValueError) as error:
        raise ValueError(f"lengths must be like OPENCHAT_SHAREGPT4, {OPENCHAT_SHAREGPT4}, got {show(lengths)}: "
                         f"{error}") from error
    generator = random.Random(seed)
    clock, requests = 0.0, []
    while len(requests) < num_requests:
        num_prompt_tokens = _log_normal(generator, *prompt_lengths)
        max_tokens = _log_normal(generator, *output_lengths)
        if num_prompt_tokens + max_tokens <= most:
            clock += generator.expovariate(rate)
            requests.append(Request(f"request {len(requests) + 1}", [0] * num_prompt_tokens, max_tokens, clock))
    return requests


def _log_normal(generator: random.Random, median: int, p90: int) -> int:
    """A whole number from 1 on; 1.2816 standard deviations above the mean lies a normal distribution's P90."""
    return max(1, round(generator.lognormvariate(math.log(median), math.log(p90 / median) / 1.2816)))
