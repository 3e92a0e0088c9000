"""The documents, their tokens, and the prompts that ask for them."""

import pytest

from course_lib.documents import DOCUMENTS, VOCABULARY, decode, encode, long_document, prompt_for, repeated_pairs


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_pair_of_a_document_occurs_once_and_the_first_token_is_not_doubled(name: str):
    document = encode(DOCUMENTS[name])
    assert {VOCABULARY.decode(pair) for pair in repeated_pairs(document)} == set()
    assert document[0] != document[1]


def test_repeated_pairs_counts_the_seam():
    assert repeated_pairs([1, 2, 3, 1, 2]) == {(1, 2)}
    assert repeated_pairs([1, 2, 1, 3, 2]) == {(2, 1)}
    assert repeated_pairs([1, 2, 3]) == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_text_survives_encoding(name: str):
    assert decode(encode(DOCUMENTS[name])) == DOCUMENTS[name]


def test_unknown_words_are_named():
    with pytest.raises(ValueError, match="no token id for 'Spoons', 'submarine'"):
        encode("Spoons and a submarine")


def test_an_id_without_a_word_shows_its_number():
    assert decode([0, 1023, -1]) == f"{VOCABULARY.words[0]} <1023> <-1>"


@pytest.mark.parametrize("num_tokens", [3, 100, 4000])
def test_long_documents_have_no_repeated_pair(num_tokens: int):
    document = long_document(num_tokens, seed=3)
    assert len(document) == num_tokens
    assert repeated_pairs(document) == set()
    assert document == long_document(num_tokens, seed=3) != long_document(num_tokens, seed=4)
    assert 0 <= min(document) <= max(document) < 1024


@pytest.mark.parametrize(("num_tokens", "vocab_size"), [(2, 1024), (4001, 1024), (100, 255)])
def test_impossible_long_documents_are_refused(num_tokens: int, vocab_size: int):
    with pytest.raises(ValueError, match="must be"):
        long_document(num_tokens, vocab_size=vocab_size)


def test_prompt_is_the_document_and_its_first_two_tokens():
    document = encode("One cook runs this kitchen")
    assert prompt_for("One cook runs this kitchen") == prompt_for(document) == document + document[:2]
    with pytest.raises(ValueError, match="at least 3 tokens, got 2"):
        prompt_for([4, 5])
