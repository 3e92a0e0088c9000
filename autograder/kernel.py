"""One kernel that runs a submission, seen from the grader: cells in, outputs out, and a talk with `kernel_side`.

Everything that comes from a kernel is untrusted: messages are bounded in size and number, only known kinds are
read, nothing is unpickled, and a kernel that misbehaves is stopped, never asked to behave.
"""

import contextlib
import json
import select
import shutil
import uuid
from pathlib import Path
from socket import AF_UNIX, socket, socketpair
from time import monotonic
from typing import Any, Protocol

import psutil
import zmq
from jupyter_client.session import Session
from nbformat import NotebookNode

from autograder import plain
from autograder.kernel_start import KERNEL_FILE
from autograder.limits import Limits
from autograder.line import PIECE, Incoming, TooLong, packed
from autograder.outputs import Outputs, content_of, is_idle
from autograder.sandbox import KernelStartError

PORTS = {"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5}
MAX_PARTS = 4_000_000  # of a message: a short text can decode to gigabytes of small objects
MAX_GROWTH = 512 * 2**20  # bytes that this process may grow by while it listens to a cell: messages may be endless
WATCH_SECONDS = 0.4  # between two looks at what a kernel uses
GRACE_SECONDS = 5  # for what a cell still has to say after its reply
TOO_LONG = "Your code took longer than its time limit."
TOO_MUCH = "Your code wrote too much output."
ENDED = "Your code ended the process in which it ran: a crash, an exit, or too much memory or time."


class KernelStopped(Exception):
    """The learner's code ended the kernel, or used too much of something; the text is for the learner."""


class Process(Protocol):
    """The outermost process of a kernel, as subprocess.Popen has it."""

    pid: int

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def wait(self) -> int: ...


class Launcher(Protocol):
    """Starts kernels, in a sandbox or not."""

    def inside(self, folder: Path) -> str:
        """The path that `folder` has for the kernel."""

    def launch(self, folder: Path, limits: Limits, line: socket) -> Process:
        """Starts the kernel whose connection file lies in `folder`, with this end of its line to the judge."""

    def story(self, process: Process) -> str:
        """What a process that did not come up wrote about it."""


class Ended(Exception):
    """The code of a talk came to its end before the judge did: type and message of the learner's exception."""


class Kernel:
    """A kernel of its own process, sockets and folder. Close it, or use it with `with`."""

    def __init__(self, launcher: Launcher, folder: Path, limits: Limits, startup_timeout: float = 60) -> None:
        """Starts the kernel in the new folder `folder`; raises KernelStartError if it does not come up."""
        self._folder, self._limits = folder, limits
        self._context = zmq.Context.instance()
        self._session = Session(key=uuid.uuid4().hex.encode())
        self._watched, self._resident = 0.0, 0
        self._request = ""
        folder.mkdir(mode=0o700)
        self._write_connection(launcher.inside(folder))
        self._incoming = Incoming(plain.MAX_CHARS)
        self._line, theirs = socketpair()
        self._line.setblocking(False)
        with theirs:
            try:
                self._process = launcher.launch(folder, limits, theirs)
            except BaseException:
                self._line.close()
                shutil.rmtree(folder, ignore_errors=True)
                raise
        self._sockets: dict[str, zmq.Socket] = {}
        try:
            self._connect(launcher, monotonic() + startup_timeout)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends every process of the kernel and removes its folder."""
        self._process.kill()
        self._process.wait()
        for one in self._sockets.values():
            one.close(linger=0)
        self._line.close()
        shutil.rmtree(self._folder, onerror=_make_removable)

    def run(self, source: str, deadline: float) -> list[NotebookNode]:
        """Runs a cell and returns its outputs, cut to the limits. Raises KernelStopped."""
        self._request = self._send(source, silent=False)
        outputs = Outputs(self._limits.shown)
        replied = idle = False
        while not (replied and idle):
            try:
                channel, message = self._receive(deadline)
            except KernelStopped:
                if replied:  # a message over the socket's limit closed it, and later output would be missed too
                    raise KernelStopped("Your code wrote too much output at once.") from None
                raise
            if channel == "iopub":
                idle = idle or is_idle(message)
                outputs.add(message)
            elif channel == "shell":
                if not replied:  # once: the learner's code may send replies of its own
                    replied, deadline = True, monotonic() + GRACE_SECONDS
                if any(isinstance(one, dict) and one.get("source") == "ask_exit"
                       for one in content_of(message, "payload", list, [])):
                    raise KernelStopped("Your code ended its own process (exit or quit).")
        return outputs.cells

    def begin(self, code: str) -> None:
        """Starts code that talks over the line; then take turns with `heard` and `say`."""
        with contextlib.suppress(OSError):
            self._line.recv(PIECE)  # what was sent unasked
        self._incoming = Incoming(plain.MAX_CHARS)
        self._poller.register(self._line.fileno(), zmq.POLLIN)
        self._request = self._send(code, silent=True)

    def heard(self, deadline: float) -> Any:
        """What the code that `begin` started says next. Raises Ended, KernelStopped, plain.PlainError."""
        while True:
            if deadline < monotonic():  # here too: of what is there already, a thousand texts may be whole
                raise KernelStopped(TOO_LONG)
            try:
                text = self._incoming.text()
            except TooLong as error:
                raise plain.PlainError(str(error)) from None
            if text is not None:
                if sum(map(text.count, ",:[{")) > MAX_PARTS:
                    raise KernelStopped(TOO_MUCH)
                return plain.decode(text)
            channel, message = self._receive(deadline)
            if channel == "line":
                self._read_line()
            elif channel == "shell":
                self._leave_line()
                name, text = (content_of(message, key, str, "") for key in ("ename", "evalue"))
                raise Ended(name[:80] or "nothing", text[:2000])

    def say(self, text: str, deadline: float) -> None:
        """Answers what was heard last. Raises KernelStopped where the kernel does not take the answer in time."""
        left, room = memoryview(packed(text)), select.poll()
        room.register(self._line, select.POLLOUT)
        while left:
            try:
                left = left[self._line.send(left):]
            except BlockingIOError:
                if deadline < monotonic():
                    raise KernelStopped(TOO_LONG) from None
                self._watch()
                room.poll(1000 * WATCH_SECONDS)
            except OSError:
                return  # nobody reads any more: what is heard next tells why

    def _read_line(self) -> None:
        try:
            piece = self._line.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if piece:
            self._incoming.add(piece)
        else:
            self._leave_line()  # closed, by the learner's code or with the kernel

    def _leave_line(self) -> None:
        if self._line.fileno() in self._poller:
            self._poller.unregister(self._line.fileno())

    def _write_connection(self, inside: str) -> None:
        connection = {"transport": "ipc", "ip": f"{inside}/ipc", "key": self._session.key.decode(),
                      "signature_scheme": "hmac-sha256", **PORTS}
        (self._folder / KERNEL_FILE).write_text(json.dumps(connection))

    def _connect(self, launcher: Launcher, deadline: float) -> None:
        self._poller = zmq.Poller()
        for channel, kind, size in (("shell", zmq.DEALER, 16 * 2**20), ("iopub", zmq.SUB, 32 * 2**20)):
            one = self._sockets[channel] = self._context.socket(kind)
            one.set(zmq.LINGER, 0)
            one.set(zmq.MAXMSGSIZE, size)
            one.set(zmq.RCVHWM, 100)
            one.set(zmq.SNDTIMEO, 1000 * GRACE_SECONDS)
            # Once connected, never again: the learner's code could put another socket in this one's place.
            one.set(zmq.RECONNECT_IVL, -1)
            one.set(zmq.IDENTITY, self._session.bsession)
            if kind == zmq.SUB:
                one.set(zmq.SUBSCRIBE, b"")
            self._poller.register(one, zmq.POLLIN)
        names = {one: channel for channel, one in self._sockets.items()}
        self._names = names
        while not all(_listens(self._folder / f"ipc-{port}") for port in PORTS.values()):
            self._still_starting(launcher, deadline)
            self._poller.poll(2)
        for channel, one in self._sockets.items():
            one.connect(f"ipc://{self._folder}/ipc-{PORTS[channel + '_port']}")
        missing = {"shell", "iopub"}
        while missing:  # the subscription takes effect a moment after the connection
            self._still_starting(launcher, deadline)
            if "iopub" in missing:
                self._session.send(self._sockets["shell"], "kernel_info_request", {})
            for one, _ in self._poller.poll(20):
                one.recv_multipart()
                missing.discard(names[one])

    def _still_starting(self, launcher: Launcher, deadline: float) -> None:
        if self._process.poll() is not None:
            raise KernelStartError(f"the kernel did not start: {launcher.story(self._process)}")
        if monotonic() > deadline:
            raise KernelStartError(f"the kernel did not come up in time: {launcher.story(self._process)}")

    def _send(self, code: str, silent: bool) -> str:
        content = {"code": code, "silent": silent, "store_history": not silent, "user_expressions": {},
                   "allow_stdin": False, "stop_on_error": False}
        self._received, self._resident = 0, psutil.Process().memory_info().rss
        try:
            return self._session.send(self._sockets["shell"], "execute_request", content)["header"]["msg_id"]
        except zmq.Again:
            raise KernelStopped(ENDED) from None

    def _receive(self, deadline: float) -> tuple[str, dict]:
        """The next message that belongs to the current request, with its channel. Raises KernelStopped."""
        while True:
            if deadline < monotonic():
                raise KernelStopped(TOO_LONG)
            ready = self._poller.poll(1000 * WATCH_SECONDS)
            self._watch()
            if not ready:
                if self._process.poll() is not None:
                    raise KernelStopped(ENDED)
                continue
            if ready[0][0] == self._line.fileno():
                return "line", {}
            channel, frames = self._names[ready[0][0]], ready[0][0].recv_multipart()
            self._received += sum(map(len, frames)) if channel == "iopub" else 0
            num_parts = sum(frame.count(mark) for frame in frames for mark in (b",", b":", b"[", b"{"))
            if self._received > self._limits.output or num_parts > MAX_PARTS:
                raise KernelStopped(TOO_MUCH)
            message = self._parse(frames)
            if message and message["parent_header"].get("msg_id") == self._request:
                return channel, message

    def _watch(self) -> None:
        """Looks at what the kernel uses, every now and then."""
        if monotonic() - self._watched > WATCH_SECONDS:
            self._watched = monotonic()
            if story := self._limits.overrun(self._process.pid, self._folder):
                raise KernelStopped(story)
            if psutil.Process().memory_info().rss > self._resident + MAX_GROWTH:
                raise KernelStopped(TOO_MUCH)

    def _parse(self, frames: list[bytes]) -> dict | None:
        """The message, or None for one that is not Jupyter's or not well signed."""
        try:
            message = self._session.deserialize(self._session.feed_identities(frames)[1])
        except Exception:  # whatever a forged message can provoke
            return None
        is_whole = isinstance(message["parent_header"], dict) and isinstance(message["msg_type"], str)
        return message if is_whole else None


def _listens(path: Path) -> bool:
    """Whether somebody listens on the Unix socket `path`."""
    with socket(AF_UNIX) as trial:
        return trial.connect_ex(str(path)) == 0


def _make_removable(function: Any, path: str, _error: Any) -> None:
    """The learner's code may have taken the folder's permissions away."""
    try:
        Path(path).parent.chmod(0o700)
        if not Path(path).is_symlink():
            Path(path).chmod(0o700)
        function(path)
    except OSError:
        shutil.rmtree(path, ignore_errors=True)
