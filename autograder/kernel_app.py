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
            "IPythonKernel": {"_execute_sleep": 0},  # the judge waits for the kernel to be idle anyway
            "HistoryManager": {"hist_file": ":memory:"},
        })
        self.update_config(self.cli_config)


class Stream(OutStream):
    """stdout or stderr. The kernel flushes both twice a cell, and each time waits for the thread that sends."""

    def flush(self) -> None:
        """Sends what was written, if there is any that is not under way; what is sent later follows it in any case."""
        # An ipykernel that does not tell has to be asked.
        if getattr(self, "_flush_pending", True) or getattr(self, "_subprocess_flush_pending", True):
            super().flush()
