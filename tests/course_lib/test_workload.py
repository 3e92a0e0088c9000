"""The workloads: seeded, as long and as frequent as asked for, and refused where they make no sense."""

import statistics

import pytest

from course_lib.request import Request
from course_lib.workload import conversation_workload, mixed_workload, running_example


def facts(requests: list[Request]) -> list[tuple[str, list[int], int, float]]:
    return [(request.request_id, request.prompt_token_ids, request.max_tokens, request.arrival_time)
            for request in requests]


def test_running_example_has_a_long_prompt_and_a_short_one() -> None:
    long, short = running_example()
    assert (long.request_id, long.num_prompt_tokens, long.max_tokens) == ("1", 24, 3)
    assert (short.request_id, short.num_prompt_tokens, short.max_tokens) == ("2", 8, 4)
    assert long.arrival_time == short.arrival_time == 0.0


@pytest.mark.parametrize("make", [running_example, conversation_workload, mixed_workload])
def test_the_seed_decides(make) -> None:
    assert facts(make(seed=3)) == facts(make(seed=3))
    assert facts(make(seed=3)) != facts(make(seed=4))


@pytest.mark.parametrize("make", [running_example, conversation_workload, mixed_workload])
def test_token_ids_fit_the_vocabulary(make) -> None:
    token_ids = {token for request in make(vocab_size=7) for token in request.prompt_token_ids}
    assert token_ids == set(range(7))


def test_chats_keep_to_the_lengths_given() -> None:
    chats = conversation_workload(200, prompt_tokens=(3, 5), output_tokens=(1, 2))
    assert {chat.num_prompt_tokens for chat in chats} == {3, 4, 5}
    assert {chat.max_tokens for chat in chats} == {1, 2}


def test_arrivals_are_a_poisson_process() -> None:
    times = [chat.arrival_time for chat in conversation_workload(4000, rate=10.0, prompt_tokens=(1, 1), seed=1)]
    gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert min(gaps) > 0
    assert statistics.mean(gaps) == pytest.approx(0.1, rel=0.05)
    # An exponential distribution has its mean as standard deviation; evenly spaced arrivals would have 0.
    assert statistics.stdev(gaps) == pytest.approx(0.1, rel=0.1)


def test_more_chats_leave_the_earlier_ones_alone() -> None:
    assert facts(conversation_workload(9))[:5] == facts(conversation_workload(5))


def test_documents_come_among_the_same_chats() -> None:
    mixed = mixed_workload(6, 2, chat_rate=20.0, seed=5)
    assert [request.arrival_time for request in mixed] == sorted(request.arrival_time for request in mixed)
    chats = [request for request in mixed if request.request_id.startswith("chat")]
    documents = [request for request in mixed if request.request_id.startswith("document")]
    assert facts(chats) == facts(conversation_workload(6, rate=20.0, seed=5))
    assert [document.request_id for document in documents] == ["document 1", "document 2"]
    assert min(document.num_prompt_tokens for document in documents) >= 1024


def test_no_requests_are_allowed() -> None:
    assert conversation_workload(0) == []
    assert len(mixed_workload(num_chats=0, num_documents=2)) == 2


@pytest.mark.parametrize("settings, message", [
    ({"num_chats": -1}, "the number of chats must be at least 0, got -1"),
    ({"document_rate": 0}, "the rate of documents must be a positive number, got 0; it counts requests a second"),
    ({"chat_prompt_tokens": (0, 4)}, r"prompt_tokens of chats must be .* got \(0, 4\)"),
    ({"document_output_tokens": (5, 4)}, r"output_tokens of documents must be .* got \(5, 4\)"),
])
def test_bad_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixed_workload(**settings)
