"""Requests to serve: the course's running example, chats, and chats mixed with long documents. All seeded."""

import random

from course_lib.request import Request
from course_lib.short import show
from course_lib.validate import check_int, check_number, check_seed


def running_example(prompt_1: int = 24, prompt_2: int = 8, vocab_size: int = 1024, seed: int = 0) -> list[Request]:
    """Two sequences on one server: sequence 1 has a long prompt, sequence 2 is about to generate four tokens.

    `prompt_1`, `prompt_2`: prompt lengths in tokens. Sequence 1 generates three tokens. Both are there from the
    start: a prologue of one iteration, {"2": prompt_2}, makes sequence 2 the one that is already generating.
    """
    check_int("prompt_1", prompt_1, 1)
    check_int("prompt_2", prompt_2, 1)
    check_int("vocab_size", vocab_size, 1)
    check_seed(seed)
    generator = random.Random(seed)
    prompts = [[generator.randrange(vocab_size) for _ in range(length)] for length in (prompt_1, prompt_2)]
    return [Request("1", prompts[0], max_tokens=3), Request("2", prompts[1], max_tokens=4)]


def conversation_workload(num_requests: int = 8, rate: float = 10.0, prompt_tokens: tuple[int, int] = (16, 64),
                          output_tokens: tuple[int, int] = (16, 64), vocab_size: int = 1024,
                          seed: int = 0) -> list[Request]:
    """Chats that users start independently of each other: "chat 1", "chat 2", ... in order of arrival.

    `rate`: requests a second on average; the times between arrivals are drawn from an exponential distribution (a
    Poisson process), the first from 0 s on. `prompt_tokens`, `output_tokens`: fewest and most, each length in
    between equally likely. The same arguments give equal requests; more requests leave the earlier ones as they are.
    """
    return _stream("chat", num_requests, rate, prompt_tokens, output_tokens, vocab_size, seed)


def mixed_workload(num_chats: int = 6, num_documents: int = 2, chat_rate: float = 20.0, document_rate: float = 5.0,
                   chat_prompt_tokens: tuple[int, int] = (16, 64), chat_output_tokens: tuple[int, int] = (16, 64),
                   document_prompt_tokens: tuple[int, int] = (1024, 2048),
                   document_output_tokens: tuple[int, int] = (4, 16), vocab_size: int = 1024,
                   seed: int = 0) -> list[Request]:
    """Chats, and long documents to be summarised among them ("document 1", ...), in order of arrival.

    The chats are those of `conversation_workload`, with or without documents. Rates and lengths as there.
    """
    chats = conversation_workload(num_chats, chat_rate, chat_prompt_tokens, chat_output_tokens, vocab_size, seed)
    documents = _stream("document", num_documents, document_rate, document_prompt_tokens, document_output_tokens,
                        vocab_size, seed)
    return sorted(chats + documents, key=lambda request: request.arrival_time)


def _stream(kind: str, num_requests: int, rate: float, prompt_tokens: tuple[int, int],
            output_tokens: tuple[int, int], vocab_size: int, seed: int) -> list[Request]:
    """Requests of one kind, from a random generator of their own: other kinds do not change them."""
    check_int(f"the number of {kind}s", num_requests, 0)
    check_number(f"the rate of {kind}s", rate, positive=True, hint="it counts requests a second")
    for name, span in {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens}.items():
        is_pair = isinstance(span, (tuple, list)) and [*map(type, span)] == [int, int]
        if not is_pair or not 1 <= span[0] <= span[1]:
            raise ValueError(f"{name} of {kind}s must be two ints (fewest, most) with 1 <= fewest <= most, got "
                             f"{show(span)}")
    check_int("vocab_size", vocab_size, 1)
    check_seed(seed)
    generator = random.Random(f"{kind} {seed}")
    arrival_time, requests = 0.0, []
    for number in range(1, num_requests + 1):
        arrival_time += generator.expovariate(rate)
        prompt = [generator.randrange(vocab_size) for _ in range(generator.randint(*prompt_tokens))]
        requests.append(Request(f"{kind} {number}", prompt, generator.randint(*output_tokens), arrival_time))
    return requests
