"""Runs traced by hand, plans that are refused, and what the executors keep and drop."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch

from course_lib.cost_model import ONE_SECOND, CostModel
from course_lib.engine import Execution, ModelExecutor, PlanError, SimulatedExecutor, run
from course_lib.kv_cache import KVCache
from course_lib.model import ModelConfig, ToyTransformer
from course_lib.request import Request
from course_lib.scheduler import (
    PlannedScheduler,
    PrefillFirstScheduler,
    Scheduler,
    SchedulerConfig,
    SchedulerOutput,
)
from course_lib.trace import Iteration, RequestInfo, Trace, Work

ONE_SECOND_A_TOKEN = CostModel(0.0, 1.0)


@pytest.fixture(scope="module")
def small_model() -> ToyTransformer:
    return ToyTransformer(ModelConfig(64, 64, 2, 4, 2, 96, max_position_embeddings=64))


def simulated(scheduler: Scheduler, requests: Sequence[Request], cost: CostModel = ONE_SECOND) -> Trace:
    """The trace of a simulated run, without the scheduler's own time, which is measured."""
    trace = run(scheduler, requests, SimulatedExecutor(cost))
    assert all(iteration.scheduling_seconds >= 0 for iteration in trace.iterations)
    return replace(trace, iterations=tuple(it._replace(scheduling_seconds=0.0) for it in trace.iterations))


def iterations(*rows: tuple[float, float, Sequence[Work]]) -> tuple[Iteration, ...]:
    return tuple(Iteration(index, start, end, 0.0, tuple(work)) for index, (start, end, work) in enumerate(rows))


def running_example() -> list[Request]:
    """Sequence 1 arrives with a long prompt while sequence 2 is generating."""
    return [Request("1", [1] * 6, max_tokens=2, arrival_time=1.0), Request("2", [2] * 2, max_tokens=5)]


INFOS = (RequestInfo("2", 0.0, 2, 5), RequestInfo("1", 1.0, 6, 2))
PROLOGUE = [{"2": 2}]


def test_running_example_standard() -> None:
    plans = [{"1": 6}, {"2": 1, "1": 1}, {"2": 1}, {"2": 1}, {"2": 1}]
    scheduler = PlannedScheduler(SchedulerConfig(), plans, PROLOGUE)
    assert simulated(scheduler, running_example()) == Trace(INFOS, iterations(
        (0, 1, [Work("2", 0, 2, True)]),
        (1, 2, [Work("1", 0, 6, True)]),
        (2, 3, [Work("2", 2, 1, True), Work("1", 6, 1, True)]),
        (3, 4, [Work("2", 3, 1, True)]),
        (4, 5, [Work("2", 4, 1, True)]),
        (5, 6, [Work("2", 5, 1, True)]),
    ))


def test_running_example_chunked() -> None:
    plans = [{"1": 2, "2": 1}, {"1": 2, "2": 1}, {"1": 2, "2": 1}, {"2": 1, "1": 1}]
    scheduler = PlannedScheduler(SchedulerConfig(), plans, PROLOGUE)
    assert simulated(scheduler, running_example()) == Trace(INFOS, iterations(
        (0, 1, [Work("2", 0, 2, True)]),
        (1, 2, [Work("1", 0, 2, False), Work("2", 2, 1, True)]),
        (2, 3, [Work("1", 2, 2, False), Work("2", 3, 1, True)]),
        (3, 4, [Work("1", 4, 2, True), Work("2", 4, 1, True)]),
        (4, 5, [Work("2", 5, 1, True), Work("1", 6, 1, True)]),
    ))


def test_clock_with_arrivals_mid_run_and_an_idle_server() -> None:
    requests = [
        Request("late", [1], max_tokens=1, arrival_time=20.0),
        Request("first", [1] * 4, max_tokens=2),
        Request("mid", [1] * 3, max_tokens=1, arrival_time=1.0),  # comes while `first` is computed: waits for its end
        Request("at the end", [1] * 2, max_tokens=1, arrival_time=7.0),  # when the iteration of `mid` ends: is seen
    ]
    trace = simulated(PrefillFirstScheduler(SchedulerConfig()), requests, ONE_SECOND_A_TOKEN)
    assert [info.request_id for info in trace.requests] == ["first", "mid", "at the end", "late"]
    assert trace.iterations == iterations(
        (0, 4, [Work("first", 0, 4, True)]),
        (4, 7, [Work("mid", 0, 3, True)]),
        (7, 9, [Work("at the end", 0, 2, True)]),
        (9, 10, [Work("first", 4, 1, True)]),
        (20, 21, [Work("late", 0, 1, True)]),
    )


def test_an_idle_server_asks_for_no_plan() -> None:
    requests = [Request("a", [1], 1), Request("b", [1], 1, arrival_time=9.0)]
    trace = simulated(PlannedScheduler(SchedulerConfig(), [{"a": 1}, {"b": 1}]), requests)
    assert trace.iterations == iterations((0, 1, [Work("a", 0, 1, True)]), (9, 10, [Work("b", 0, 1, True)]))


def test_requests_that_arrive_together_keep_their_order() -> None:
    trace = simulated(PrefillFirstScheduler(SchedulerConfig()), [Request(name, [1], 1) for name in "cab"])
    assert [iteration.work[0].request_id for iteration in trace.iterations] == ["c", "a", "b"]


class WaitForTwo(PrefillFirstScheduler):
    """Plans nothing while only one request is there."""

    def schedule(self) -> SchedulerOutput:
        if len(self.waiting) + len(self.running) < 2:
            return SchedulerOutput()
        return super().schedule()


def test_an_empty_plan_waits_for_the_next_arrival_and_is_an_error_after_the_last() -> None:
    requests = [Request("a", [1], 1), Request("b", [1], 1, arrival_time=5.0)]
    executor = SimulatedExecutor(ONE_SECOND)
    with pytest.raises(PlanError, match=r"planned nothing, but these requests are unfinished: \['b'\]"):
        run(WaitForTwo(SchedulerConfig()), requests, executor)
    assert requests[0].is_finished


def test_nothing_to_serve_gives_an_empty_trace() -> None:
    assert simulated(PrefillFirstScheduler(SchedulerConfig()), []) == Trace((), ())


def test_an_id_that_stands_twice_is_refused_before_anything_runs() -> None:
    requests = [Request("a", [1], 1), Request("a", [1], 1, arrival_time=9.0)]
    with pytest.raises(ValueError, match="request ids must differ, but 'a' stands twice"):
        run(PrefillFirstScheduler(SchedulerConfig()), requests, SimulatedExecutor(ONE_SECOND))
    assert not requests[0].output_token_ids


class Scripted(Scheduler):
    """A legal first iteration (a in part, f to its end, b left waiting), then `plan`, whatever it is."""

    def __init__(self, plan: object, executor: ModelExecutor) -> None:
        super().__init__(SchedulerConfig())
        self.plan, self.executor = plan, executor
        self.before: dict[str, tuple[int, torch.Tensor]] | None = None

    def schedule(self) -> SchedulerOutput:
        if self.before is None:
            self.admit(), self.admit()
            self.before = {}
            return SchedulerOutput({"a": 3, "f": 1})
        self.before = snapshot(self.executor.caches)
        return self.plan if not isinstance(self.plan, dict) else SchedulerOutput(self.plan)


def snapshot(caches: Mapping[str, KVCache]) -> dict[str, tuple[int, torch.Tensor]]:
    return {name: (cache.num_computed_tokens, cache.storage.clone()) for name, cache in caches.items()}


def scripted_requests() -> list[Request]:
    return [Request("a", [1, 2, 3, 4, 5], 2), Request("f", [9], 1), Request("b", [6, 7], 2)]


BAD_PLANS = {
    "unknown": ({"x": 1}, ["'x', which is not running; running are ['a']"]),
    "waiting": ({"a": 1, "b": 1}, ["'b', which is not running; running are ['a']", "moved to `running`"]),
    "finished": ({"f": 1}, ["'f', which is not running"]),
    "zero": ({"a": 0}, ["gives 'a' 0 tokens; it has 2 left to compute", "1..2"]),
    "negative": ({"a": -1}, ["gives 'a' -1 tokens", "1..2"]),
    "too many": ({"a": 3}, ["gives 'a' 3 tokens; it has 2 left to compute", "1..2"]),
    "float": ({"a": 2.0}, ["gives 'a' 2.0 tokens", "an int in 1..2"]),
    "none": ({"a": None}, ["gives 'a' None tokens", "an int in 1..2"]),
    "empty": ({}, ["planned nothing", "['a', 'b']"]),
    "no output": (None, ["schedule() must return a SchedulerOutput, got None"]),
    "a list": ([("a", 1)], ["schedule() must return a SchedulerOutput, got [('a', 1)]"]),
}


@pytest.mark.parametrize("plan, facts", BAD_PLANS.values(), ids=BAD_PLANS)
def test_bad_plans_are_refused_and_caches_unchanged(small_model: ToyTransformer, plan: object,
                                                    facts: list[str]) -> None:
    executor = ModelExecutor(small_model)
    scheduler, requests = Scripted(plan, executor), scripted_requests()
    with pytest.raises(PlanError) as raised:
        run(scheduler, requests, executor)
    for fact in facts:
        assert fact in str(raised.value)
    assert list(scheduler.before) == list(executor.caches) == ["a"]
    (count, storage), cache = scheduler.before["a"], executor.caches["a"]
    assert (count, cache.num_computed_tokens, requests[0].num_computed_tokens) == (3, 3, 3)
    assert torch.equal(cache.storage, storage)
    assert requests[2].num_computed_tokens == 0


def test_a_run_that_broke_off_does_not_spoil_the_next(small_model: ToyTransformer) -> None:
    executor = ModelExecutor(small_model)
    with pytest.raises(PlanError):
        run(Scripted({"x": 1}, executor), scripted_requests(), executor)
    again = scripted_requests()
    run(PrefillFirstScheduler(SchedulerConfig()), again, executor)
    fresh = scripted_requests()
    run(PrefillFirstScheduler(SchedulerConfig()), fresh, ModelExecutor(small_model))
    assert [request.output_token_ids for request in again] == [request.output_token_ids for request in fresh]


def test_serving_the_same_requests_again_is_refused(small_model: ToyTransformer) -> None:
    requests = scripted_requests()
    run(PrefillFirstScheduler(SchedulerConfig()), requests, ModelExecutor(small_model))
    with pytest.raises(ValueError, match="'a' is finished, not waiting.*make a new Request"):
        run(PrefillFirstScheduler(SchedulerConfig()), requests, ModelExecutor(small_model))


def test_caches_are_freed_when_their_requests_finish(small_model: ToyTransformer) -> None:
    executor = ModelExecutor(small_model)
    held = []

    class Watching(PrefillFirstScheduler):
        def schedule(self) -> SchedulerOutput:
            held.append(sorted(executor.caches))
            return super().schedule()

    run(Watching(SchedulerConfig()), scripted_requests(), executor)
    assert held == [[], ["a"], ["a"], ["a", "b"]]
    assert executor.caches == {}


def test_executor_refuses_a_request_whose_count_is_not_its_cache_s(small_model: ToyTransformer) -> None:
    executor, request = ModelExecutor(small_model), Request("a", [1, 2, 3, 4], 2)
    executor.execute(SchedulerOutput({"a": 2}), {"a": request})
    with pytest.raises(RuntimeError, match="'a' counts 0 computed tokens, its cache holds 2.*update_from_output"):
        executor.execute(SchedulerOutput({"a": 2}), {"a": request})
    request.num_computed_tokens = 2
    execution = executor.execute(SchedulerOutput({"a": 2}), {"a": request})
    assert list(execution.sampled) == ["a"] and executor.caches["a"].num_computed_tokens == 4


def test_executor_drops_preempted_caches_first(small_model: ToyTransformer) -> None:
    executor = ModelExecutor(small_model)
    requests = {name: Request(name, [1, 2, 3, 4], 2) for name in "ab"}
    executor.execute(SchedulerOutput({"a": 4, "b": 2}), requests)
    requests["a"].num_computed_tokens = 4
    requests["a"].output_token_ids.append(5)
    executor.execute(SchedulerOutput({"a": 1}, preempted_req_ids=("b",)), requests)
    assert list(executor.caches) == ["a"]


def test_simulated_executor_hands_the_cost_model_each_span() -> None:
    seen = []
    executor = SimulatedExecutor(lambda spans: seen.append(spans) or 2.5)
    requests = {"a": Request("a", [1] * 4, 1), "b": Request("b", [1] * 9, 1)}
    requests["b"].num_computed_tokens = 5
    assert executor.execute(SchedulerOutput({"b": 3, "a": 4}), requests) == Execution({"b": 0, "a": 0}, 2.5)
    assert seen == [[(5, 3), (0, 4)]]
