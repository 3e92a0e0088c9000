"""Temporary folders that go away even when the process that made them was killed: the next one removes them."""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "autograder-"  # short: the path of a Unix socket has at most 107 characters


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder, locked while it is in use; left-overs of earlier processes are removed first."""
    _remove_left_overs()
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        with open(path / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (path / "lock").exists():
                continue  # another process took it for a left-over, in the moment before it was locked
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)
            return


def _remove_left_overs() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        with contextlib.suppress(OSError), open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent, ignore_errors=True)
