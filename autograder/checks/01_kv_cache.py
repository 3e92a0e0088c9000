"""Hidden checks of notebook 01."""

import math
import random

import torch
from torch import Tensor

from autograder.checking import Call, LearnerError, Result, Tally
from autograder.common_checks import check_prediction
from course_lib import checks
from course_lib.dependencies import ARROW, steps_of, too_early, wrong_steps
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer

MISCONCEPTIONS = {
    "no_guess": "A prediction is any finite number; it need not be right, it has to be there.",
    "not_stored": "The cache is as empty as before: the longer tensor has to be stored in cache[layer].",
    "replaced": "The new tokens have replaced the old ones; they belong behind them.",
    "in_front": "The new tokens stand in front of the old ones; they belong behind them.",
    "keys_only": "Only the keys are stored; the values are missing.",
    "keys_as_values": "The values hold the keys.",
    "swapped": "Keys and values are swapped: the keys hold the values.",
    "layer_0": "Everything goes to layer 0; each layer has a cache of its own.",
    "every_layer": "Every layer gets the new keys and values; only the named one should.",
    "wrong_dimension": "The tensors are joined along another dimension than that of the tokens, which is dimension 1.",
    "top_left_mask": "The mask's triangle starts in the top left corner; row 0 is not the first token of the cache.",
    "square_mask": "The mask is square: the queries cannot see what is in the cache.",
    "not_causal": "Nothing is hidden: queries see tokens that follow them.",
    "sees_next": "The mask is shifted by one: every query sees the token that follows it.",
    "not_itself": "The mask hides each token from itself; a token may attend to its own position.",
    "inverted": "True means may attend; here True stands where attention is forbidden.",
    "turned_round": "The comparison is turned round: these are the row's own position and what follows it.",
    "numbers": "The mask must hold bools, True and False; these are numbers.",
    "transposed": "Rows and columns are swapped: one row a query, one column a position of the cache.",
    "no_refusal": "With kv_len < q_len there is no right mask: raise ValueError.",
    "no_scale": "The scores are not divided by √head_dim.",
    "no_root": "The scores are divided by head_dim, not by its square root.",
    "root_of_2": "The scores are divided by √2, the worked example's head_dim; head_dim is q's last dimension.",
    "mask_added": "Adding the mask only raises allowed scores by 1; forbidden ones have to be filled with -inf.",
    "weights_returned": "These are the weights; mix the values with them.",
    "no_softmax": "Scores are not weights: the softmax is missing.",
    "head_0_values": "All heads take head 0's values; each head has its own.",
    "mask_unused": "The mask is not used.",
    "hides_allowed": "True means may attend; here the allowed keys are hidden.",
    "zero_score": "A forbidden score of 0 still gets some weight, since exp(0) is 1.",
    "mask_too_late": "The mask comes after the softmax: the weights no longer sum to 1. Mask the scores.",
    "over_queries": "The softmax runs over the queries; each query's weights over the keys must sum to 1.",
    "over_heads": "The softmax runs over the heads; each query's weights over the keys must sum to 1.",
    "too_soon": "The tokens attend before their own keys and values are in the cache: write first, attend then.",
    "chunk_alone": "The new tokens attend to each other alone; they should see what the cache holds, too.",
    "cache_unmasked": "The new tokens see those that follow them in the same iteration.",
    "nothing_kept": "Nothing is kept for the next iteration: the cache is as long as before.",
    "written_twice": "The new tokens are written twice.",
    "appended_again": "The new tokens are in twice: append_kv has already put them into the cache.",
    "keys_mixed": "The keys are mixed instead of the values.",
    "one_layer": "All layers share one layer's keys and values.",
    "no_order": "The answer is a list of steps, the first step first.",
    "embed_first": "Layer 0 makes keys and values from the embedded tokens, so they are embedded first.",
    "write_first": "A token attends to itself and to its chunk too: their keys and values must be there by then.",
    "layer_below": "Layer 1 makes its keys and values from what layer 0 gives, attention included.",
    "prompt_order": "The cache holds positions in the order of the prompt: an earlier chunk is written first, and "
                    "later ones attend to it.",
    "mask_is_last": "The mask's last row stands for the last token in the cache: a chunk attends before the next one "
                    "is written in that layer.",
    "sampled_early": "The first token of the answer needs the logits behind the last chunk and the last layer.",
    "samples_chunk_1": "Chunk 1's logits predict the first token of chunk 2, and the prompt gives that already.",
    "recomputes": "Chunk 1's keys and values are in the cache and never change: no token looks ahead.",
}

FIRST_TOKEN = "sample the first token from chunk 3's last logits"


def _write(chunk: int, layer: int) -> str:
    return f"write K/V of chunk {chunk}, layer {layer}"


def _attend(chunk: int, layer: int) -> str:
    return f"attend in layer {layer}: cache + chunk {chunk}"


def _order_rules() -> dict[str, dict[str, tuple[bool, str]]]:
    """Requirement -> the rules of `course_lib.dependencies` that belong to it."""
    inside, between = {}, {}
    for chunk in (1, 2, 3):
        inside[f"embed chunk {chunk}", _write(chunk, 0)] = "embed_first"
        for layer in (0, 1):
            inside[_write(chunk, layer), _attend(chunk, layer)] = "write_first"
            if chunk < 3:
                between[_write(chunk, layer), _write(chunk + 1, layer)] = "prompt_order"
                between[_attend(chunk, layer), _write(chunk + 1, layer)] = "mask_is_last"
        inside[_attend(chunk, 0), _write(chunk, 1)] = "layer_below"
    groups = {"inside a chunk": inside, "from chunk to chunk": between,
              "the first token": {(_attend(3, 1), FIRST_TOKEN): "sampled_early"}}
    rules = {requirement: {ARROW.join(pair): (True, MISCONCEPTIONS[name]) for pair, name in group.items()}
             for requirement, group in groups.items()}
    rules["steps that happen"] = {"sample a token from chunk 1's logits": (False, MISCONCEPTIONS["samples_chunk_1"]),
                                  "recompute K/V of chunk 1": (False, MISCONCEPTIONS["recomputes"])}
    return rules


ORDER_RULES = _order_rules()
REQUIREMENT_OF = {why: requirement for requirement, rules in ORDER_RULES.items() for _, why in rules.values()}
CHOICES = {"build_order": {rule: why for rules in ORDER_RULES.values() for rule, why in rules.items()}}

WEIGHTS = ModelConfig(vocab_size=128, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
                      num_key_value_heads=4, intermediate_size=96, max_position_embeddings=256)


def guess_speedup(call: Call) -> Result:
    """There is a guess."""
    return check_prediction(call, "guess_speedup", MISCONCEPTIONS["no_guess"])


def append_kv(call: Call) -> Result:
    """What every layer holds after one write, after several in one layer, after chunks that climb the layers."""
    tally = Tally("the first tokens", "later tokens behind them", "each layer for itself")
    num_layers = random.randint(2, 4)
    _compare_writes(tally, "the first tokens", call, num_layers, [(num_layers - 1, random.randint(2, 5))])
    _compare_writes(tally, "later tokens behind them", call, num_layers, [(1, length) for length in (3, 1, 4)])
    climbing = [(layer, length) for length in (2, 3, 1) for layer in range(num_layers)]
    _compare_writes(tally, "each layer for itself", call, num_layers, climbing)
    return tally.result()


def _compare_writes(tally: Tally, requirement: str, call: Call, num_layers: int, plan: list[tuple[int, int]]) -> None:
    """`plan` holds (layer, number of tokens) of each write."""
    num_heads, head_dim = random.sample(range(2, 6), k=2)
    writes = [{"layer": layer, "k": torch.randn(num_heads, length, head_dim),
               "v": torch.randn(num_heads, length, head_dim)} for layer, length in plan]
    given = f"append_kv into an empty cache of {num_layers} layers, writes as (layer, number of tokens): {plan}"
    empty = torch.empty(num_heads, 0, head_dim)

    def held(chosen: list[list[int]], key_part: str = "k", value_part: str = "v") -> list[dict[str, Tensor]]:
        """The cache whose layers hold these writes, by number."""
        return [{"keys": torch.cat([empty, *(writes[number][key_part] for number in numbers)], dim=1),
                 "values": torch.cat([empty, *(writes[number][value_part] for number in numbers)], dim=1)
                 if value_part else empty} for numbers in chosen]

    right = [[number for number, write in enumerate(writes) if write["layer"] == layer] for layer in range(num_layers)]
    all_writes, nothing = list(range(len(writes))), [[] for _ in right]
    wrong = [
        (held(nothing), "not_stored"),
        (held([numbers[-1:] for numbers in right]), "replaced"),
        (held([numbers[::-1] for numbers in right]), "in_front"),
        (held(right, value_part=""), "keys_only"),
        (held(right, value_part="k"), "keys_as_values"),
        (held(right, key_part="v", value_part="k"), "swapped"),
        (held([all_writes, *nothing[1:]]), "layer_0"),
        (held([all_writes] * num_layers), "every_layer"),
    ]
    before = [{"keys": empty, "values": empty}] * num_layers
    try:
        cache = call({"before": before, "writes": writes})["cache"]
    except LearnerError as error:
        if error.type_name == "NotImplementedError":
            raise
        joined = "Sizes of tensors must match except in dimension" in error.message
        tally.error(requirement, error, given, MISCONCEPTIONS["wrong_dimension"] if joined else None)
        return
    tally.equal(requirement, len(cache), num_layers, given=f"{given}; the number of layers in the cache then")
    cause = checks.likely_misconception(cache, _named(wrong))
    for layer, (got, expected) in enumerate(zip(cache, held(right), strict=False)):
        for part in ("keys", "values"):
            difference = checks.differs(expected[part], got[part])
            what = f"{given}; the {part} of layer {layer} then"
            tally.true(requirement, difference is None,
                       checks.explain(what, expected[part], got[part], difference or ""), cause)


def causal_mask(call: Call) -> Result:
    """Every shape up to 12 x 40, the impossible ones included."""
    tally = Tally("square, q_len = kv_len", "one query", "a rectangle", refused := "kv_len < q_len is refused",
                  edges=[refused])
    shapes = [[q_len, kv_len] for q_len in range(1, 13) for kv_len in range(1, 41)]
    random.shuffle(shapes)
    answers = call({"shapes": shapes})["masks"]
    for (q_len, kv_len), answer in zip(shapes, answers, strict=True):
        given = f"causal_mask({q_len}, {kv_len})"
        if kv_len < q_len:
            got = answer.get("error", "a mask")
            tally.true("kv_len < q_len is refused", got == "ValueError",
                       f"{given} must raise ValueError, got {got}", MISCONCEPTIONS["no_refusal"])
            continue
        kind = "square, q_len = kv_len" if q_len == kv_len else "one query" if q_len == 1 else "a rectangle"
        if "error" in answer:
            tally.error(kind, LearnerError(answer["error"], answer["message"]), given)
        else:
            tally.equal(kind, answer["mask"], _mask(q_len, kv_len), given=given, wrong=_wrong_masks(q_len, kv_len))
    return tally.result()


def _mask(q_len: int, kv_len: int, shift: int = 0) -> Tensor:
    """Row i is the token at position kv_len - q_len + i, and may see what is not behind it."""
    return torch.tensor([[column <= kv_len - q_len + row + shift for column in range(kv_len)] for row in range(q_len)])


def _wrong_masks(q_len: int, kv_len: int) -> list[tuple[object, str]]:
    if q_len < 3 or kv_len < q_len + 2:
        return []  # here several misconceptions give the same mask; larger shapes tell them apart
    right, wide = _mask(q_len, kv_len), torch.ones(q_len, kv_len, dtype=torch.bool)
    return _named([
        (wide.tril(), "top_left_mask"), (wide[:, :q_len].tril(), "square_mask"), (wide, "not_causal"),
        (_mask(q_len, kv_len, shift=1), "sees_next"), (_mask(q_len, kv_len, shift=-1), "not_itself"),
        (~right, "inverted"), (wide.triu(kv_len - q_len), "turned_round"), (right.long(), "numbers"),
        (right.T, "transposed"),
        (torch.zeros(q_len, kv_len).masked_fill(~right, -math.inf), "numbers"),
    ])


def attend(call: Call) -> Result:
    """Random heads, lengths and masks against a sum over single products."""
    tally = Tally("a random mask", "everything visible", "one visible key a query", "one query")
    for kind, q_len in [("a random mask", random.randint(3, 6)), ("a random mask", random.randint(3, 6)),
                        ("everything visible", 4), ("one visible key a query", 3), ("one query", 1)]:
        # Sizes that differ, so that no dimension can stand in for another; no fewer than three heads, for `over_heads`.
        num_heads, kv_len, head_dim = 3, random.randint(7, 12), random.choice([4, 6, 16])
        q, k, v = (_normal(num_heads, length, head_dim) for length in (q_len, kv_len, kv_len))
        mask = _random_mask(kind, q_len, kv_len)
        given = f"attend with {num_heads} heads, {q_len} queries, {kv_len} keys, head_dim={head_dim}, {kind}"
        try:
            got = call({"q": q, "k": k, "v": v, "mask": mask})["attended"]
        except LearnerError as error:
            if error.type_name == "NotImplementedError":
                raise
            tally.error(kind, error, given)
            continue
        tally.close(kind, got, _by_hand(q, k, v, mask), given=given, wrong=_wrong_attention(q, k, v, mask),
                    tolerance=1e-4)
    return tally.result()


def _normal(*shape: int) -> Tensor:
    return 2 * torch.randn(shape)


def _random_mask(kind: str, q_len: int, kv_len: int) -> Tensor:
    """Rows with at least one True; in a random mask also one False, and no key that nobody sees."""
    if kind == "everything visible":
        return torch.ones(q_len, kv_len, dtype=torch.bool)
    if kind == "one visible key a query":
        return torch.eye(kv_len, dtype=torch.bool)[torch.randperm(kv_len)[:q_len]]
    mask = torch.rand(q_len, kv_len) < 0.5
    columns = torch.arange(kv_len)
    mask[columns % q_len, columns] = True
    if q_len > 1:
        mask[(columns + 1) % q_len, columns] = False
    else:
        mask[0, random.randrange(kv_len)] = False
    return mask


def _by_hand(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """softmax(q k / √head_dim) v over the visible keys, in float64, one number at a time."""
    out = torch.zeros(q.shape, dtype=torch.float64)
    for head in range(q.shape[0]):
        for row in range(q.shape[1]):
            visible = [key for key in range(k.shape[1]) if mask[row, key]]
            scores = [float(q[head, row].double().dot(k[head, key].double())) / q.shape[2] ** 0.5 for key in visible]
            parts = [math.exp(score - max(scores)) for score in scores]
            for key, part in zip(visible, parts, strict=True):
                out[head, row] += part / sum(parts) * v[head, key].double()
    return out.float()


def _wrong_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> list[tuple[object, str]]:
    products, root = q @ k.transpose(1, 2), math.sqrt(q.shape[2])
    scores, allowed = products / root, torch.ones_like(mask)
    weights = scores.masked_fill(~mask, -math.inf).softmax(dim=-1)

    def with_scores(scores: Tensor, mask: Tensor = mask, dim: int = -1, fill: float = -math.inf) -> Tensor:
        return scores.masked_fill(~mask, fill).softmax(dim=dim) @ v

    return _named([
        (with_scores(products), "no_scale"), (with_scores(products / root**2), "no_root"),
        (with_scores(scores, allowed), "mask_unused"), (with_scores(scores, ~mask), "hides_allowed"),
        (with_scores(scores, fill=0.0), "zero_score"), ((scores.softmax(dim=-1) * mask) @ v, "mask_too_late"),
        (with_scores(scores, dim=1), "over_queries"), (with_scores(scores, dim=0), "over_heads"),
        (with_scores(products / math.sqrt(2)), "root_of_2"), (with_scores(scores + mask, allowed), "mask_added"),
        (weights, "weights_returned"), (weights @ v[:1], "head_0_values"),
        (scores @ v, "no_softmax"), ((scores * mask) @ v, "no_softmax"),
    ])


def cached_attention(call: Call) -> Result:
    """Chunks and single tokens in two layers against whole sequences, and a model's logits against its own."""
    tally = Tally("the first iteration", "later iterations", "one token at a time", "what the cache holds",
                  "equal to a full recomputation")
    for kind, past, lengths in [("the first iteration", 0, [random.randint(3, 6)]),
                                # More past than new tokens: else two wrong masks could give the same answer.
                                ("later iterations", random.randint(6, 9), [random.randint(3, 5), 2]),
                                ("one token at a time", random.randint(3, 9), [1, 1])]:
        _compare_iterations(tally, kind, call, past, lengths)
    _compare_with_full(tally, call)
    return tally.result()


def _compare_iterations(tally: Tally, kind: str, call: Call, past: int, lengths: list[int]) -> None:
    """Iterations of `lengths` tokens, each in layer 0 and then in layer 1, behind `past` tokens in both."""
    num_layers, num_heads, head_dim, total = 2, 2, 4, past + sum(lengths)
    q, k, v = (_normal(num_layers, num_heads, total, head_dim) for _ in range(3))
    starts = [past + sum(lengths[:number]) for number in range(len(lengths))]
    spans = [(layer, start, start + length) for start, length in zip(starts, lengths, strict=True)
             for layer in range(num_layers)]
    before = [{"keys": k[layer][:, :past], "values": v[layer][:, :past]} for layer in range(num_layers)]
    calls = [{"layer": layer, **{name: of_all[layer][:, start:end] for name, of_all in (("q", q), ("k", k), ("v", v))}}
             for layer, start, end in spans]
    given = f"cached_attention in layers 0 and 1, {past} tokens in the cache, iterations of {lengths} tokens"
    try:
        answer = call({"before": before, "calls": calls})
    except LearnerError as error:
        if error.type_name == "NotImplementedError":
            raise
        tally.error(kind, error, given)
        return
    twice = 2 * total - past
    tally.equal("what the cache holds", answer["held"], [total, total], given=f"{given}; tokens held by each layer",
                wrong=_named([([past, past], "nothing_kept"), ([twice, twice], "written_twice"),
                              ([twice, past], "layer_0")]))
    for attended, (layer, start, end) in zip(answer["attended"], spans, strict=True):
        whole = _by_hand(q[layer], k[layer], v[layer], _mask(total, total))
        tally.close(kind, attended, whole[:, start:end], tolerance=1e-4,
                    given=f"{given}; what tokens {start}..{end - 1} take in layer {layer}",
                    wrong=_wrong_iteration(q, k, v, layer, start, end))


def _wrong_iteration(q: Tensor, k: Tensor, v: Tensor, layer: int, start: int, end: int) -> list[tuple[object, str]]:
    length = end - start
    queries, keys, values = q[layer][:, start:end], k[layer][:, :end], v[layer][:, :end]
    wrong = [(_by_hand(queries, keys[:, start:], values[:, start:], _mask(length, length)), "chunk_alone"),
             (_by_hand(queries, keys, values, torch.ones(length, end).bool()), "cache_unmasked"),
             (_by_hand(queries, keys, values, torch.ones(length, end).bool().tril()), "top_left_mask"),
             (_by_hand(queries, k[0][:, :end], v[0][:, :end], _mask(length, end)), "one_layer"),
             (_by_hand(queries, keys, keys, _mask(length, end)), "keys_mixed"),
             (_by_hand(queries, torch.cat([keys, keys[:, start:]], 1), torch.cat([values, values[:, start:]], 1),
                       _mask(length, end + length)), "appended_again")]
    if start >= length:
        wrong.append((_by_hand(queries, keys[:, :start], values[:, :start], _mask(length, start)), "too_soon"))
    return _named(wrong)


def _compare_with_full(tally: Tally, call: Call) -> None:
    """A small random model on the learner's cache against its own attention over everything at once."""
    seed = random.randrange(2**31)
    for lengths in ([random.randint(8, 16), random.randint(4, 8), 1, 1], [1] * 6):
        token_ids = random.choices(range(WEIGHTS.vocab_size), k=sum(lengths))
        model = ToyTransformer(WEIGHTS, seed)
        expected = model([SequenceChunk(token_ids, model.new_cache(64))])[0]
        given = f"a model with random weights on your cache, iterations of {lengths} tokens, logits after the last"
        try:
            got = call({"config": vars(WEIGHTS), "seed": seed, "token_ids": token_ids, "lengths": lengths})["logits"]
        except LearnerError as error:
            tally.error("equal to a full recomputation", error, given)
            continue
        tally.close("equal to a full recomputation", got, expected, given=given, tolerance=1e-4)


def build_order(call: Call) -> Result:
    """Every order in which each step finds what it needs."""
    order = call({})["order"]
    if order is None:
        return Result(0.0, "build_order is not a list of steps.", MISCONCEPTIONS["no_order"])
    tally = Tally(*ORDER_RULES)
    for what, why in wrong_steps(order, CHOICES["build_order"]):
        tally.true("steps that happen", False, f"In your order, {what}.", why)
    for what, why in too_early(order, CHOICES["build_order"]):
        tally.true(REQUIREMENT_OF[why], False, f"In your order, {what}.", why)
    for requirement, rules in ORDER_RULES.items():
        missing = [step for step in steps_of(rules) if step not in order]
        tally.true(requirement, not missing, f"Missing in your order: {', '.join(missing)}.")
    return tally.result()


def _named(wrong: list[tuple[object, str]]) -> list[tuple[object, str]]:
    return [(answer, MISCONCEPTIONS[name]) for answer, name in wrong]
