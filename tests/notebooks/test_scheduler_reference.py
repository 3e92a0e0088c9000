"""The reference scheduler of notebook 04, against the rules written down another way, and with a model behind it."""

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autograder import solutions
from course_lib.documents import long_document, prompt_for
from course_lib.engine import ModelExecutor, SimulatedExecutor, run
from course_lib.recite import reciting_model
from course_lib.request import Request
from course_lib.scheduler import Scheduler, SchedulerConfig
from course_lib.trace import Trace
from course_lib.workload import conversation_workload, mixed_workload

THOROUGH = settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])


def policy(name: str) -> Callable[[SchedulerConfig], Scheduler]:
    return solutions.load("04_scheduler", name)


@st.composite
def workloads(draw: st.DrawFn) -> tuple[SchedulerConfig, list[Request]]:
    """Limits and requests with arrivals amid the run; small numbers, so that all limits meet."""
    seats = draw(st.integers(1, 5))
    config = SchedulerConfig(draw(st.integers(seats, 24)), seats,
                             long_prefill_token_threshold=draw(st.sampled_from([0, 0, 1, 3, 7, 30])))
    one = st.tuples(st.integers(1, 50), st.integers(1, 6), st.integers(0, 12))
    requests = [Request(f"r{number}", [0] * num_prompt_tokens, max_tokens, float(arrival))
                for number, (num_prompt_tokens, max_tokens, arrival) in enumerate(draw(st.lists(one, max_size=8)))]
    return config, requests


def one_second(spans: list[tuple[int, int]]) -> float:
    return 1.0


def plans_of(trace: Trace) -> list[dict[str, int]]:
    return [{work.request_id: work.num_tokens for work in iteration.work} for iteration in trace.iterations]


def coin_by_coin(config: SchedulerConfig, requests: list[Request]) -> list[list[tuple[str, int]]]:
    """The plans by another route: every token of the budget is a coin, and goes to the first in line who may take it.

    In line are the running requests in admission order, then as many waiting ones, in order of arrival, as there are
    seats. Each may take coins until its work left or the threshold is reached. One iteration takes one second.
    """
    line = [{"id": request.request_id, "arrival": request.arrival_time, "left": request.num_prompt_tokens,
             "outputs_left": request.max_tokens, "runs": False}
            for request in sorted(requests, key=lambda request: request.arrival_time)]
    limit = config.long_prefill_token_threshold or config.max_num_batched_tokens
    clock, plans = 0.0, []
    while line:
        if not any(one["arrival"] <= clock for one in line):
            clock = line[0]["arrival"]
        here = [one for one in line if one["arrival"] <= clock][:config.max_num_seqs]
        coins = {one["id"]: 0 for one in here}
        for _ in range(config.max_num_batched_tokens):
            taker = next((one for one in here if coins[one["id"]] < min(one["left"], limit)), None)
            if taker is not None:
                coins[taker["id"]] += 1
        plans.append([(key, n) for key, n in coins.items() if n])
        for one in here:
            one["left"] -= coins[one["id"]]
            if one["left"] == 0:  # a token comes out, and unless it is the last there is one more to compute
                one["outputs_left"] -= 1
                one["left"] = 1
        line = [one for one in line if one["outputs_left"]]
        clock += 1.0
    return plans


@THOROUGH
@given(workloads())
@example((SchedulerConfig(8, 4), [Request("exact", [0] * 16, 2)]))
@example((SchedulerConfig(8, 4), [Request("one over", [0] * 17, 1)]))
@example((SchedulerConfig(3, 3), [Request(f"r{number}", [0], 4) for number in range(5)]))
@example((SchedulerConfig(8, 4), []))
def test_plans_equal_the_coin_by_coin_ones_order_included(workload: tuple[SchedulerConfig, list[Request]]) -> None:
    assert_plans_equal(*workload)


def test_plans_equal_the_coin_by_coin_ones_on_thousands_of_seeded_workloads() -> None:
    for seed in range(3000):  # plain random numbers, since hypothesis takes longer to draw a workload than we to run it
        generator = random.Random(seed)
        seats = generator.randint(1, 5)
        config = SchedulerConfig(seats + generator.randint(0, 16), seats,
                                 long_prefill_token_threshold=generator.choice([0, 1, 4, 9, 40]))
        assert_plans_equal(config, [
            Request(f"r{number}", [0] * generator.randint(1, 40), generator.randint(1, 5), generator.randint(0, 9))
            for number in range(generator.randint(1, 6))
        ])


def assert_plans_equal(config: SchedulerConfig, requests: list[Request]) -> None:
    expected = coin_by_coin(config, requests)
    trace = run(policy("StallFreeScheduler")(config), requests, SimulatedExecutor(one_second))
    assert [list(plan.items()) for plan in plans_of(trace)] == expected


@THOROUGH
@given(workloads())
def test_the_invariants_hold(workload: tuple[SchedulerConfig, list[Request]]) -> None:
    config, requests = workload
    token_iterations = solutions.load("04_scheduler", "token_iterations")
    trace = run(policy("StallFreeScheduler")(config), requests, SimulatedExecutor(one_second))
    plans = plans_of(trace)
    assert all(0 < sum(plan.values()) <= config.max_num_batched_tokens for plan in plans)
    assert all(len(plan) <= config.max_num_seqs for plan in plans)
    assert all(request.is_finished for request in requests)
    threshold = config.long_prefill_token_threshold or config.max_num_batched_tokens
    assert all(num_tokens <= threshold for plan in plans for num_tokens in plan.values())
    for request in requests:
        mine = [work for iteration in trace.iterations for work in iteration.work
                if work.request_id == request.request_id]
        assert sum(work.num_tokens for work in mine) == request.num_prompt_tokens + request.max_tokens - 1
        ends = [0, *(work.start_pos + work.num_tokens for work in mine)]
        assert [work.start_pos for work in mine] == ends[:-1]  # nothing skipped, nothing twice
        served = [index for index, plan in enumerate(plans) if request.request_id in plan]
        assert served == list(range(served[0], served[-1] + 1))  # once admitted, in every iteration until it is done
        tokens = [iteration.index for iteration in trace.iterations for work in iteration.work
                  if work.request_id == request.request_id and work.samples_token]
        given_to_it = [plan.get(request.request_id, 0) for plan in plans]
        assert token_iterations(request.num_prompt_tokens, request.max_tokens, given_to_it) == tokens
    order = [key for plan in plans for key in plan]
    arrivals = [request.request_id for request in sorted(requests, key=lambda request: request.arrival_time)]
    assert list(dict.fromkeys(order)) == arrivals  # first come, first admitted


@given(workloads())
@settings(deadline=None, max_examples=100)
def test_plan_running_is_the_first_half_of_the_schedule(workload: tuple[SchedulerConfig, list[Request]]) -> None:
    """Along a whole run: what plan_running gives to the running requests is what schedule() gives them."""
    config, requests = workload
    plan_running = solutions.load("04_scheduler", "plan_running")

    class Compared(policy("StallFreeScheduler")):
        def schedule(self):
            running = list(self.running)
            first = plan_running(running, self.config)
            output = super().schedule()
            ids = [request.request_id for request in running]
            assert first == {key: n for key, n in output.num_scheduled_tokens.items() if key in ids}
            return output

    run(Compared(config), requests, SimulatedExecutor(one_second))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("make", [conversation_workload, mixed_workload])
def test_no_decode_waits_in_the_course_workloads(make: Callable, seed: int) -> None:
    config = SchedulerConfig(max_num_batched_tokens=64, max_num_seqs=8, long_prefill_token_threshold=40 * (seed % 2))
    trace = run(policy("StallFreeScheduler")(config), make(seed=seed), SimulatedExecutor(lambda spans: 0.01))
    for request in trace.requests:
        tokens = [iteration.index for iteration in trace.iterations for work in iteration.work
                  if work.request_id == request.request_id and work.samples_token]
        assert tokens == list(range(tokens[0], tokens[0] + request.max_tokens))


@pytest.fixture(scope="module")
def reciter():
    return reciting_model()


@pytest.mark.parametrize("name, limits", [
    ("RequestLevelScheduler", SchedulerConfig(64, 3)),
    ("PrefillFirstScheduler", SchedulerConfig(64, 3)),
    ("StallFreeScheduler", SchedulerConfig(64, 3)),
    ("StallFreeScheduler", SchedulerConfig(7, 5)),
    ("StallFreeScheduler", SchedulerConfig(48, 5, long_prefill_token_threshold=9)),
])
def test_every_policy_gives_each_request_the_tokens_it_gets_alone(name: str, limits: SchedulerConfig, reciter) -> None:
    """The model that recites has a wide margin, so its tokens are compared exactly."""
    documents = {f"r{number}": long_document(length, seed=number)
                 for number, length in enumerate([40, 9, 63, 21, 14])}

    def requests(ids: list[str]) -> list[Request]:
        return [Request(key, prompt_for(documents[key]), 6 + len(documents[key]) % 5, arrival_time=1e-4 * number)
                for number, key in enumerate(ids)]

    alone = {}
    for key in documents:
        (request,) = requests([key])
        run(policy("PrefillFirstScheduler")(limits), [request], ModelExecutor(reciter))
        alone[key] = request.output_token_ids
        assert alone[key] == (documents[key] * 2)[2:2 + request.max_tokens]
    together = requests(list(documents))
    trace = run(policy(name)(limits), together, ModelExecutor(reciter))
    assert {request.request_id: request.output_token_ids for request in together} == alone
    assert any(len(iteration.work) > 1 for iteration in trace.iterations)  # they did run together
