"""Hidden checks of notebook 02."""

import random

import torch

from autograder.checking import Call, LearnerError, Result, Tally
from autograder.common_checks import check_choice, check_prediction
from course_lib.documents import long_document, prompt_for
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer

MISCONCEPTIONS = {
    "no_guess": "A prediction is any finite number; it need not be right, it has to be there.",
    "tail_dropped": "The last, shorter chunk is missing: its tokens are never computed.",
    "tail_padded": "The last chunk reaches past the end of the prompt.",
    "end_off_by_one": "range(a, b) ends before b already; subtracting 1 loses a token of every chunk.",
    "ranges_restart": "The ranges start again at 0 in each chunk; they should go on through the prompt.",
    "number_of_chunks": "chunk_size is the number of tokens in a chunk, not the number of chunks.",
    "balanced": "The chunks are equally long; all but the last hold exactly chunk_size tokens.",
    "positions_restart": "Positions restart in each chunk; they belong to the sequence, not to the chunk.",
    "positions_off_by_one": "Positions are one too large: the first token of a prompt stands at 0.",
    "square_mask": "The mask is square: the chunk cannot see what the cache holds from the chunks before.",
    "top_left_mask": "The mask's diagonal starts in the top left corner; row 0 of a later chunk sees the whole past.",
    "not_causal": "There is no causal mask inside the chunk: tokens see those that follow them.",
    "sees_next": "The mask is shifted by one: every token sees the one that follows it.",
    "not_itself": "The mask hides each token from itself; a token may attend to its own position.",
    "inverted_mask": "The mask is inverted: here True means *may* attend.",
    "turned_round": "The comparison is turned round: these are the row's own position and what follows it.",
    "counted_twice": "forward_chunk has counted the chunk's tokens already: leave cache.num_computed_tokens alone.",
    "own_cache": "The chunks went into a cache of the function's own; the one that it was given is as empty as before.",
    "not_last_logits": "These are not the last chunk's logits. The first output token follows the whole prompt.",
    "return_in_loop": "Only the first chunk was computed: is the return inside the loop?",
    "one_shot": "The whole prompt is computed in one call; that is standard prefill, not chunked.",
    "start_stuck": "Every chunk starts at position 0. Its start is the number of tokens computed before it: pass that "
                   "to prefill_chunk. If you do, look at prefill_chunk, whose positions have to count from there.",
    "whole_prompt_again": "Each call gets the prompt from its beginning; a chunk holds only its own tokens, "
                          "the earlier ones are in the cache.",
    "samples_between": "A token was put between two chunks: nothing is sampled before the last chunk.",
}

CHOICES = {
    "what_changes": {
        "A": (False, "Every prompt token must be computed once, chunked or not: the number of tokens stays the same."),
        "B": (True, "The tokens and the result stay; the number of iterations grows, and later chunks read earlier "
                    "keys again from the cache."),
        "C": (False, "With a causal mask no token ever sees later ones, in one shot as little as in chunks, so nothing "
                     "is lost."),
        "D": (False, "The logits of a middle chunk predict a prompt token that is known already. The first output "
                     "token needs the whole prompt."),
    },
}

WEIGHTS = ModelConfig(vocab_size=128, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
                      num_key_value_heads=2, intermediate_size=96, max_position_embeddings=256)


def guess_ratio(call: Call) -> Result:
    """There is a guess."""
    return check_prediction(call, "guess_ratio", MISCONCEPTIONS["no_guess"])


def what_changes(call: Call) -> Result:
    """The right option."""
    return check_choice(call, CHOICES["what_changes"])


def split_into_chunks(call: Call) -> Result:
    """Exact ranges for many lengths; a chunk size of 0 is refused."""
    tally = Tally("full chunks", "a shorter last chunk", refused := "chunk_size below 1 is refused", edges=[refused])
    for length, size, exact in _lengths_and_sizes():
        starts = range(0, length, size)
        expected = [range(start, min(start + size, length)) for start in starts]
        even = -(-length // len(starts))
        parts = torch.arange(length).tensor_split(size)
        wrong = [
            ([range(start, start + size) for start in starts if start + size <= length], "tail_dropped"),
            ([range(start, start + size) for start in starts], "tail_padded"),
            ([chunk[:-1] for chunk in expected], "end_off_by_one"),
            ([range(len(chunk)) for chunk in expected], "ranges_restart"),
            ([part.tolist() for part in parts if len(part)], "number_of_chunks"),
            ([range(start, min(start + even, length)) for start in range(0, length, even)], "balanced"),
        ]
        got = [_as_range(chunk) for chunk in call({"num_tokens": length, "chunk_size": size})["chunks"]]
        tally.equal("full chunks" if exact else "a shorter last chunk", got, expected,
                    given=f"split_into_chunks({length}, {size})", wrong=_named(wrong))
    for size in (0, -3):
        try:
            got = call({"num_tokens": 10, "chunk_size": size})
            tally.true(refused, False, f"split_into_chunks(10, {size}) must raise ValueError, got {got['chunks']}")
        except LearnerError as error:
            tally.true(refused, error.type_name == "ValueError", str(error))
    return tally.result()


def _as_range(chunk: list[int]) -> range | list[int]:
    """The positions as a range, which reads better, where they are one."""
    whole = range(chunk[0], chunk[-1] + 1) if chunk else range(0)
    return whole if list(whole) == chunk else chunk


def _lengths_and_sizes() -> list[tuple[int, int, bool]]:
    """(length, chunk size, whether the size divides the length), drawn anew each time."""
    cases = []
    for _ in range(4):
        size, count = random.randint(2, 40), random.randint(2, 6)
        cases += [(size * count, size, True), (size * count + random.randint(1, size - 1), size, False)]
    length = random.randint(5, 50)
    return [*cases, (length, 1, True), (length, length, True), (length, length + 1, False), (length, length - 1, False)]


class StandIn:
    """A model's side of the adapter: answers each forward call with logits of its own, and keeps the log."""

    def __init__(self) -> None:
        self.calls: list[dict] = []
        self.logits: list[torch.Tensor] = []

    def __call__(self, question: dict) -> dict:
        self.calls.append(question)
        self.logits.append(torch.randn(32))
        return {"logits": self.logits[-1]}


def prefill_chunk(call: Call) -> Result:
    """Tokens, positions, mask and logits of single chunks, then equality with a full recomputation."""
    tally = Tally("one call with the chunk's tokens", "positions", "mask", "the logits are returned",
                  "equal to a full recomputation")
    for start, length in [(0, random.randint(3, 9)), (random.randint(5, 30), random.randint(3, 9)),
                          (random.randint(31, 60), 1), (random.randint(2, 4), random.randint(20, 30))]:
        token_ids = random.choices(range(128), k=length)
        given = f"prefill_chunk(model, {length} tokens, start={start}, cache holding {start} tokens)"
        model = StandIn()
        answer = call({"model": "stand-in", "token_ids": token_ids, "start": start}, model)
        tokens = [forward["token_ids"] for forward in model.calls]
        if not tally.equal("one call with the chunk's tokens", tokens, [token_ids], given=f"{given}, tokens computed"):
            continue
        _compare_call(tally, model.calls[0], start, length, given)
        tally.equal("the logits are returned", answer["logits"], model.logits[0], given=f"{given}, logits returned")
        tally.equal("one call with the chunk's tokens", answer["held"], start + length,
                    given=f"{given}, cache.num_computed_tokens afterwards",
                    wrong=_named([(start + 2 * length, "counted_twice")]))
    _compare_with_full(tally, call)
    return tally.result()


def _compare_call(tally: Tally, forward: dict, start: int, length: int, given: str) -> None:
    """Positions and mask of one forward call."""
    end = start + length
    tally.equal("positions", forward["positions"], list(range(start, end)), given=f"{given}, positions", wrong=_named([
        (list(range(length)), "positions_restart"),
        (list(range(start + 1, end + 1)), "positions_off_by_one"),
    ]))
    square, wide = torch.ones(length, length).bool(), torch.ones(length, end).bool()
    expected = wide.tril(start)
    tally.equal("mask", forward["mask"], expected, given=f"{given}, mask", wrong=_named([
        (square.tril(), "square_mask"), (wide.tril(), "top_left_mask"), (wide, "not_causal"),
        (~expected, "inverted_mask"), (wide.triu(start), "turned_round"),
        (wide.tril(start + 1), "sees_next"), (wide.tril(start - 1), "not_itself"),
    ]))


def _compare_with_full(tally: Tally, call: Call) -> None:
    """Two chunks on a small random model against one forward pass over both."""
    seed = random.randrange(2**31)
    start, length = random.randint(8, 30), random.randint(4, 12)
    token_ids = random.choices(range(WEIGHTS.vocab_size), k=start + length)
    model = ToyTransformer(WEIGHTS, seed)
    expected = model([SequenceChunk(token_ids, model.new_cache(64))])[0]
    payload = {"model": "random", "seed": seed, "config": vars(WEIGHTS), "past": token_ids[:start],
               "token_ids": token_ids[start:], "start": start}
    given = f"{length} tokens behind {start} in the cache of a model with random weights"
    try:
        got = call(payload)["logits"]
    except LearnerError as error:
        tally.error("equal to a full recomputation", error, given)
        return
    tally.close("equal to a full recomputation", got, expected, given=given, tolerance=1e-4)


CALLS, LOGITS, TOKENS = "the calls, as (start, length)", "logits equal to one-shot", "the same tokens as one-shot"


def chunked_prefill(call: Call) -> Result:
    """The exact calls, the last chunk's logits, and token for token the same generation as in one shot."""
    tally = Tally(CALLS, "the last chunk's logits are returned", LOGITS, TOKENS)
    length, seed = random.randint(8, 14), random.randrange(2**31)
    model = ToyTransformer(WEIGHTS, seed)
    for size in (1, 3, length - 1, length, length + 1):
        _compare_calls(tally, call, length, size)
        if size < length:  # else there is one chunk: that is one shot
            _compare_generation(tally, call, length, size, model, seed)
    return tally.result()


def _compare_calls(tally: Tally, call: Call, length: int, size: int) -> None:
    """Which tokens each forward call computes, and which call's logits come back."""
    token_ids = random.sample(range(128), k=length)
    chunks = [token_ids[start:start + size] for start in range(0, length, size)]
    given = f"chunked_prefill(model, {length} tokens, chunk_size={size}, empty cache)"
    model = StandIn()
    try:
        answer = call({"model": "stand-in", "token_ids": token_ids, "chunk_size": size}, model)
    except LearnerError as error:
        cause = "start_stuck" if _only_starts_at_zero(model) else None
        tally.error(CALLS, error, given, MISCONCEPTIONS.get(cause))
        return
    computed = [forward["token_ids"] for forward in model.calls]
    if len(chunks) > 1:
        causes = [
            (computed == [token_ids], "one_shot"),
            (computed == chunks[:1] and len(chunks) > 2, "return_in_loop"),
            (computed == chunks[:-1], "tail_dropped"),
            (computed == [token_ids[:start + size] for start in range(0, length, size)], "whole_prompt_again"),
            (sum(map(len, computed)) > length and computed[0] == chunks[0] and computed[-1][-1] == token_ids[-1],
             "samples_between"),
            (_only_starts_at_zero(model), "start_stuck"),
        ]
        cause = next((MISCONCEPTIONS[name] for holds, name in causes if holds), None)
    else:
        cause = None
    got = [(forward["positions"][0], len(forward["token_ids"])) for forward in model.calls if forward["positions"]]
    expected = [(size * index, len(chunk)) for index, chunk in enumerate(chunks)]
    right = computed == chunks and got == expected
    tally.true(CALLS, right,
               f"Input:            {given}\nExpected:         {expected}\nGot:              {got}"
               + ("" if got != expected else ", with other tokens than the chunks'"), cause)
    if len(chunks) > 1 and computed == [token_ids]:
        for requirement in (LOGITS, TOKENS):  # equal, of course: it is one shot
            tally.true(requirement, False, f"Input:            {given}\nThere were no chunks.", cause)
    tally.equal(CALLS, answer["held"], length,
                given=f"{given}, tokens in the given cache afterwards", wrong=_named([(0, "own_cache")]))
    if model.logits:
        wrong = [(logits, MISCONCEPTIONS["not_last_logits"]) for logits in model.logits[:-1]]
        tally.equal("the last chunk's logits are returned", answer["logits"], model.logits[-1],
                    given=f"{given}, logits returned", wrong=wrong)


def _only_starts_at_zero(model: StandIn) -> bool:
    return len(model.calls) > 1 and all(forward["positions"][:1] == [0] for forward in model.calls)


def _compare_generation(tally: Tally, call: Call, length: int, size: int, model: ToyTransformer, seed: int) -> None:
    """Logits on `model`, and the tokens that the reciting model generates after the learner's prefill."""
    token_ids = random.choices(range(WEIGHTS.vocab_size), k=length)
    expected = model([SequenceChunk(token_ids, model.new_cache(64))])[0]
    given = f"{length} tokens in chunks of {size}"
    document = long_document(length, seed=random.randrange(2**31))
    try:
        got = call({"model": "random", "seed": seed, "config": vars(WEIGHTS), "token_ids": token_ids,
                    "chunk_size": size})["logits"]
        tally.close(LOGITS, got, expected, given=f"{given}, random weights", tolerance=1e-4)
        tokens = call({"model": "reciting", "token_ids": prompt_for(document), "chunk_size": size,
                       "num_tokens": length - 2})["tokens"]
        tally.equal(TOKENS, tokens, document[2:], given=f"{given}, the model that recites")
    except LearnerError as error:
        tally.error(LOGITS, error, given)
        tally.error(TOKENS, error, given)


def _named(wrong: list[tuple[object, str]]) -> list[tuple[object, str]]:
    return [(answer, MISCONCEPTIONS[name]) for answer, name in wrong]
