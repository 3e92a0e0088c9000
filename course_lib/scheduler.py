"""The iteration-level scheduler: queues and bookkeeping are given, the policy is left out.

`schedule()` chooses the batch of one iteration anew each time (Orca, Yu et al. 2022); its plan is a map from
request to number of tokens, as in vLLM V1. Notebook 04 fills in the policy.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from course_lib.request import Request, RequestStatus
from course_lib.validate import check_fields, check_type, checked_list


@dataclass(frozen=True)
class SchedulerConfig:
    """Limits of one iteration. Sizes in tokens; a decode step costs 1.

    `long_prefill_token_threshold`: most tokens of one prompt in one iteration; 0 sets no limit.
    `block_size`, `num_kv_blocks`: the pool of KV cache memory, in blocks of tokens; None: as much as is wanted.
    """

    max_num_batched_tokens: int = 512
    max_num_seqs: int = 8
    enable_chunked_prefill: bool = True
    long_prefill_token_threshold: int = 0
    block_size: int = 16
    num_kv_blocks: int | None = None

    def __post_init__(self) -> None:
        check_fields(self, may_be_zero=("long_prefill_token_threshold",))
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(f"max_num_batched_tokens must be at least max_num_seqs, so that every running request can "
                             f"decode; got {self.max_num_batched_tokens} and {self.max_num_seqs}")


@dataclass(frozen=True, slots=True)
class SchedulerOutput:
    """The plan of one iteration: request id -> number of tokens, in scheduling order."""

    num_scheduled_tokens: dict[str, int] = field(default_factory=dict)
    preempted_req_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_type("num_scheduled_tokens", self.num_scheduled_tokens, dict, "a dict {request id: tokens}")
        check_type("preempted_req_ids", self.preempted_req_ids, (tuple, list), "a tuple of request ids",
                   hint="a tuple of one id has a comma: (request_id,)")


class Scheduler:
    """Two queues and their bookkeeping. A policy is a subclass with a `schedule` of its own.

    `waiting`: requests not admitted yet, first come first. `running`: admitted requests, in admission order.
    """

    def __init__(self, config: SchedulerConfig) -> None:
        check_type("config", config, SchedulerConfig, "a SchedulerConfig")
        self.config = config
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self._request_ids: set[str] = set()

    def add_request(self, request: Request) -> None:
        """Puts a new request at the end of the waiting queue; refuses one that could never run."""
        check_type("request", request, Request, "a Request")
        config = self.config
        if request.status is not RequestStatus.WAITING:
            raise ValueError(f"request {request.request_id!r} is {request.status.value}, not waiting: it was served "
                             "before; make a new Request for every run")
        if request.request_id in self._request_ids:
            raise ValueError(f"a request {request.request_id!r} is here already; give each request an id of its own")
        if not config.enable_chunked_prefill and request.num_prompt_tokens > config.max_num_batched_tokens:
            raise ValueError(f"request {request.request_id!r} has a prompt of {request.num_prompt_tokens} tokens, more "
                             "than one iteration takes (max_num_batched_tokens="
                             f"{config.max_num_batched_tokens}); enable chunked prefill")
        # The last output token is never fed back, so its keys and values need no place.
        num_tokens = request.num_prompt_tokens + request.max_tokens - 1
        num_blocks = -(-num_tokens // config.block_size)
        if config.num_kv_blocks is not None and num_blocks > config.num_kv_blocks:
            raise ValueError(f"request {request.request_id!r} needs {num_blocks} KV blocks of {config.block_size} "
                             f"tokens, the whole pool has {config.num_kv_blocks}; shorten it or enlarge num_kv_blocks")
        self._request_ids.add(request.request_id)
        self.waiting.append(request)

    def schedule(self) -> SchedulerOutput:
        """Chooses the next iteration's work: admits requests from `waiting` to `running` (and preempts, where the
        policy does), and says how many tokens each computes. Progress is counted by `update_from_output` alone."""
        raise NotImplementedError("a scheduler's policy is its schedule(); notebook 04 writes one")

    def admit(self) -> Request:
        """Moves the head of the waiting queue to the end of the running list and returns it."""
        if not self.waiting:
            raise ValueError("no request is waiting that could be admitted; look at `self.waiting` before admit()")
        request = self.waiting.popleft()
        request.status = RequestStatus.RUNNING
        self.running.append(request)
        return request

    def update_from_output(self, output: SchedulerOutput, sampled: Mapping[str, int]) -> list[str]:
        """Books what an iteration has done and returns the ids of the requests it finished.

        `sampled` holds a candidate token for every scheduled request. It becomes the request's next token if and
        only if all tokens before it are computed: the candidate of a chunk amid a prompt is nobody's next token.
        """
        check_type("output", output, SchedulerOutput, "a SchedulerOutput")
        check_type("sampled", sampled, (dict, Mapping), "a dict from request id to token id")
        scheduled = output.num_scheduled_tokens
        if not scheduled.keys() <= sampled.keys():
            for request in self.running:  # before anything is counted
                done = request.num_computed_tokens + scheduled.get(request.request_id, 0)
                if request.request_id not in sampled and done == request.num_tokens:
                    raise KeyError(f"sampled has no token for {request.request_id!r}, only for {list(sampled)}")
        finished = []
        for request in self.running:
            num_tokens = scheduled.get(request.request_id, 0)
            if num_tokens == 0:
                continue
            request.num_computed_tokens = done = request.num_computed_tokens + num_tokens
            if done == request.num_tokens:
                request.output_token_ids.append(sampled[request.request_id])
                if request.is_finished:
                    request.status = RequestStatus.FINISHED
                    finished.append(request.request_id)
        if finished:
            self.running = [request for request in self.running if not request.is_finished]
            self._request_ids.difference_update(finished)
        return finished

    def has_unfinished_requests(self) -> bool:
        """Whether any request waits or runs."""
        return bool(self.waiting or self.running)


class PlannedScheduler(Scheduler):
    """Runs a given list of plans, one an iteration: what the ordering exercises are executed with."""

    def __init__(self, config: SchedulerConfig, plans: Iterable[Mapping[str, int]],
                 prologue: Iterable[Mapping[str, int]] = ()) -> None:
        """`plans`: for each iteration, request id -> number of tokens. `prologue`: plans that run before them, to
        bring requests to their starting state (a request that is decoding already, say)."""
        super().__init__(config)
        prologue = checked_list("prologue", prologue, Mapping, "dicts {request id: number of tokens}")
        plans = checked_list("plans", plans, Mapping, "dicts {request id: number of tokens}")
        self._plans = deque(map(dict, prologue + plans))

    def schedule(self) -> SchedulerOutput:
        """The next plan of the list; ValueError when the list has ended and requests are unfinished."""
        if not self._plans:
            left = ", ".join(request.request_id for request in [*self.running, *self.waiting])
            raise ValueError(f"the plan has ended, but these requests are not finished: {left}")
        plan = self._plans.popleft()
        for _ in range(len(self.waiting)):
            if self.waiting[0].request_id in plan:
                self.admit()
            else:
                self.waiting.rotate(-1)
        return SchedulerOutput(plan)


class PrefillFirstScheduler(Scheduler):
    """Standard scheduling: one whole prompt alone in an iteration, whatever the budget; decodes only when no
    prompt can start. (vLLM before chunked prefill; named so in Sarathi-Serve, Agrawal et al. 2024.)"""

    def schedule(self) -> SchedulerOutput:
        """A waiting prompt if there is one and a seat is free, else one decode step of every running request."""
        if self.waiting and len(self.running) < self.config.max_num_seqs:
            request = self.admit()
            return SchedulerOutput({request.request_id: request.num_tokens})
        return SchedulerOutput({request.request_id: 1 for request in self.running})
