"""A kernel that outlives what learners' code does to it."""

import tempfile
from pathlib import Path
from time import monotonic

from nbformat import NotebookNode

from autograder.kernel import Kernel, KernelStopped, Launcher
from autograder.limits import Limits


class Kernels:
    """A kernel that is replaced when it stops: what ran before runs again, except what stopped one."""

    def __init__(self, launcher: Launcher, folder: Path, limits: Limits, timeout: float, startup_timeout: float,
                 deadline: float) -> None:
        """`timeout` is for a cell, `deadline` (by time.monotonic) for all of them."""
        self._launcher, self._folder, self._limits, self._timeout = launcher, folder, limits, timeout
        self._startup_timeout, self._deadline = startup_timeout, deadline
        self._ran: list[str] = []
        self._kernel: Kernel | None = None

    def run(self, source: str) -> list[NotebookNode]:
        """Runs a cell. Raises KernelStopped, after which the cell is not run again."""
        with self as kernel:
            outputs = kernel.run(source, self.until())
        self._ran.append(source)
        return outputs

    def until(self) -> float:
        """When the code that starts now has to be done."""
        return min(monotonic() + self._timeout, self._deadline)

    def __enter__(self) -> Kernel:
        """The kernel, with all cells run that have run so far."""
        while self._kernel is None:
            if monotonic() > self._deadline:
                raise KernelStopped("The time limit of the whole notebook was used up before this cell.")
            self._kernel = self._start()
            for source in list(self._ran):
                try:
                    self._kernel.run(source, self.until())
                except KernelStopped:
                    self._ran.remove(source)
                    self.close()
                    break
        return self._kernel

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KernelStopped):
            self.close()

    def _start(self) -> Kernel:
        folder = Path(tempfile.mkdtemp(prefix="k", dir=self._folder))
        folder.rmdir()  # a name that nobody else has; the kernel makes the folder
        return Kernel(self._launcher, folder, self._limits, self._startup_timeout)

    def close(self) -> None:
        """Ends the kernel, if there is one."""
        if self._kernel is not None:
            kernel, self._kernel = self._kernel, None
            kernel.close()
