"""Requests to serve: the course's running example."""

import random

from course_lib.request import Request


def running_example(prompt_1: int = 24, prompt_2: int = 8, vocab_size: int = 1024, seed: int = 0) -> list[Request]:
    """Two sequences on one server: sequence 1 has a long prompt, sequence 2 is about to generate four tokens.

    `prompt_1`, `prompt_2`: prompt lengths in tokens. Sequence 1 generates three tokens. Both are there from the
    start: a prologue of one iteration, {"2": prompt_2}, makes sequence 2 the one that is already generating.
    """
    generator = random.Random(seed)
    prompts = [[generator.randrange(vocab_size) for _ in range(length)] for length in (prompt_1, prompt_2)]
    return [Request("1", prompts[0], max_tokens=3), Request("2", prompts[1], max_tokens=4)]
