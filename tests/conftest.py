"""What all tests share: one thread a worker, and the programs that pip cannot install."""

import os
import shutil
from pathlib import Path

import pytest

# Set before torch is imported; kernels and servers that a test starts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; skips the test where there is none."""
    return find_program("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def bubblewrap() -> str:
    """The path of bwrap; skips the test where there is none."""
    return find_program("bwrap")


def find_program(*names: str) -> str:
    """The path of the first of `names` on PATH. With CI=true a missing one fails the test instead of skipping it."""
    for name in names:
        if path := shutil.which(name):
            return path
    message = f"{names[0]} is not installed (`make test` installs it where apt-get can)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
