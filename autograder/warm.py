"""Warm start, the grader's side: kernels forked from one sandboxed process that has imported torch already."""

import contextlib
import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import psutil
from traitlets.config import Config

from autograder import sandbox, scratch
from autograder.course import Course
from autograder.limits import Limits
from autograder.zygote import KERNELS


class Zygote:
    """The process that forks kernels; `address` is what a WarmSandbox connects to. One for all workers of a batch."""

    def __init__(self, course: Course, folder: Path, limits: Limits) -> None:
        """Starts it, without waiting for its imports. `folder` will hold the kernels' folders."""
        self.address = str(folder / "zygote")
        self.kernels = kernels = folder / "kernels"
        kernels.mkdir()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.address)
        listener.listen(64)
        ready, told = os.pipe()
        inside = [sys.executable, "-m", "autograder.zygote", str(listener.fileno()), str(told)]
        self._process = sandbox.Processes(sandbox.command(course, kernels, KERNELS, limits, inside),
                                          pass_fds=(listener.fileno(), told))
        os.close(told)
        listener.close()
        self._ready = ready

    def nests(self) -> bool:
        """Whether kernels can have namespaces of their own inside the sandbox; if not, use a Sandbox."""
        answer = os.read(self._ready, 1)
        os.close(self._ready)
        return answer == b"y"

    def close(self) -> None:
        """Ends it and every kernel that it forked."""
        self._process.kill()


class Keeper:
    """The process that keeps one warm kernel, and ends it when the grader hangs up."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self._connection, self.pid = connection, pid

    def poll(self) -> int | None:
        """None while the kernel lives; the keeper closes its end when it does not."""
        self._connection.setblocking(False)
        try:
            return None if self._connection.recv(1024) else 0
        except BlockingIOError:
            return None
        except OSError:
            return 0

    def kill(self) -> None:
        """Hangs up, which ends the kernel, and waits for that."""
        self._connection.shutdown(socket.SHUT_WR)
        self._connection.settimeout(5)
        try:
            while self._connection.recv(1024):
                continue
        except OSError:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(self.pid).kill()  # the kernel goes with its keeper
        self._connection.close()

    def wait(self) -> int:
        """`kill` has waited."""
        return 0

    def story(self) -> str:
        """The kernel's own words are the zygote's."""
        return "the forked kernel ended"


class WarmSandbox(sandbox.Sandbox):
    """Launches kernels by asking the zygote at `address`; their folders must lie in the zygote's."""

    def __init__(self, course: Course, address: str) -> None:
        self._course, self._address = course, address

    def launch(self, folder: Path, limits: Limits, line: socket.socket) -> Any:
        """Has the kernel forked whose connection file lies in `folder`, with its end of the line."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        connection.settimeout(60)  # the first one waits for the zygote's imports
        try:
            connection.connect(self._address)
            request = json.dumps({"folder": folder.name, "limits": limits.as_dict()}).encode()
            socket.send_fds(connection, [request], [line.fileno()])
            said, ancillary, _, _ = connection.recvmsg(64, socket.CMSG_SPACE(struct.calcsize("3i")))
        except OSError:
            said, ancillary = b"", []
        for _, kind, data in ancillary:
            if kind == socket.SCM_CREDENTIALS and said:  # they come with the end of a connection, too
                return Keeper(connection, struct.unpack("3i", data[:12])[0])
        connection.close()
        return super().launch(folder, limits, line)  # the zygote is gone, or could not fork: a cold start is as safe


class Start(contextlib.AbstractContextManager):
    """A batch's warm start, or its cold ones: a folder for all kernels, and a zygote where there can be one."""

    def __init__(self, course: Course, sandboxed: bool = True) -> None:
        """Begins at once; imports go on beside whatever this process does next. Raises SandboxError."""
        if sandboxed:
            sandbox.program()
        self._stack = contextlib.ExitStack()
        self._folder = self._stack.enter_context(scratch.folder())
        self._zygote = Zygote(course, self._folder, Limits()) if sandboxed else None
        if self._zygote:
            self._stack.callback(self._zygote.close)

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def settings(self) -> Config:
        """What the judge needs to know of it."""
        settings = Config()
        settings.Judge.scratch = str(self._zygote.kernels if self._zygote else self._folder)
        if self._zygote and self._zygote.nests():
            settings.Judge.zygote = self._zygote.address
        return settings
