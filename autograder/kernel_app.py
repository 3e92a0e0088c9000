"""ipykernel's application and output streams, without what the judge has no use for."""

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
            "HistoryManager": {"hist_file": ":memory:"},
        })
        self.update_config(self.cli_config)


class Stream(OutStream):
    """stdout or stderr. The kernel flushes both twice a cell, and each time waits for the thread that sends."""

    _under_way = False

    def flush(self) -> None:
        """Sends what was written and waits until it is sent, if there is any."""
        # An ipykernel that does not tell has to be asked.
        waits = getattr(self, "_flush_pending", True) or getattr(self, "_subprocess_flush_pending", True)
        if waits or self._under_way:
            super().flush()

    def _flush(self) -> None:
        self._under_way = True
        try:
            super()._flush()
        finally:
            self._under_way = False
