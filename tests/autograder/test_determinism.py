"""The same submission gets the same marks and messages on every run, however many workers and whatever else runs."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from autograder import exercises, grade, judge
from autograder.course import Course
from tests.autograder.helpers import scratch_course, solved, submit, texts

pytestmark = pytest.mark.xdist_group("determinism")

# Its answers are right or wrong by what it is asked, so the mark shows which inputs were drawn.
MOODY = "def halves(numbers):\n    return [number // 2 + (sum(numbers) % 3 == 0) for number in numbers]"


@contextlib.contextmanager
def busy_machine(processes: int) -> Iterator[None]:
    """So many processes that do nothing but use up the cores."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def write(course: Course, folder: Path) -> None:
    cells = {cell.id: cell.source for cell in solved("01_demo", course).cells}
    for number, mutant in enumerate(exercises.mutants("01_demo", course)[0]):
        submit(folder, f"mutant_{number}", "01_demo",
               solved("01_demo", course, {mutant.exercise: mutant.apply(cells[mutant.exercise])}))
    submit(folder, "moody", "01_demo", solved("01_demo", course, {"halves": MOODY}))


def said(course: Course) -> dict[str, str]:
    """What every graded notebook's cells printed, with the marks."""
    return {path.parts[-3]: texts(nbformat.read(path, as_version=4))
            for path in (course.grading / "autograded").glob("*/01_demo/01_demo.ipynb")}


def test_marks_depend_on_the_submission_alone(released_demo: Course, tmp_path: Path, bubblewrap: str,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    write(released_demo, tmp_path / "submissions")
    found = []
    for jobs, threads, load in ((1, "1", 0), (2, "4", 0), (4, "2", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        course = scratch_course(released_demo, tmp_path / f"jobs-{jobs}")
        if found:  # what a course's inputs are drawn from
            (course.grading / "autograded").mkdir()
            shutil.copy(tmp_path / "jobs-1" / "autograder" / "autograded" / ".secret", course.grading / "autograded")
        with busy_machine(load):
            rows = grade.grade(tmp_path / "submissions", "01_demo", tmp_path / "grades.csv", course,
                               grade.Options(jobs=jobs))
        found.append(([(row.student, row.score, row.status) for row in rows], said(course), judge.secret(course)))
    assert len(found[0][0]) == len(found[0][1]) >= 5
    assert found[0] == found[1] == found[2]
