"""ipykernel's application and output streams, without what the judge has no use for."""

import os
import select
import threading
import time
from typing import Any

from ipykernel.iostream import OutStream
from ipykernel.kernelapp import IPKernelApp
from traitlets.config import Config


class KernelApp(IPKernelApp):
    """The kernel of one submission."""

    connection_path = ""

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Sets what a command line would set. A parser for all options would take a tenth of the kernel's start."""
        self.cli_config = Config({
            "IPKernelApp": {"connection_file": self.connection_path, "log_level": 40, "ignore_cwd": True,
                            "outstream_class": "autograder.kernel_app.Stream"},
            "IPythonKernel": {"_execute_sleep": 0},  # a pause for late output, which `Stream.flush` waits for
            "HistoryManager": {"hist_file": ":memory:"},
        })
        self.update_config(self.cli_config)


class Stream(OutStream):
    """stdout or stderr. The kernel flushes both twice a cell: ipykernel's own then waits for the thread that sends
    even if there is nothing to send, and not for what programs have written to the file descriptor."""

    _under_way = False
    WAIT_SECONDS = 1.0  # for programs that write without end

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._reading = threading.Lock()
        super().__init__(*arguments, **named)

    def flush(self) -> None:
        """Sends what was written and waits until it is sent, if there is any."""
        if self._is_master_process():
            self._take_in()
        # An ipykernel that does not tell has to be asked.
        waits = getattr(self, "_flush_pending", True) or getattr(self, "_subprocess_flush_pending", True)
        if waits or self._under_way:
            super().flush()

    def _take_in(self) -> None:
        """Waits until `_watch_pipe_fd` has taken what lies in the pipe."""
        pipe, until = getattr(self, "_fid", None), time.monotonic() + self.WAIT_SECONDS
        while pipe is not None and _has_arrived(pipe, 0) and time.monotonic() < until:
            time.sleep(0.0001)
        with self._reading:
            pass

    def _watch_pipe_fd(self) -> None:
        """In a thread: takes what programs write to the file descriptor, so that `flush` can tell when that is done."""
        while self._should_watch:
            _has_arrived(self._fid, None)
            with self._reading:
                data = os.read(self._fid, 2**16)
                if not data or not self._should_watch:
                    break
                self.write(data.decode(errors="replace"))

    def _flush(self) -> None:
        self._under_way = True
        try:
            super()._flush()
        finally:
            self._under_way = False


def _has_arrived(pipe: int, seconds: float | None) -> bool:
    """Whether there is anything to read, now or within so many seconds; None waits for it."""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    return bool(waiting.poll(seconds))
