"""Grading on many cores: workers that are forked from this process, which holds torch and nbgrader already.

Fresh interpreters (joblib's loky) would each spend seconds on imports, and a pool of joblib's or multiprocessing's
waits for ever when one of its workers is killed; ProcessPoolExecutor does neither. A dask cluster offers the same
interface.
"""

import atexit
import contextlib
import ctypes
import functools
import multiprocessing
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

Work = Callable[[Any], Any]
Workplace = Callable[[], contextlib.AbstractContextManager[Work]]  # entered once in each worker

PR_SET_PDEATHSIG = 1

_places = contextlib.ExitStack()
_works: dict[Any, Work] = {}
_one_at_a_time = threading.Lock()  # nbgrader changes the working directory, which all threads share


class WorkerLost(RuntimeError):
    """A worker was killed. What was done is kept."""


def each(place: Workplace, items: Sequence[Any], jobs: int, dask_address: str | None = None
         ) -> Iterator[tuple[Any, Any]]:
    """Pairs of an item and its result, as they come. With one job and no cluster, all happens in this process.

    On a cluster, workers must see the course's folder under the same path, and `place` must be picklable.
    """
    if not items:
        return
    jobs = min(jobs, len(items))
    if jobs == 1 and dask_address is None:
        with place() as work:
            for item in items:
                yield item, work(item)
        return
    with _executor(place, jobs, dask_address) as executor:
        run = _run_here if dask_address is None else functools.partial(_run_on_cluster, uuid.uuid4().hex, place)
        futures: dict[Future, Any] = {executor.submit(run, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise WorkerLost("a worker process was killed, perhaps for lack of memory: grade again with fewer workers "
                             "(--jobs); what is graded stays graded") from None
        finally:
            for future in futures:
                future.cancel()


@contextlib.contextmanager
def _executor(place: Workplace, jobs: int, dask_address: str | None) -> Iterator[Executor]:
    if dask_address is None:
        forking = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, forking, initializer=_begin, initargs=(place, os.getpid())) as executor:
            yield executor
    else:
        from distributed import Client

        with Client(dask_address, set_as_default=False) as client, client.get_executor(pure=False) as executor:
            yield executor


def _begin(place: Workplace, parent: int) -> None:
    """Enters the workplace, in a new worker, which is not to outlive the process that started it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    _works[None] = _places.enter_context(place())


def _run_here(item: Any) -> Any:
    return _works[None](item)


def _run_on_cluster(batch: str, place: Workplace, item: Any) -> Any:
    """A cluster's worker outlives a batch and gets the place anew with every item: `batch` says that it is the same."""
    with _one_at_a_time:
        if batch not in _works:
            if not _works:
                atexit.register(_places.close)
            _works.clear()
            _places.close()  # the last batch's
            _works[batch] = _places.enter_context(place())
        return _works[batch](item)
