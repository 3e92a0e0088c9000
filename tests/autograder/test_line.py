"""The line between judge and kernel: texts arrive whole however they are cut, and nothing is taken that is too long."""

import os
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.line import LENGTH, Incoming, Line, TooLong, packed


@given(texts=st.lists(st.text(max_size=50)), cuts=st.lists(st.integers(1, 20)))
def test_texts_arrive_whole_however_they_are_cut(texts: list[str], cuts: list[int]) -> None:
    sent = b"".join(map(packed, texts))
    incoming, got = Incoming(1000), []
    while sent:
        size = cuts.pop() if cuts else 7
        incoming.add(sent[:size])
        sent = sent[size:]
        while (text := incoming.text()) is not None:
            got.append(text)
    assert got == texts


def test_a_length_over_the_limit_is_refused_before_the_text_is_there() -> None:
    incoming = Incoming(10)
    incoming.add(packed("x" * 10))
    assert incoming.text() == "x" * 10
    incoming.add(LENGTH.pack(11))
    with pytest.raises(TooLong, match="at most 10 bytes, got 11"):
        incoming.text()


def test_what_is_no_text_comes_as_one_that_can_be_looked_at() -> None:
    incoming = Incoming(10)
    incoming.add(LENGTH.pack(2) + b"\xff\xfe")
    assert incoming.text() == "\ufffd\ufffd"


def test_both_ends_of_a_line() -> None:
    ours, theirs = socket.socketpair()
    line, large = Line(theirs.detach()), "x" * 3_000_000
    sender = threading.Thread(target=line.send, args=[large])
    sender.start()
    with ours.makefile("rb") as file:
        assert file.read(len(packed(large))) == packed(large)
    sender.join()
    ours.sendall(packed("first") + packed("") + packed("last"))
    assert [line.receive() for _ in range(3)] == ["first", "", "last"]
    ours.close()
    with pytest.raises(EOFError, match="hung up"):
        line.receive()


def test_programs_that_are_started_do_not_get_the_line() -> None:
    ours, theirs = socket.socketpair()
    os.set_inheritable(theirs.fileno(), True)
    line = Line(theirs.detach())
    assert not line._socket.get_inheritable()
    ours.close()
