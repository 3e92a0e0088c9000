"""The line between the judge and one kernel: a pair of Unix sockets, over which each sends whole texts.

A text goes as its length, four bytes, and then its bytes. Jupyter's own messages would go through two more threads on
either side; a check takes some fifty turns. Standard library only: a kernel has it before it has torch.
"""

import contextlib
import os
import socket
import struct

LENGTH = struct.Struct("!I")
LONGEST = 2**32 - 1  # bytes of a text
PIECE = 2**20  # bytes that are read at once

of_this_kernel: "Line | None" = None  # set where a kernel starts


class TooLong(ValueError):
    """A text that is longer than its receiver takes."""


def packed(text: str) -> bytes:
    """What is sent for a text."""
    data = text.encode()
    return LENGTH.pack(len(data)) + data


class Incoming:
    """Puts texts together from the pieces in which they arrive."""

    def __init__(self, most: int) -> None:
        """`most` bytes may a text have."""
        self._most, self._buffer = most, bytearray()

    def add(self, piece: bytes) -> None:
        """Takes the next bytes."""
        self._buffer += piece

    def text(self) -> str | None:
        """The next text once it is whole; None before. Raises TooLong as soon as its length is known."""
        if len(self._buffer) < LENGTH.size:
            return None
        length = LENGTH.unpack_from(self._buffer)[0]
        if length > self._most:
            raise TooLong(f"a message may have at most {self._most} bytes, got {length}")
        end = LENGTH.size + length
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[LENGTH.size:end])
        del self._buffer[:end]
        return data.decode(errors="replace")


class Line:
    """The kernel's end, which waits as long as it takes."""

    def __init__(self, number: int) -> None:
        """`number` is the end's file descriptor; programs that the learner's code starts do not get it."""
        os.set_inheritable(number, False)
        self._socket, self._incoming = socket.socket(fileno=number), Incoming(LONGEST)

    def forget(self) -> None:
        """Drops what has arrived: a call that broke off may have left it unread."""
        with contextlib.suppress(BlockingIOError):
            self._socket.recv(PIECE, socket.MSG_DONTWAIT)
        self._incoming = Incoming(LONGEST)

    def send(self, text: str) -> None:
        """Sends a text to the judge."""
        self._socket.sendall(packed(text))

    def receive(self) -> str:
        """The judge's next text. Raises EOFError when the judge has hung up."""
        while (text := self._incoming.text()) is None:
            piece = self._socket.recv(PIECE)
            if not piece:
                raise EOFError("the judge has hung up")
            self._incoming.add(piece)
        return text
