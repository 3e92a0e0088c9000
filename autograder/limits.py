"""What a submission's kernel may use, and how that is enforced."""

import os
import resource
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Limits:
    """Bounds of one kernel with all its processes. Sizes in bytes."""

    memory: int = 4 * 2**30  # address space of a process; resident memory of all of them together
    processes: int = 32
    cpu_seconds: int = 900  # of one process
    file_size: int = 64 * 2**20
    disk: int = 256 * 2**20  # of the working folder, and of the folder that holds the kernel's sockets
    shown: int = 2**20  # output of one cell that is kept
    output: int = 64 * 2**20  # output of one cell that stops the kernel

    def __post_init__(self) -> None:
        # Not with course_lib.validate: kernels import this module before torch.
        for name, value in vars(self).items():
            if type(value) is not int or value < 1:
                raise ValueError(f"the limit {name} must be an int of at least 1, got {value!r}; sizes are in bytes")

    @classmethod
    def with_changes(cls, changes: dict[str, int]) -> "Limits":
        """The usual limits but for `changes`, as `c.Judge.limits` of nbgrader_config.py has them."""
        known = list(vars(cls()))
        if unknown := [name for name in changes if name not in known]:
            raise ValueError(f"c.Judge.limits sets {unknown[0]!r}; there are {', '.join(known)}")
        return cls(**changes)

    def apply(self) -> None:
        """Binds this process and its children, as far as rlimits reach; called in the kernel before learners' code."""
        wanted = {
            resource.RLIMIT_AS: self.memory, resource.RLIMIT_CPU: self.cpu_seconds,
            resource.RLIMIT_FSIZE: self.file_size, resource.RLIMIT_CORE: 0,
            # Counts threads, for a sandbox of its own only; not enforced when root grades: `overrun` is.
            resource.RLIMIT_NPROC: 8 * self.processes,
        }
        if not os.environ.get("IN_SANDBOX"):
            del wanted[resource.RLIMIT_NPROC]  # would count all processes of the user who grades
        for which, value in wanted.items():
            hard = resource.getrlimit(which)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (value, value))

    def overrun(self, pid: int, folder: Path) -> str | None:
        """What a running kernel has used too much of, as a sentence; `pid` is its outermost process."""
        try:
            processes = psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return None
        if len(processes) > self.processes:
            return f"Your code started more than {self.processes} processes."
        resident = 0
        for process in processes:
            try:
                resident += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        if resident > self.memory:
            return f"Your code used more than {self.memory / 2**30:.1f} GiB of memory."
        try:
            sizes = [entry.stat(follow_symlinks=False).st_blocks * 512 for entry in os.scandir(folder)]
        except OSError:
            return None
        if sum(sizes) > self.disk or len(sizes) > 100:
            return "Your code wrote too much into its working folders."
        return None

    def as_dict(self) -> dict[str, int]:
        """For JSON, and back with `Limits(**...)`."""
        return asdict(self)
