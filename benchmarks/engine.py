"""Our engine beside Hugging Face transformers on the same random weights, and beside the machine's own limit.

Prefill of one prompt; decode of 1 and 8 sequences against `generate` with its faster cache; a mixed workload against
its continuous batching, and standard against chunked prefill on our engine. Ours is the whole engine with the reference
scheduler of notebook 04, timed from outside. All variants run in turns, so that a slow moment of the machine meets
all of them. It fails where work did not happen: every token is compared, and may differ only where the two best
logits are as close as rounding.

    python -m benchmarks.engine --output build/benchmarks/engine_cpu.json
    python -m benchmarks.engine --device cuda --output build/benchmarks/engine_cuda.json
"""

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from autograder import solutions
from benchmarks import huggingface
from benchmarks.limit import limit, matrix_rate, memory_bandwidth, synchronize
from benchmarks.measure import interleaved, ratio, summary, write
from course_lib.device import DeviceProfile, choose_device
from course_lib.engine import Execution, ModelExecutor, run
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.request import Request
from course_lib.scheduler import PrefillFirstScheduler, Scheduler, SchedulerConfig, SchedulerOutput

BATCHES = (1, 8)
BUDGETS = (128, 256)
DECODE_PROMPT = 128  # tokens in the cache before the first decode step
MAX_NUM_SEQS = 8
# What the two best logits may differ by where two right engines choose different tokens.
ROUNDING = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
# (what, against what) -> how many times as fast ours should be, or for the limit its share.
TARGETS = {
    ("prefill 512", "forward"): 1.0, ("prefill 2048", "forward"): 1.1,
    ("decode 1", "generate"): 2.0, ("decode 8", "generate"): 2.0,
    ("makespan 128", "continuous batching"): 3.0, ("makespan 256", "continuous batching"): 3.0,
    ("P99 TBT 128", "continuous batching"): 2.0, ("P99 TBT 256", "continuous batching"): 2.0,
    ("prefill 512", "limit"): 0.95, ("prefill 2048", "limit"): 0.95,
    ("decode 1", "limit"): 0.7, ("decode 8", "limit"): 0.7,
}


class TimedExecutor(ModelExecutor):
    """Notes when each iteration's tokens were there."""

    def __init__(self, model: ToyTransformer) -> None:
        super().__init__(model)
        self.ends: list[float] = []

    def execute(self, output: SchedulerOutput, requests: Mapping[str, Request]) -> Execution:
        """As ModelExecutor.execute."""
        execution = super().execute(output, requests)
        self.ends.append(time.perf_counter())
        return execution


class Bench:
    """The model, its peer, the workloads, and what every variant computed last."""

    def __init__(self, profile: DeviceProfile, num_tokens: int, quick: bool) -> None:
        self.profile = profile
        self.model = profile.new_model()
        self.peer = huggingface.llama(self.model)
        self.generator = random.Random(0)
        self.num_tokens = num_tokens
        self.lengths = (64,) if quick else tuple(sorted({512, 2048, profile.long_prompt}))
        self.batches = BATCHES
        self.budgets = BUDGETS[:1] if quick else BUDGETS
        self.mixed = [(16, 8)] * 6 + [(300, 4)] * 2 if quick else [(64, 48)] * 6 + [(profile.long_prompt, 16)] * 2
        self.mixed_prompts = [self.prompt(length) for length, _ in self.mixed]
        self.served: dict[str, dict[str, list[int]]] = {}
        self.compared = 0

    def prompt(self, length: int) -> list[int]:
        """Random token ids."""
        return [self.generator.randrange(self.model.config.vocab_size) for _ in range(length)]

    def variants(self) -> dict[str, Callable[[], Any]]:
        """Name -> a function that measures it once: "what, whose"."""
        found: dict[str, Callable[[], Any]] = {}
        for length in self.lengths:
            found |= self.prefill_variants(length)
        for batch in self.batches:
            found |= self.decode_variants(batch)
        for budget in self.budgets:
            found |= self.mixed_variants(budget)
        return found

    def prefill_variants(self, length: int) -> dict[str, Callable[[], float]]:
        """Seconds until the last logits of a prompt of `length` tokens are there: the median of three in a row, the
        first of which also pays for memory that the variant before it gave back to the system."""
        prompt = self.prompt(length)
        logits: dict[str, torch.Tensor] = {}

        def ours() -> float:
            with Timer(self.model.device) as timer:
                logits["ours"] = self.model([SequenceChunk(prompt, self.model.new_cache(length))])[0]
            return timer.seconds

        def forward() -> float:
            with Timer(self.model.device) as timer:
                logits["forward"] = huggingface.prefill(self.peer, prompt)
            error = (logits["ours"] - logits["forward"]).abs().max().item()
            if not error <= ROUNDING[self.profile.dtype]:
                raise SystemExit(f"prefill of {length} tokens: the logits differ by {error}")
            self.compared += 1
            return timer.seconds

        return {f"prefill {length}, ours": three(ours), f"prefill {length}, forward": three(forward),
                f"prefill {length}, limit": three(limit(self.model, [(length, length)]))}

    def decode_variants(self, batch: int) -> dict[str, Callable[[], float]]:
        """Seconds of one decode step of `batch` sequences: the median of a run's steps."""
        prompts = [self.prompt(DECODE_PROMPT) for _ in range(batch)]
        config = SchedulerConfig(max_num_batched_tokens=batch * DECODE_PROMPT, max_num_seqs=batch)

        def ours() -> float:
            requests = [Request(str(number), prompt, self.num_tokens) for number, prompt in enumerate(prompts)]
            executor = TimedExecutor(self.model)
            run(reference_scheduler(config), requests, executor)
            self.served[f"decode {batch}"] = {one.request_id: one.output_token_ids for one in requests}
            return median_step(executor.ends, self.num_tokens)

        def generate(cache: str) -> Callable[[], float]:
            def measure() -> float:
                times, output = huggingface.decode(self.peer, prompts, self.num_tokens, cache)
                self.compare(f"decode {batch}", dict(zip(map(str, range(batch)), output, strict=True)),
                             dict(zip(map(str, range(batch)), prompts, strict=True)))
                return median_step(times, self.num_tokens)
            return measure

        middle = DECODE_PROMPT + self.num_tokens // 2
        return {f"decode {batch}, ours": ours,
                **{f"decode {batch}, generate with {cache} cache": generate(cache) for cache in huggingface.CACHES},
                f"decode {batch}, limit": limit(self.model, [(1, middle)] * batch, repeats=self.num_tokens)}

    def mixed_variants(self, budget: int) -> dict[str, Callable[[], dict[str, float]]]:
        """Makespan, longest and P99 TBT of the mixed workload, in seconds."""
        config = SchedulerConfig(max_num_batched_tokens=budget, max_num_seqs=MAX_NUM_SEQS)

        def ours(scheduler: Callable[[SchedulerConfig], Scheduler], key: str) -> Callable[[], dict[str, float]]:
            def measure() -> dict[str, float]:
                requests, executor = self.mixed_requests(), TimedExecutor(self.model)
                start = time.perf_counter()
                trace = run(scheduler(config), requests, executor)
                times: dict[str, list[float]] = {request.request_id: [] for request in requests}
                for iteration, end in zip(trace.iterations, executor.ends, strict=True):
                    for work in iteration.work:
                        if work.samples_token:
                            times[work.request_id].append(end)
                self.served[key] = {request.request_id: request.output_token_ids for request in requests}
                return figures(start, times)
            return measure

        def continuous() -> dict[str, float]:
            requests = self.mixed_requests()
            start, times, token_ids = huggingface.serve(self.peer, requests, budget, MAX_NUM_SEQS)
            self.compare(f"mixed {budget}", token_ids,
                         {request.request_id: request.prompt_token_ids for request in requests})
            return figures(start, times)

        found = {f"mixed {budget}, ours": ours(reference_scheduler, f"mixed {budget}"),
                 f"mixed {budget}, continuous batching": continuous}
        return found | ({"mixed, standard": ours(PrefillFirstScheduler, "standard")} if budget == BUDGETS[0] else {})

    def mixed_requests(self) -> list[Request]:
        """Short requests first, then the long ones; all are there at the start."""
        return [Request(str(number), prompt, max_tokens)
                for number, (prompt, (_, max_tokens)) in enumerate(zip(self.mixed_prompts, self.mixed, strict=True))]

    def compare(self, key: str, theirs: dict[str, list[int]], prompts: dict[str, list[int]]) -> None:
        """Every request's tokens up to the first that differs, where the logits have to be as close as rounding."""
        ours = self.served[key]
        if lengths(ours) != lengths(theirs):
            raise SystemExit(f"{key}: not the same requests or numbers of tokens: {ours} and {theirs}")
        for name, tokens in ours.items():
            pairs = zip(tokens, theirs[name], strict=True)
            first = next((place for place, (mine, other) in enumerate(pairs) if mine != other), len(tokens))
            self.compared += first
            if first < len(tokens):
                before = prompts[name] + tokens[:first]
                logits = self.model([SequenceChunk(before, self.model.new_cache(len(before)))])[0].float()
                margin = (logits[tokens[first]] - logits[theirs[name][first]]).abs().item()
                if margin > ROUNDING[self.profile.dtype]:
                    raise SystemExit(f"{key}, request {name}, token {first}: {tokens[first]} and "
                                     f"{theirs[name][first]}, whose logits differ by {margin}")


def lengths(tokens: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """How many tokens each request has."""
    return {name: len(one) for name, one in tokens.items()}


class Timer:
    """Seconds of a block, until the device is done."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> "Timer":
        synchronize(self.device)
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        synchronize(self.device)
        self.seconds = time.perf_counter() - self.start


def three(measure: Callable[[], float]) -> Callable[[], float]:
    """The median of three measurements in a row."""
    return lambda: statistics.median(measure() for _ in range(3))


def reference_scheduler(config: SchedulerConfig) -> Scheduler:
    """Notebook 04's solution."""
    return solutions.load("04_scheduler", "StallFreeScheduler")(config)


def median_step(times: Sequence[float], num_tokens: int) -> float:
    """The median gap between the steps' times, without the first, which may still prepare something."""
    if len(times) != num_tokens:
        raise SystemExit(f"{len(times)} steps were timed instead of {num_tokens}")
    gaps = sorted(after - before for before, after in zip(times[1:], times[2:], strict=False))
    return gaps[len(gaps) // 2]


def figures(start: float, times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Makespan, P99 TBT (nearest rank) and longest TBT in seconds, from the times of each request's tokens."""
    gaps = sorted(after - before for one in times.values() for before, after in zip(one, one[1:], strict=False))
    return {"makespan": max(one[-1] for one in times.values()) - start,
            "P99 TBT": gaps[math.ceil(0.99 * len(gaps)) - 1], "longest TBT": gaps[-1]}


def by_figure(found: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """"what, whose" -> summary in seconds; a mixed workload's figures stand apart: "makespan 128, ours"."""
    summaries = {}
    for name, values in found.items():
        what, _, whose = name.partition(", ")
        if isinstance(values[0], dict):
            for figure in values[0]:
                key = f"{figure}{what.removeprefix('mixed')}, {whose}"
                summaries[key] = summary([value[figure] for value in values])
        else:
            summaries[name] = summary(values)
    for batch in BATCHES:  # of generate's caches the faster one counts
        caches = [summaries[f"decode {batch}, generate with {cache} cache"] for cache in huggingface.CACHES]
        summaries[f"decode {batch}, generate"] = min(caches, key=lambda one: one["median"])
    return summaries


def ratios(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """How many times as fast ours is as each peer, with the target; and chunked against standard."""
    rows = []
    for name in found:
        what, _, whose = name.partition(", ")
        if whose in ("forward", "generate", "continuous batching", "limit"):
            rows.append({"what": what, "against": whose, "ratio": ratio(found, f"{what}, ours", name),
                         "target": TARGETS.get((what, whose))})
    rows.append({"what": "longest TBT 128", "against": "standard", "target": 20.0,
                 "ratio": ratio(found, "longest TBT 128, ours", "longest TBT, standard")})
    rows.append({"what": "makespan 128", "against": "standard", "target": 0.95,
                 "ratio": ratio(found, "makespan 128, ours", "makespan, standard")})
    return rows


def shares(found: dict[str, dict[str, Any]], profile: DeviceProfile, num_tokens: int) -> dict[str, float]:
    """Of the device's matrix rate (prefill) and memory bandwidth (decode), both measured here, what ours makes use of.

    Counted are the products, and in a prefill the causal half of the attention; of the last layer only queries, keys
    and values, since a single row of it goes further. In decode: each weight, and each key and value in the cache, read
    once.
    """
    config, kv_size = profile.config, 2 * profile.config.num_key_value_heads * profile.config.head_dim
    qkv = config.hidden_size * (config.hidden_size + kv_size)
    per_layer = qkv + config.hidden_size * (config.hidden_size + 3 * config.intermediate_size)
    num_weights = config.num_hidden_layers * per_layer + config.vocab_size * config.hidden_size
    rate, bandwidth = matrix_rate(profile.device, profile.dtype), memory_bandwidth(profile.device)
    result = {"matrix rate, operations/s": rate, "memory bandwidth, bytes/s": bandwidth}
    for name, one in found.items():
        what, _, whose = name.partition(", ")
        kind, _, size = what.partition(" ")
        if whose == "ours" and kind == "prefill":
            whole_layers = config.num_hidden_layers - 1
            attention = 2 * whole_layers * config.hidden_size * int(size) ** 2
            work = 2 * (whole_layers * per_layer + qkv) * int(size) + attention
            result[f"{what}, share of the matrix rate"] = work / one["median"] / rate
        if whose == "ours" and kind == "decode":
            context = DECODE_PROMPT + num_tokens // 2
            values = num_weights + int(size) * context * config.num_hidden_layers * kv_size
            result[f"{what}, share of the bandwidth"] = values * profile.dtype.itemsize / one["median"] / bandwidth
    return result


def table(result: dict[str, Any]) -> str:
    """The result as two tables in Markdown."""
    lines = ["| | whose | median ms | fastest | slowest |", "|---|---|---:|---:|---:|"]
    for name, one in result["seconds"].items():
        what, _, whose = name.partition(", ")
        lines.append(f"| {what} | {whose} | " + " | ".join(f"{1000 * one[key]:.2f}" for key in ("median", "min", "max"))
                     + " |")
    lines += ["", "| | ours, against | times as fast | target | met |", "|---|---|---:|---:|---|"]
    for row in result["ratios"]:
        target, met = ("", "") if row["target"] is None else (row["target"], row["ratio"] >= row["target"])
        lines.append(f"| {row['what']} | {row['against']} | {row['ratio']:.2f} | {target} | "
                     f"{ {True: 'yes', False: 'no'}.get(met, '')} |")
    lines += ["", *(f"- {name}: {value:.3g}" for name, value in result["shares"].items())]
    return "\n".join(lines)


def main() -> None:
    """Measures, prints the tables and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a tiny model and workload: does it run at all?")
    parser.add_argument("--output", type=Path, default=None, help="default: build/benchmarks/engine_DEVICE.json")
    options = parser.parse_args()
    profile = choose_device(options.device)
    if options.quick:
        small = ModelConfig(128, 64, 2, 4, 2, 96, max_position_embeddings=512)
        profile = DeviceProfile(profile.name, profile.device, profile.dtype, small, long_prompt=300)
    num_tokens = 6 if options.quick else 65
    bench = Bench(profile, num_tokens, options.quick)
    found = by_figure(interleaved(bench.variants(), 1 if options.quick else options.rounds))
    result = {
        "dtype": str(profile.dtype).removeprefix("torch."), "config": asdict(profile.config),
        "rounds": len(next(iter(found.values()))["all"]), "decode": [DECODE_PROMPT, num_tokens], "mixed": bench.mixed,
        "tokens_compared": bench.compared, "ratios": ratios(found), "shares": shares(found, profile, num_tokens),
        "seconds": found,
    }
    print(table(result) + f"\n\n{bench.compared} tokens compared")
    output = options.output or Path(f"build/benchmarks/engine_{profile.device.type}.json")
    write(output, result, profile.device, ["transformers"])


if __name__ == "__main__":
    main()
