"""A check's own simulation of a server under a plan, straight from the rules; it runs neither engine nor reference."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autograder.scheduling import share_out

MAX_NUM_SEQS = 32  # as notebook 08 has it

Clock = Callable[[list[tuple[int, int]]], float]


@dataclass(frozen=True)
class Plan:
    """A way to run the server, as notebook 08 has it."""

    policy: str
    budget: int
    threshold: int = 0

    @property
    def fields(self) -> list:
        """Policy, budget and threshold, as they travel to the adapter."""
        return [self.policy, self.budget, self.threshold]

    def __str__(self) -> str:
        return f"{self.policy} {self.budget}" + (f", threshold {self.threshold}" if self.threshold else "")


@dataclass
class Job:
    """A request to be served, and how far it has come. Times in seconds."""

    request_id: str
    prompt: int
    output: int
    arrival: float
    computed: int = 0
    tokens: list[float] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Tokens that are there and not computed yet."""
        return self.prompt + len(self.tokens) - self.computed

    @property
    def gaps(self) -> list[float]:
        """Times between its tokens."""
        return [self.tokens[place] - self.tokens[place - 1] for place in range(1, len(self.tokens))]


@dataclass(frozen=True)
class Figures:
    """What a run has cost: the finished jobs, and the numbers of notebook 08."""

    jobs: tuple[Job, ...]
    throughput: float
    p99_tbt: float
    median_ttft: float

    @property
    def gaps(self) -> list[float]:
        """The gaps of all jobs."""
        return [gap for job in self.jobs for gap in job.gaps]

    @property
    def ttfts(self) -> list[float]:
        """The time to first token of each job."""
        return [job.tokens[0] - job.arrival for job in self.jobs]


def serve(jobs: Sequence[tuple[str, int, int, float]], plan: Plan, clock: Clock) -> Figures:
    """Serves (id, prompt, output, arrival) jobs to the end under a plan; `clock` gives an iteration's seconds."""
    coming = sorted((Job(*job) for job in jobs), key=lambda job: job.arrival)
    everybody, line, running = list(coming), [], []
    now, seats = 0.0, min(MAX_NUM_SEQS, plan.budget)
    while coming or line or running:
        if not line and not running:
            now = max(now, coming[0].arrival)
        while coming and coming[0].arrival <= now:
            line.append(coming.pop(0))
        shares = _shares(plan, running, line, seats)
        served = [job for job in running + line if shares.get(job.request_id)]
        line = [job for job in line if job not in served]
        running += [job for job in served if job not in running]
        now += clock([(job.computed, shares[job.request_id]) for job in served])
        for job in served:
            job.computed += shares[job.request_id]
            if job.left == 0:
                job.tokens.append(now)
        running = [job for job in running if len(job.tokens) < job.output]
    span = now - min(job.arrival for job in everybody)
    gaps = [gap for job in everybody for gap in job.gaps]
    return Figures(tuple(everybody), sum(job.output for job in everybody) / span, nearest_rank(gaps, 99),
                   statistics.median(job.tokens[0] - job.arrival for job in everybody))


def _shares(plan: Plan, running: list[Job], line: list[Job], seats: int) -> Mapping[str, int]:
    """Tokens for each request in the next iteration."""
    free = max(0, seats - len(running))
    if plan.policy == "prefill-first":
        if line and free:
            return {line[0].request_id: line[0].left}
        return {job.request_id: 1 for job in running}
    served = running + line[:free]
    wants = [min(job.left, plan.threshold or job.left) for job in served]
    return share_out(served, wants, plan.budget)


def nearest_rank(values: Sequence[float], percent: int) -> float:
    """The smallest of the values that `percent` of them do not exceed, by counting; 0.0 without values."""
    for value in sorted(values):
        if 100 * sum(other <= value for other in values) >= percent * len(values):
            return value
    return 0.0
