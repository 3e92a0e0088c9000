"""nbgrader's exchange from release to feedback: an instructor and two learners.

The instructor uses nbgrader's API (formgrader's buttons do the same), the learners its commands. The learners are one
account with a home, a data folder and a working folder each, which works on every machine; `--student` stands for the
name of the account. (With accounts of their own they leave it out.)
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

from autograder import course_api, exchange
from autograder.course import REPOSITORY, Course
from tests.autograder.helpers import solved

NAME = "01_demo"
LEARNERS = ("ada", "ben")


class Learner:
    """A learner with a home folder, who runs nbgrader's commands in `folder`."""

    def __init__(self, name: str, place: Path, exchange: Path) -> None:
        self.name, self.folder = name, place / "work"
        self.folder.mkdir(parents=True)
        shutil.copy(REPOSITORY / "autograder" / "learner_config.py", self.folder / "nbgrader_config.py")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
        self.environment = kept | {"HOME": str(place), "NBGRADER_EXCHANGE": str(exchange)}

    def __call__(self, command: str, *more: str) -> str:
        """Runs `nbgrader COMMAND`; what it printed and logged."""
        student = [f"--student={self.name}"] if command in ("submit", "fetch_feedback") else []
        done = subprocess.run([sys.executable, "-m", "nbgrader", command, *more, *student], cwd=self.folder,
                              env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"nbgrader {command}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_release_to_feedback_with_two_learners(course: Course, tmp_path: Path, bubblewrap: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = tmp_path / "exchange"
    learners = {name: Learner(name, tmp_path / name, exchange) for name in LEARNERS}

    def both(*command: str) -> list[str]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda learner: learner(*command), learners.values()))

    monkeypatch.setenv("NBGRADER_EXCHANGE", str(exchange))
    with course_api.api(course) as instructor:
        def do(step: Callable[..., dict], *what: str) -> None:
            result = step(*what)
            assert result["success"], course_api.reason(result)

        do(instructor.generate_assignment, NAME)
        do(instructor.release_assignment, NAME)
        assert exchange.stat().st_mode & 0o1777 == 0o1777
        assert f"chunked_prefill {NAME}" in learners["ada"]("list")
        both("fetch_assignment", NAME)
        released = (course.notebooks / NAME / f"{NAME}.ipynb").read_text()
        for learner in learners.values():
            assert (learner.folder / NAME / f"{NAME}.ipynb").read_text() == released
        nbformat.write(solved(NAME, course), learners["ada"].folder / NAME / f"{NAME}.ipynb")
        both("submit", NAME)  # Ben hands it in as it came

        do(instructor.collect, NAME)
        for name in LEARNERS:
            do(instructor.autograde, NAME, name)
            do(instructor.generate_feedback, NAME, name)
        do(instructor.release_feedback, NAME)
    both("fetch_feedback", NAME)
    scores = {}
    for name, learner in learners.items():
        [page] = (learner.folder / NAME / "feedback").rglob("*.html")
        scores[name] = re.search(r"<h1>.*: ([\d.]+) of ([\d.]+) marks", page.read_text()).groups()
    assert float(scores["ada"][0]) > 0 == float(scores["ben"][0])


@pytest.mark.parametrize("named", ["a_file", "a_file/below", "a" * 300], ids=["a file", "below a file", "too long"])
def test_an_exchange_that_is_no_folder_is_refused(named: str, course: Course, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_file").write_text("kept")
    monkeypatch.setenv("NBGRADER_EXCHANGE", str(tmp_path / named))
    with pytest.raises(SystemExit, match=f"(?s)NBGRADER_EXCHANGE names .*{named}.* cannot be made a folder .*unset"):
        exchange.folder(course)
    assert (tmp_path / "a_file").read_text() == "kept"
