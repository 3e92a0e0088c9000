"""Workers: results, an error in one, a killed one, a dask cluster."""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from autograder import grade, parallel
from autograder.course import Course
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


def test_on_a_dask_cluster_marks_are_the_same(course: Course, bubblewrap: str) -> None:
    distributed = pytest.importorskip("distributed")
    folder = course.root / "submissions"
    submit(folder, "ada", "01_demo", solved("01_demo", course))
    submit(folder, "ben", "01_demo", untouched("01_demo", course))
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None,
                                  host="127.0.0.1") as cluster:
        options = grade.Options(dask_address=cluster.scheduler_address)
        rows = grade.grade(folder, "01_demo", course.root / "grades.csv", course, options)
    assert {row.student: row.score for row in rows} == {"ada": 5, "ben": 0}
