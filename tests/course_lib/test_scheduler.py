"""The scheduler's bookkeeping, and the two policies that are given."""

import pytest

from course_lib.request import Request, RequestStatus
from course_lib.scheduler import (
    PlannedScheduler,
    PrefillFirstScheduler,
    Scheduler,
    SchedulerConfig,
    SchedulerOutput,
)


def make_request(request_id: str, num_prompt_tokens: int = 4, max_tokens: int = 2) -> Request:
    return Request(request_id, [1] * num_prompt_tokens, max_tokens)


def step(scheduler: Scheduler) -> tuple[dict[str, int], list[str]]:
    """One iteration in which every candidate token is 9: the plan, and who finished."""
    output = scheduler.schedule()
    plan = output.num_scheduled_tokens
    return plan, scheduler.update_from_output(output, dict.fromkeys(plan, 9))


@pytest.mark.parametrize("settings, message", [
    ({"max_num_batched_tokens": 0}, "max_num_batched_tokens must be at least 1, got 0"),
    ({"max_num_seqs": 0}, "max_num_seqs must be at least 1, got 0"),
    ({"block_size": -1}, "block_size must be at least 1, got -1"),
    ({"max_num_batched_tokens": 7}, "at least max_num_seqs, .*; got 7 and 8"),
    ({"long_prefill_token_threshold": -1}, "long_prefill_token_threshold must be at least 0, got -1"),
    ({"num_kv_blocks": 0}, "num_kv_blocks must be at least 1, got 0; None is allowed, too"),
])
def test_bad_configs_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SchedulerConfig(**settings)


def test_the_skeleton_has_no_policy() -> None:
    with pytest.raises(NotImplementedError, match="notebook 04"):
        Scheduler(SchedulerConfig()).schedule()


def test_a_prompt_over_the_budget_needs_chunking() -> None:
    config = {"max_num_batched_tokens": 8, "max_num_seqs": 2}
    whole = Scheduler(SchedulerConfig(**config, enable_chunked_prefill=False))
    whole.add_request(make_request("fits", 8))
    with pytest.raises(ValueError, match="'long' has a prompt of 9 .*max_num_batched_tokens=8.*enable chunked"):
        whole.add_request(make_request("long", 9))
    assert [request.request_id for request in whole.waiting] == ["fits"]
    Scheduler(SchedulerConfig(**config)).add_request(make_request("long", 9))


def test_a_request_larger_than_the_kv_pool_is_refused() -> None:
    scheduler = Scheduler(SchedulerConfig(block_size=4, num_kv_blocks=3))
    scheduler.add_request(make_request("fits", 10, max_tokens=3))  # 12 places: the last token is never fed back
    with pytest.raises(ValueError, match="'large' needs 4 KV blocks of 4 tokens, the whole pool has 3"):
        scheduler.add_request(make_request("large", 10, max_tokens=4))


def test_ids_are_unique_among_the_unfinished() -> None:
    scheduler = PrefillFirstScheduler(SchedulerConfig())
    scheduler.add_request(make_request("a", max_tokens=1))
    with pytest.raises(ValueError, match="'a' is here already"):
        scheduler.add_request(make_request("a"))
    assert step(scheduler) == ({"a": 4}, ["a"])
    scheduler.add_request(make_request("a"))


def test_a_request_that_was_served_before_is_refused() -> None:
    scheduler = PrefillFirstScheduler(SchedulerConfig())
    request = make_request("a", max_tokens=1)
    scheduler.add_request(request)
    step(scheduler)
    with pytest.raises(ValueError, match="'a' is finished, not waiting.*make a new Request"):
        scheduler.add_request(request)
    assert not scheduler.has_unfinished_requests()


def test_update_books_chunks_tokens_and_ends() -> None:
    scheduler = Scheduler(SchedulerConfig())
    long, short = make_request("long", 5, 2), make_request("short", 1, 1)
    for request in (long, short):
        scheduler.add_request(request)
        assert scheduler.admit() is request
        assert request.status is RequestStatus.RUNNING
    assert scheduler.running == [long, short]

    # A candidate amid the prompt is nobody's token.
    both = SchedulerOutput({"long": 3, "short": 1})
    assert scheduler.update_from_output(both, {"long": 70, "short": 71}) == ["short"]
    assert (long.num_computed_tokens, long.output_token_ids) == (3, [])
    assert (short.output_token_ids, short.status) == ([71], RequestStatus.FINISHED)
    assert scheduler.running == [long]

    assert scheduler.update_from_output(SchedulerOutput({"long": 2}), {"long": 72}) == []
    assert (long.num_computed_tokens, long.output_token_ids) == (5, [72])
    assert scheduler.update_from_output(SchedulerOutput({}), {}) == []  # passed over
    assert long.num_computed_tokens == 5
    assert scheduler.update_from_output(SchedulerOutput({"long": 1}), {"long": 73}) == ["long"]
    assert (long.num_computed_tokens, long.output_token_ids) == (6, [72, 73])
    assert not scheduler.has_unfinished_requests()


def test_update_reads_a_candidate_only_where_a_token_comes_out() -> None:
    scheduler = Scheduler(SchedulerConfig())
    scheduler.add_request(make_request("a", 5))
    scheduler.admit()
    assert scheduler.update_from_output(SchedulerOutput({"a": 4}), {}) == []


def test_recomputing_after_a_preemption_gives_no_token_before_its_end() -> None:
    scheduler, request = Scheduler(SchedulerConfig()), make_request("a", 4, max_tokens=4)
    scheduler.add_request(request)
    scheduler.admit()
    request.output_token_ids += [50, 51]  # prompt and output, 6 tokens, have to be computed again
    assert scheduler.update_from_output(SchedulerOutput({"a": 5}), {"a": 70}) == []
    assert request.output_token_ids == [50, 51]
    assert scheduler.update_from_output(SchedulerOutput({"a": 1}), {"a": 71}) == []
    assert request.output_token_ids == [50, 51, 71]


def test_prefill_first_runs_whole_prompts_alone_before_any_decode() -> None:
    scheduler = PrefillFirstScheduler(SchedulerConfig(max_num_batched_tokens=8, max_num_seqs=2))
    scheduler.add_request(make_request("a", 20, max_tokens=3))
    assert step(scheduler) == ({"a": 20}, [])  # whatever the budget
    for request_id in "bc":
        scheduler.add_request(make_request(request_id, 4, max_tokens=2))
    assert step(scheduler) == ({"b": 4}, [])  # a, which could decode, waits
    assert step(scheduler) == ({"a": 1, "b": 1}, ["b"])  # no seat for c
    assert step(scheduler) == ({"c": 4}, [])
    assert step(scheduler) == ({"a": 1, "c": 1}, ["a", "c"])
    assert not scheduler.has_unfinished_requests()


def test_planned_scheduler_follows_prologue_and_plans() -> None:
    scheduler = PlannedScheduler(SchedulerConfig(), plans=[{"b": 2}, {"a": 1, "b": 2}], prologue=[{"a": 4}])
    for request_id in "abc":
        scheduler.add_request(make_request(request_id))
    assert step(scheduler) == ({"a": 4}, [])
    assert [request.request_id for request in scheduler.waiting] == ["b", "c"]
    assert step(scheduler) == ({"b": 2}, [])
    assert [request.request_id for request in scheduler.running] == ["a", "b"]
    assert step(scheduler) == ({"a": 1, "b": 2}, ["a"])
    with pytest.raises(ValueError, match="plan has ended.*not finished: b, c"):
        scheduler.schedule()


def test_planned_scheduler_keeps_the_order_of_those_that_wait_on() -> None:
    scheduler = PlannedScheduler(SchedulerConfig(), plans=[{"c": 1}])
    for request_id in "abcd":
        scheduler.add_request(make_request(request_id))
    scheduler.schedule()
    assert [request.request_id for request in scheduler.waiting] == ["a", "b", "d"]


def test_planned_scheduler_copies_its_plans() -> None:
    plan = {"a": 4}
    scheduler = PlannedScheduler(SchedulerConfig(), plans=[plan])
    scheduler.add_request(make_request("a"))
    plan["a"] = 1
    assert scheduler.schedule().num_scheduled_tokens == {"a": 4}
