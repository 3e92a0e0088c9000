"""A schedule changes when tokens are computed, never which tokens come out."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.documents import long_document, prompt_for
from course_lib.engine import ModelExecutor, run
from course_lib.model import ToyTransformer
from course_lib.recite import reciting_model
from course_lib.request import Request, RequestStatus
from course_lib.scheduler import PrefillFirstScheduler, Scheduler, SchedulerConfig, SchedulerOutput
from course_lib.trace import Trace


@pytest.fixture(scope="module")
def reciter() -> ToyTransformer:
    return reciting_model()


class RandomScheduler(Scheduler):
    """Any legal plan: any order, any number of tokens, requests passed over, now and then one preempted."""

    def __init__(self, seed: int) -> None:
        super().__init__(SchedulerConfig())
        self.random = random.Random(seed)

    def schedule(self) -> SchedulerOutput:
        preempted = []
        if len(self.running) > 1 and self.random.random() < 0.15:
            victim = self.running.pop(self.random.randrange(len(self.running)))
            victim.status, victim.num_computed_tokens = RequestStatus.PREEMPTED, 0
            victim.num_preemptions += 1
            self.waiting.appendleft(victim)
            preempted.append(victim.request_id)
        while self.waiting and (not self.running or self.random.random() < 0.5):
            self.admit()
        plan = {}
        for request in self.random.sample(self.running, self.random.randint(1, len(self.running))):
            left = request.num_tokens - request.num_computed_tokens
            plan[request.request_id] = self.random.choice([left, self.random.randint(1, left)])
        return SchedulerOutput(plan, preempted)  # a list, as a learner may well write it


def reciting_requests() -> tuple[list[Request], list[list[int]]]:
    """Three requests, and the tokens that each must recite, whatever the schedule."""
    documents = [long_document(length, seed) for seed, length in enumerate((12, 25, 31))]
    requests = [Request(str(index), prompt_for(document), max_tokens, arrival_time=0.004 * index)
                for index, (document, max_tokens) in enumerate(zip(documents, (8, 5, 1), strict=True))]
    return requests, [(document + document)[2:2 + request.max_tokens]
                      for document, request in zip(documents, requests, strict=True)]


def scheduled_tokens(trace: Trace, request_id: str) -> list[tuple[int, int]]:
    return [(work.start_pos, work.num_tokens) for iteration in trace.iterations for work in iteration.work
            if work.request_id == request_id]


def assert_consistent(trace: Trace, requests: Sequence[Request]) -> None:
    """No token skipped or repeated except after a preemption; as many tokens out as asked for; time moves on."""
    for request in requests:
        computed = num_outputs = total = 0
        for iteration in trace.iterations:
            if request.request_id in iteration.preempted:
                computed = 0
            for work in iteration.work:
                if work.request_id == request.request_id:
                    assert work.start_pos == computed
                    computed += work.num_tokens
                    total += work.num_tokens
                    assert work.samples_token == (computed == request.num_prompt_tokens + num_outputs)
                    num_outputs += work.samples_token
        assert num_outputs == request.num_output_tokens == request.max_tokens
        assert computed == request.num_prompt_tokens + request.max_tokens - 1
        assert total == computed or request.num_preemptions
    for previous, following in zip(trace.iterations, trace.iterations[1:], strict=False):
        assert previous.start <= previous.end <= following.start


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_no_schedule_changes_the_tokens(reciter: ToyTransformer, seed: int) -> None:
    requests, expected = reciting_requests()
    executor = ModelExecutor(reciter)
    trace = run(RandomScheduler(seed), requests, executor)
    assert [request.output_token_ids for request in requests] == expected
    assert_consistent(trace, requests)
    assert executor.caches == {}
    assert Trace.from_json(trace.to_json()) == trace


def test_each_request_alone_and_prefill_first_give_the_same_tokens(reciter: ToyTransformer) -> None:
    requests, expected = reciting_requests()
    for request in requests:
        run(PrefillFirstScheduler(SchedulerConfig()), [request], ModelExecutor(reciter))
    assert [request.output_token_ids for request in requests] == expected
    requests, expected = reciting_requests()
    trace = run(PrefillFirstScheduler(SchedulerConfig()), requests, ModelExecutor(reciter))
    assert [request.output_token_ids for request in requests] == expected
    assert_consistent(trace, requests)


class PreemptAt(PrefillFirstScheduler):
    """Preempts the tail of `running` in iteration `index`; with `alone`, that iteration does nothing else."""

    def __init__(self, index: int, alone: bool = False) -> None:
        super().__init__(SchedulerConfig())
        self.countdown, self.alone = index, alone

    def schedule(self) -> SchedulerOutput:
        self.countdown -= 1
        if self.countdown != -1:
            return super().schedule()
        victim = self.running.pop()
        victim.status, victim.num_computed_tokens = RequestStatus.PREEMPTED, 0
        victim.num_preemptions += 1
        self.waiting.appendleft(victim)
        plan = {} if self.alone else {request.request_id: 1 for request in self.running}
        return SchedulerOutput(plan, (victim.request_id,))


def test_a_preempted_request_keeps_its_tokens_and_computes_them_again(reciter: ToyTransformer) -> None:
    requests, expected = reciting_requests()
    requests = [Request(request.request_id, request.prompt_token_ids, request.max_tokens) for request in requests[:2]]
    # Two prefills and two decode steps, then request 1 goes and comes back with 27 + 3 tokens to compute.
    trace = run(PreemptAt(4), requests, ModelExecutor(reciter))
    assert [request.output_token_ids for request in requests] == expected[:2]
    assert [request.num_preemptions for request in requests] == [0, 1]
    assert [iteration.preempted for iteration in trace.iterations] == [()] * 4 + [("1",)] + [()] * 5
    assert scheduled_tokens(trace, "1") == [(0, 27), (27, 1), (28, 1), (0, 30), (30, 1)]
    assert requests[1].status is RequestStatus.FINISHED


def test_a_preemption_without_any_work_frees_the_cache_too(reciter: ToyTransformer) -> None:
    document = long_document(12)
    requests = [Request("a", prompt_for(document), 4), Request("b", [1, 2, 3], 1, arrival_time=1e6)]
    run(PreemptAt(2, alone=True), requests, ModelExecutor(reciter))
    assert requests[0].output_token_ids == document[2:6]
