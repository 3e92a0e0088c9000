"""Weights that make the toy transformer recite: written down here, not trained.

Given a document followed by its first two tokens, the model continues with the third token, the fourth, and so on. It
does what a person would: find the place where the same two tokens stood before, and copy the token that followed
them. In a trained transformer such a circuit is called an induction head (Olsson et al., 2022). Ours needs two layers:

    layer 0   each position collects three tokens: its own, the one before it, the one two before it
    layer 1   each position looks for one whose (one back, two back) are its own (now, one back), and copies its token
    others    add nothing: all their weights are 0

A token is represented by its code, a row of +1 and -1. The hidden vector of a position is cut into five slots, each
with room for one code, and ends in an entry that is always 1:

    | word | now | one back | two back | next | 1 |

The embedding fills `word`, layer 0 the next three slots, layer 1 `next`, from which the logits are read.
"""

import math

import torch
from torch import Tensor

from course_lib.model import ModelConfig, ToyTransformer
from course_lib.validate import check_seed, check_type

NUM_SLOTS = 5
WORD, NOW, ONE_BACK, TWO_BACK, NEXT = range(NUM_SLOTS)
CONSTANT = -1  # the hidden entry that is always 1

# Layer 0, head h looks LOOK_BACK[h] positions back, and writes what it finds to slot NOW + h. Head 0 wants the position
# after its own. A causal mask hides that one, and the nearest left is its own; without the mask it goes wrong visibly.
LOOK_BACK = (-1, 1, 2)

# By how much the attention score of the position a head wants exceeds the others: exp(-40) times 4,000 others is 0.
SCORE_GAP = 40.0

# Radians. A pair of head entries that RoPE turns by less than this over all positions counts as standing still.
SLOW_TURN = 0.1

# Layer 1 compares at most so many entries of a code: enough to tell 2 ** 16 tokens apart.
MAX_COMPARED = 16

# Multiplies the logits. A code times itself gives 51, times any other code at most 33 (seed 0): the right logit leads
# by at least 5 * (51 - 33) = 90, far more than rounding or another order of the same additions can move it.
LOGIT_SCALE = 5.0

RECITING_CONFIG = ModelConfig(
    vocab_size=1024,
    hidden_size=256,  # five slots of 51 and the constant
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=1,
    intermediate_size=704,
    max_position_embeddings=8192,  # a document of 4,000 tokens, and its recitation
    # RoPE turns pair i of a head's entries by rope_theta ** (-2i / head size) radians a position. One head size has to
    # serve both layers: the fast pairs tell positions apart (layer 0); the slow pairs hardly turn at all, so that
    # two codes match wherever they stand (layer 1). A huge rope_theta gives enough of both.
    rope_theta=1e9,
    rms_norm_eps=1e-5,
    tie_word_embeddings=False,
)


def word_codes(config: ModelConfig, seed: int = 0) -> Tensor:
    """One random code of +1 and -1 for each token, (vocab_size, code size). No two begin alike: their first entries,
    as many as there are slow pairs, differ, since layer 1 compares only those."""
    _check_room(config)
    check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    num_compared = len(_compared_pairs(config))
    numbers = torch.randperm(2**num_compared, generator=generator)[: config.vocab_size]
    beginnings = numbers[:, None] >> torch.arange(num_compared) & 1  # the binary digits of distinct numbers
    endings = torch.randint(2, (config.vocab_size, _code_size(config) - num_compared), generator=generator)
    return torch.cat([beginnings, endings], dim=1) * 2.0 - 1.0


def reciting_weights(config: ModelConfig = RECITING_CONFIG, seed: int = 0) -> dict[str, Tensor]:
    """The weights under Hugging Face's names, float32 on the CPU; `seed` draws the codes.

    A config without room for the circuit is a ValueError.
    """
    codes = word_codes(config, seed)
    model = ToyTransformer(config)
    weights = {name: torch.zeros_like(value, dtype=torch.float32) for name, value in model.state_dict().items()}
    for name, weight in weights.items():
        if "norm" in name:
            weight.fill_(1.0)
    weights["model.embed_tokens.weight"][:, _slot(config, WORD)] = codes
    weights["model.embed_tokens.weight"][:, CONSTANT] = 1.0
    _program_looking_back(weights, config)
    _program_copying(weights, config)
    # All hidden entries are +1, -1 or 0, so RMSNorm divides by the same number everywhere; its weight undoes that.
    for name, num_full_slots in (("layers.0.input_layernorm", 1), ("layers.1.input_layernorm", 4), ("norm", 5)):
        num_nonzero = num_full_slots * _code_size(config) + 1
        weights[f"model.{name}.weight"].fill_(math.sqrt(num_nonzero / config.hidden_size))
    weights["lm_head.weight"][:, _slot(config, NEXT)] = LOGIT_SCALE * codes
    return weights


def reciting_model(config: ModelConfig = RECITING_CONFIG, seed: int = 0) -> ToyTransformer:
    """A toy transformer that recites, in float32 on the CPU, ready for inference."""
    model = ToyTransformer(config).float()
    model.load_state_dict(reciting_weights(config, seed))
    return model.eval()


def _program_looking_back(weights: dict[str, Tensor], config: ModelConfig) -> None:
    """Layer 0: attention by distance alone.

    Every position has the same key and, in each head, the same query: the key turned back by LOOK_BACK[h] positions.
    RoPE turns both by their positions, and so their product is largest exactly that many positions apart. Each fast
    pair is one hand of a clock: together they tell any two distances apart, near or far.
    """
    q, k, v, o = _attention_weights(weights, 0)
    turns = _turns(config)
    fast = torch.arange(len(turns) - len(_slow_pairs(config)))
    # One position off costs the sum of 1 - cos(turn); every other wrong distance costs more.
    gap = (1 - turns[fast].cos()).sum()
    scale = SCORE_GAP * math.sqrt(config.head_dim) / gap
    half = config.head_dim // 2  # entries i and i + half are a pair
    k[fast, CONSTANT] = 1.0
    for head, distance in enumerate(LOOK_BACK):
        first = head * config.head_dim
        q[first + fast, CONSTANT] = (scale * torch.cos(distance * turns[fast])).float()
        q[first + half + fast, CONSTANT] = (-scale * torch.sin(distance * turns[fast])).float()
        _connect(o[:, first:], _slot(config, NOW + head), slice(_code_size(config)))
    _connect(v, slice(_code_size(config)), _slot(config, WORD))


def _program_copying(weights: dict[str, Tensor], config: ModelConfig) -> None:
    """Layer 1: attention by content alone, in head 0.

    The key of a position is the beginning of its one-back and two-back codes, the query that of its now and one-back
    codes. Where both agree, the score is full; one entry that differs lowers it by 2. The value is the now code.
    """
    q, k, v, o = _attention_weights(weights, 1)
    pairs = _compared_pairs(config)
    scale = SCORE_GAP * math.sqrt(config.head_dim) / 2
    for rows, wanted, offered in ((pairs, NOW, ONE_BACK), (pairs + config.head_dim // 2, ONE_BACK, TWO_BACK)):
        _connect(q, rows, _slot(config, wanted), scale)
        _connect(k, rows, _slot(config, offered))
    _connect(v, slice(_code_size(config)), _slot(config, NOW))
    _connect(o, _slot(config, NEXT), slice(_code_size(config)))


def _connect(weight: Tensor, outputs: slice | Tensor, inputs: slice, scale: float = 1.0) -> None:
    """Makes output n a copy of input n, times `scale`; where there are fewer outputs, of the first inputs."""
    block = weight[outputs, inputs]
    weight[outputs, inputs] = scale * torch.eye(*block.shape)


def _attention_weights(weights: dict[str, Tensor], layer: int) -> list[Tensor]:
    return [weights[f"model.layers.{layer}.self_attn.{name}_proj.weight"] for name in "qkvo"]


def _turns(config: ModelConfig) -> Tensor:
    """How far RoPE turns each pair of a head's entries in one position, in radians; float64, (head size / 2,)."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    return config.rope_theta**-exponents


def _slow_pairs(config: ModelConfig) -> Tensor:
    return torch.nonzero(_turns(config) * config.max_position_embeddings < SLOW_TURN).flatten()


def _compared_pairs(config: ModelConfig) -> Tensor:
    return _slow_pairs(config)[-min(_code_size(config), MAX_COMPARED) :]


def _code_size(config: ModelConfig) -> int:
    """Entries of a code: a head has to carry one, and five fit into a hidden vector beside the constant."""
    return min(config.head_dim, (config.hidden_size - 1) // NUM_SLOTS)


def _slot(config: ModelConfig, index: int) -> slice:
    return slice(index * _code_size(config), (index + 1) * _code_size(config))


def _check_room(config: ModelConfig) -> None:
    check_type("config", config, ModelConfig, "a ModelConfig")
    heads_per_kv_head = config.num_attention_heads // config.num_key_value_heads
    max_vocab_size = 2 ** len(_compared_pairs(config))
    requirements = (
        (_code_size(config) > 0, f"hidden_size must be at least {NUM_SLOTS + 1}, got {config.hidden_size}"),
        (len(_slow_pairs(config)) < config.head_dim // 2, f"max_position_embeddings must be more, got "
                                                          f"{config.max_position_embeddings}"),
        (config.num_hidden_layers >= 2, f"num_hidden_layers must be at least 2, got {config.num_hidden_layers}"),
        (heads_per_kv_head >= 3, "num_attention_heads / num_key_value_heads must be at least 3, "
                                 f"got {config.num_attention_heads} / {config.num_key_value_heads}"),
        (not config.tie_word_embeddings, "tie_word_embeddings must be False, got True"),
        (config.vocab_size <= max_vocab_size, f"vocab_size must be at most {max_vocab_size}, got {config.vocab_size}; "
                                              "a larger rope_theta or fewer max_position_embeddings allow more"),
    )
    for is_met, message in requirements:
        if not is_met:
            raise ValueError(f"no room for the reciting circuit: {message}")
