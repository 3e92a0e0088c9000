"""The documents that the reciting model recites, and their words as token ids.

A token is a word or a punctuation mark. Inside a document every pair of neighbouring tokens occurs once, so that two
words always say where in the document we are (course_lib/recite.py finds the place by them).
"""

import random
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from torch import Tensor

from course_lib.validate import check_int, check_seed, check_token_ids, check_type, checked_list

KITCHEN = """\
One cook runs this kitchen alone. Orders arrive on paper slips, some for a bowl of soup, others for whole banquets. \
Soup guests want spoonful after spoonful, steadily; long waits between two sips annoy them. Banquet tables need hours \
of chopping before their first plate leaves. If our cook chops everything at once, each bowl goes cold while spoons \
hang in mid air. So she learned a trick: divide every banquet into short stretches, and during any stretch also fill \
the waiting bowls. Chopped carrots stay in labelled boxes, stacked by number, thus nothing is ever cut twice. When \
that last box closes, the feast may begin. Total work remains just as before; only its order changed. Stretches too \
short waste minutes washing knives, stretches cut too long let broth stand. Somewhere among those extremes lies good \
service."""

LIGHTHOUSE = """\
Night log, northern light. At dusk I climbed ninety steps with fresh oil, trimmed both wicks and wound the clock. Wind \
from west by south, freshening. Before ten two herring boats passed inside our reef; their lamps answered mine. Around \
midnight fog rolled over everything like wool, so I rang bell number three once every minute until my arms grew heavy. \
No ship replied. Towards four a steamer's horn sounded, far off, then nearer, finally so close that gulls woke. She \
turned when she saw us. By sunrise her wake was only a crease on grey water. Damage: one cracked pane, a wet page, \
cold tea. Lens cleaned, brass polished, weather glass rising. My relief arrives Thursday if seas allow. Until that \
boat comes the lamp will burn as it always has, from first dark to full day, and someone will write down what it saw."""

FERRY = """\
Twelve seats, one boat, two kinds of traveller. Villagers cross daily with a basket or nothing, and expect to step \
aboard at each departure. Now a circus waits on the quay: forty trunks, seven ponies, an organ in pieces. Loading it \
whole would hold the boat all morning, so the skipper fills empty seats instead. First every villager sits down; \
whatever room is left takes trunks. Trip after trip, the pile shrinks. A chalk mark on shore counts what has crossed, \
hence nothing travels twice. Only when the organ's final pipe lands can music start. Nobody was stranded, though each \
crossing ran a little slower than usual."""

DOCUMENTS: dict[str, str] = {"kitchen": KITCHEN, "lighthouse": LIGHTHOUSE, "ferry": FERRY}

_TOKEN = re.compile(r"[\w'-]+|[^\w\s]")
_NO_SPACE_BEFORE = re.compile(r" ([.,;:!?])")


class Vocabulary:
    """Token ids of the words and punctuation marks of some texts, in alphabetical order: 0, 1, 2, ..."""

    def __init__(self, texts: Iterable[str]) -> None:
        texts = checked_list("texts", texts, str, "texts")
        self.words: list[str] = sorted({word for text in texts for word in _TOKEN.findall(text)})
        self._ids = {word: token_id for token_id, word in enumerate(self.words)}

    def encode(self, text: str) -> list[int]:
        """The token ids of a text. A word that none of the texts holds is a ValueError."""
        check_type("text", text, str, "a text")
        words = _TOKEN.findall(text)
        unknown = sorted({word for word in words if word not in self._ids})
        if unknown:
            raise ValueError(
                f"no token id for {', '.join(map(repr, unknown))}: this vocabulary holds {len(self.words)} words; "
                "use those (capitals count), or make a Vocabulary of your own texts"
            )
        return [self._ids[word] for word in words]

    def decode(self, token_ids: Iterable[int]) -> str:
        """The text of some token ids. An id without a word, which a model may well produce, reads <its number>."""
        token_ids = token_ids.tolist() if isinstance(token_ids, Tensor) else token_ids
        token_ids = checked_list("token_ids", token_ids, int, "ints")
        words = (self.words[i] if 0 <= i < len(self.words) else f"<{i}>" for i in token_ids)
        return _NO_SPACE_BEFORE.sub(r"\1", " ".join(words))


VOCABULARY = Vocabulary(DOCUMENTS.values())


def encode(text: str) -> list[int]:
    """The token ids of a text made of the documents' words."""
    return VOCABULARY.encode(text)


def decode(token_ids: Iterable[int]) -> str:
    """The text of some token ids."""
    return VOCABULARY.decode(token_ids)


def repeated_pairs(token_ids: Sequence[int]) -> set[tuple[int, int]]:
    """The pairs of neighbours that occur more than once, counting the pair of the last token and the first."""
    check_token_ids("token_ids", token_ids)
    seen: set[tuple[int, int]] = set()
    repeated: set[tuple[int, int]] = set()
    for pair in pairwise([*token_ids, *token_ids[:1]]):
        (repeated if pair in seen else seen).add(pair)
    return repeated


def long_document(num_tokens: int, seed: int = 0, vocab_size: int = 1024) -> list[int]:
    """Random token ids without a repeated pair: a document of any length up to 4,000 tokens. The same seed, the same
    document."""
    check_int("num_tokens", num_tokens, 3, 4000)
    check_seed(seed)
    check_int("vocab_size", vocab_size, 256, hint="fewer tokens make too few pairs")
    generator = random.Random(seed)
    document = generator.sample(range(vocab_size), 2)
    pairs = {tuple(document)}
    while len(document) < num_tokens:
        pair = (document[-1], generator.randrange(vocab_size))
        # The first token does not come again, so that the pair of the last token and the first is new as well.
        if pair not in pairs and pair[1] not in (pair[0], document[0]):
            pairs.add(pair)
            document.append(pair[1])
    return document


def prompt_for(document: str | Sequence[int]) -> list[int]:
    """The prompt that asks for a document, given as text or as token ids: the document, then its first two tokens.

    The right continuation is the document from its third token on, and after its end the document again.
    """
    token_ids = encode(document) if isinstance(document, str) else document
    check_token_ids("document", token_ids)
    token_ids = list(token_ids)
    if len(token_ids) < 3:
        raise ValueError(f"a document must have at least 3 tokens, got {len(token_ids)}")
    return token_ids + token_ids[:2]
