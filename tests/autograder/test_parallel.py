"""Workers: results, an error in one, a killed one, a dask cluster."""

import contextlib
import csv
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from autograder import parallel
from autograder.course import REPOSITORY, ROOT_VARIABLE, Course
from tests.autograder.helpers import solved, submit, untouched

pytestmark = pytest.mark.xdist_group("parallel")


@contextlib.contextmanager
def workplace(log: str) -> Iterator[Callable[[int], tuple[int, int]]]:
    """Doubles numbers, and says in which process; logs that it was set up."""
    with open(log, "a") as file:
        file.write(f"{os.getpid()}\n")
    yield lambda number: _double(number)


def _double(number: int) -> tuple[int, int]:
    time.sleep(0.05)
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number, os.getpid()


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_item_once_and_each_worker_set_up_once(tmp_path, jobs: int) -> None:
    place = functools.partial(workplace, str(tmp_path / "log"))
    done = dict(parallel.each(place, range(10), jobs))
    assert {item: result for item, (result, _) in done.items()} == {number: 2 * number for number in range(10)}
    processes = {process for _, process in done.values()}
    set_up = (tmp_path / "log").read_text().split()
    assert len(set_up) == len(set(set_up)) == jobs and processes <= set(map(int, set_up))
    assert (os.getpid() in processes) == (jobs == 1)


def test_a_killed_worker_is_told_and_does_not_hang(tmp_path) -> None:
    place = functools.partial(workplace, str(tmp_path / "log"))
    with pytest.raises(parallel.WorkerLost, match="what is graded stays graded"):
        list(parallel.each(place, [1, 2, 13, 3], 2))


def test_the_same_command_on_a_dask_cluster(course: Course, bubblewrap: str) -> None:
    distributed = pytest.importorskip("distributed")
    folder = course.root / "submissions"
    for student in ("ada", "cleo"):
        submit(folder, student, "01_demo", solved("01_demo", course))
    for student in ("ben", "dora"):
        submit(folder, student, "01_demo", untouched("01_demo", course))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                                  host="127.0.0.1") as cluster:
        done = subprocess.run(
            [sys.executable, "-m", "autograder", "grade", str(folder), "--assignment", "01_demo",
             "--output", str(course.root / "grades.csv"), "--backend", "dask", "--address", cluster.scheduler_address],
            cwd=REPOSITORY, env=os.environ | {ROOT_VARIABLE: str(course.root)}, capture_output=True, text=True)
        with distributed.Client(cluster) as client:
            graded = client.run(lambda: len(parallel._works))
    assert done.returncode == 0, done.stderr
    with open(course.root / "grades.csv", newline="") as file:
        marks = {line["student_id"]: line["score"] for line in csv.DictReader(file)}
    assert marks == {"ada": "5.0", "ben": "0.0", "cleo": "5.0", "dora": "0.0"}
    assert sum(graded.values()) == 2, "each of the two workers has set up its workplace once"
