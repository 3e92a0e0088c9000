"""A request: one prompt, and the tokens generated for it so far."""

from collections.abc import Sequence
from enum import Enum

from course_lib.validate import check_int, check_number, check_token_ids, check_type


class RequestStatus(Enum):
    """Where a request stands. A preempted request waits again, and runs again once it is admitted."""

    WAITING = "waiting"
    RUNNING = "running"
    PREEMPTED = "preempted"
    FINISHED = "finished"


class Request:
    """One prompt, how many tokens to generate for it, and how far it has come.

    The state is two numbers: `num_tokens`, how many tokens there are (prompt and output), and
    `num_computed_tokens`, for how many of them the cache holds keys and values. Prefill and decode are
    both the catching-up of the second with the first.
    """

    def __init__(self, request_id: str, prompt_token_ids: Sequence[int], max_tokens: int,
                 arrival_time: float = 0.0) -> None:
        """`max_tokens`: tokens to generate (there is no end-of-sequence token). `arrival_time`: seconds."""
        check_type("request_id", request_id, str, "a text")
        check_token_ids(f"prompt_token_ids of request {request_id!r}", prompt_token_ids)
        if len(prompt_token_ids) == 0:
            raise ValueError(f"request {request_id!r} has an empty prompt; it needs at least one token")
        check_int(f"max_tokens of request {request_id!r}", max_tokens, 1)
        check_number(f"arrival_time of request {request_id!r}", arrival_time, 0, hint="it counts in seconds")
        self.request_id = request_id
        self.prompt_token_ids = list(prompt_token_ids)
        self.max_tokens = max_tokens
        self.arrival_time = arrival_time
        self.output_token_ids: list[int] = []
        self.num_computed_tokens = 0
        self.num_preemptions = 0
        self.status = RequestStatus.WAITING

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt_token_ids)

    @property
    def num_output_tokens(self) -> int:
        """Tokens generated so far."""
        return len(self.output_token_ids)

    @property
    def num_tokens(self) -> int:
        """Prompt and output together: what the cache must hold before the next token can come."""
        return len(self.prompt_token_ids) + len(self.output_token_ids)

    @property
    def is_finished(self) -> bool:
        """Whether all tokens asked for are there."""
        return len(self.output_token_ids) >= self.max_tokens

    def token_ids(self, start: int, end: int) -> list[int]:
        """Tokens `start` to `end - 1` of prompt and output, counted from the first token of the prompt."""
        check_int("start", start, 0, self.num_tokens)
        check_int("end", end, start, self.num_tokens)
        num_prompt_tokens = len(self.prompt_token_ids)
        if end <= num_prompt_tokens:
            return self.prompt_token_ids[start:end]
        return (self.prompt_token_ids[start:]
                + self.output_token_ids[max(0, start - num_prompt_tokens):end - num_prompt_tokens])

    def __repr__(self) -> str:
        return (f"Request({self.request_id!r}, {self.status.value}, prompt {self.num_prompt_tokens}, "
                f"output {self.num_output_tokens}/{self.max_tokens}, computed {self.num_computed_tokens})")
