"""nbgrader's exchange from release to feedback: an instructor and two learners, by nbgrader's own commands.

The learners are one account with a home, a data folder and a JupyterLab folder each, which works on every machine;
`--student` stands for the name of the account. (With accounts of their own they leave it out.)
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

from autograder.course import REPOSITORY, ROOT_VARIABLE, Course
from tests.autograder.helpers import solved

NAME = "01_demo"
LEARNERS = ("ada", "ben")


class Account:
    """Somebody with a home folder, who runs nbgrader in `folder`."""

    def __init__(self, home: Path, folder: Path, exchange: Path, **more: str) -> None:
        home.mkdir()
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")} | more
        self.environment |= {"HOME": str(home), "NBGRADER_EXCHANGE": str(exchange),
                             "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}

    def __call__(self, *command: str) -> str:
        """Runs `nbgrader COMMAND`; what it printed and logged."""
        done = subprocess.run([sys.executable, "-m", "nbgrader", *command], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True)
        assert done.returncode == 0, f"nbgrader {' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_release_to_feedback_with_two_learners(course: Course, tmp_path: Path, bubblewrap: str) -> None:
    exchange = tmp_path / "exchange"
    instructor = Account(tmp_path / "instructor", course.grading, exchange, **{ROOT_VARIABLE: str(course.root)})
    shutil.copy(REPOSITORY / "autograder" / "nbgrader_config.py", course.grading)
    # The demo course has no code of its own; its config finds the repository's.
    config = (course.grading / "nbgrader_config.py").read_text()
    (course.grading / "nbgrader_config.py").write_text(
        config.replace("REPOSITORY = Path(__file__).resolve().parents[1]", f"REPOSITORY = Path({str(REPOSITORY)!r})"))
    learners = {}
    for name in LEARNERS:
        folder = tmp_path / f"{name}_work"
        folder.mkdir()
        shutil.copy(REPOSITORY / "autograder" / "learner_config.py", folder / "nbgrader_config.py")
        learners[name] = Account(tmp_path / name, folder, exchange)

    def both(*command: str, as_student: bool = False) -> list[str]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda name: learners[name](*command, *[f"--student={name}"] * as_student), LEARNERS))

    instructor("generate_assignment", NAME, "--force")
    instructor("release_assignment", NAME)
    assert exchange.stat().st_mode & 0o1777 == 0o1777
    assert all(f"chunked_prefill {NAME}" in listed for listed in both("list"))
    both("fetch_assignment", NAME)
    released = (course.notebooks / NAME / f"{NAME}.ipynb").read_text()
    for learner in learners.values():
        assert (learner.folder / NAME / f"{NAME}.ipynb").read_text() == released
    nbformat.write(solved(NAME, course), learners["ada"].folder / NAME / f"{NAME}.ipynb")  # Ben hands it in untouched
    both("submit", NAME, as_student=True)

    instructor("collect", NAME)
    assert sorted(path.name for path in (course.grading / "submitted").iterdir()) == list(LEARNERS)
    instructor("autograde", NAME)
    instructor("generate_feedback", NAME)
    instructor("release_feedback", NAME)
    both("fetch_feedback", NAME, as_student=True)
    scores = {}
    for name, learner in learners.items():
        [page] = (learner.folder / NAME / "feedback").rglob("*.html")
        scores[name] = re.search(r"Score: ([\d.]+) / ([\d.]+)", page.read_text()).groups()
    assert float(scores["ada"][0]) > 0 == float(scores["ben"][0])
