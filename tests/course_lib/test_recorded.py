"""Recordings are read as they were written, and those in the package can all be read."""

from pathlib import Path

import pytest

from course_lib import recorded
from course_lib.recorded import Recording
from course_lib.trace import Iteration, RequestInfo, Trace, Work

TRACE = Trace((RequestInfo("1", 0.0, 2, 1),), (Iteration(0, 0.0, 0.5, 0.01, (Work("1", 0, 2, True),)),))


def test_save_and_load(tmp_path: Path) -> None:
    recording = Recording(TRACE, "a device", {"torch": "2.0"}, "one request")
    recording.save("mine", tmp_path / "data")
    assert recorded.names(tmp_path / "data") == ["mine"]
    assert recorded.load("mine", tmp_path / "data") == recording


def test_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    Recording(TRACE, "", {}, "").save("mine", tmp_path)
    with pytest.raises(KeyError, match=r"no recording 'other'; the recordings are \['mine'\]"):
        recorded.load("other", tmp_path)
    assert recorded.names(tmp_path / "nowhere") == []


def test_recordings_of_the_package_can_be_read() -> None:
    for name in recorded.names():
        recording = recorded.load(name)
        assert recording.device and recording.versions and recording.about and recording.trace.iterations
