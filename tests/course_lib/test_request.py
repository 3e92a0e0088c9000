"""What a request counts, and what it refuses."""

import pytest

from course_lib.request import Request, RequestStatus


def test_a_new_request_waits_and_has_computed_nothing() -> None:
    request = Request("a", range(5), max_tokens=3, arrival_time=1.5)
    assert (request.num_prompt_tokens, request.num_output_tokens, request.num_tokens) == (5, 0, 5)
    assert (request.num_computed_tokens, request.num_preemptions, request.arrival_time) == (0, 0, 1.5)
    assert request.status is RequestStatus.WAITING
    assert not request.is_finished


def test_output_counts_until_max_tokens() -> None:
    request = Request("a", [1, 2], max_tokens=2)
    request.output_token_ids.append(7)
    assert (request.num_output_tokens, request.num_tokens, request.is_finished) == (1, 3, False)
    request.output_token_ids.append(8)
    assert (request.num_output_tokens, request.num_tokens, request.is_finished) == (2, 4, True)


@pytest.mark.parametrize("start, end, expected", [
    (0, 3, [10, 11, 12]), (1, 2, [11]), (2, 4, [12, 20]), (0, 5, [10, 11, 12, 20, 21]), (3, 4, [20]), (4, 5, [21]),
    (3, 3, []),
])
def test_token_ids_run_over_prompt_and_output(start: int, end: int, expected: list[int]) -> None:
    request = Request("a", [10, 11, 12], max_tokens=2)
    request.output_token_ids += [20, 21]
    assert request.token_ids(start, end) == expected


def test_the_prompt_is_a_copy() -> None:
    prompt = [1, 2, 3]
    request = Request("a", prompt, max_tokens=1)
    prompt.append(4)
    assert request.prompt_token_ids == [1, 2, 3]


@pytest.mark.parametrize("prompt, max_tokens, arrival_time, message", [
    ([], 1, 0.0, "'a' has an empty prompt; it needs at least one token"),
    ([1], 0, 0.0, "max_tokens of request 'a' must be at least 1, got 0"),
    ([1], 1, -0.5, "arrival_time of request 'a' must be a number of at least 0, got -0.5; it counts in seconds"),
    ([1], 1, float("nan"), "arrival_time of request 'a' must be .* got nan"),
    ([1], 1, float("inf"), "arrival_time of request 'a' must be .* got inf"),
])
def test_impossible_requests_are_refused(prompt: list[int], max_tokens: int, arrival_time: float,
                                         message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Request("a", prompt, max_tokens, arrival_time)


def test_repr_shows_where_the_request_stands() -> None:
    assert repr(Request("a", [1, 2], 3)) == "Request('a', waiting, prompt 2, output 0/3, computed 0)"
