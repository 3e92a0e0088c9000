"""Which submissions are graded: what makes a batch that was killed go on where it stopped."""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from autograder.course import REPOSITORY, Course
from autograder.submissions import Submission

PATIENCE = 10.0  # seconds; the workers of a grader that was killed hold the lock a moment longer


class Busy(RuntimeError):
    """Another process is grading in the same course."""


@contextlib.contextmanager
def alone(course: Course) -> Iterator[None]:
    """Keeps a second grading of the same course away."""
    (course.grading / "autograded").mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + PATIENCE
    with open(course.grading / "autograded" / ".lock", "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Busy(f"another process is grading in {course.grading}: wait until it is done") from None
                time.sleep(0.1)
        yield


class Progress:
    """One file for each graded submission, with a digest of all that its marks depend on."""

    def __init__(self, course: Course, settings: str) -> None:
        """`settings` is a text that differs when submissions have to be graded differently."""
        self._folder = course.grading / "autograded" / ".graded"
        self._course = course
        parts = (REPOSITORY / "course_lib", REPOSITORY / "autograder", course.solutions, course.grading / "checks",
                 course.grading / "adapters")
        files = [path for part in parts for path in sorted(part.resolve().rglob("*.py"))]
        self._code = _digest([settings.encode(), *(path.read_bytes() for path in files)])

    def is_graded(self, submission: Submission) -> bool:
        """Whether the submission was graded, as it is now, with the checks as they are now."""
        try:
            recorded = json.loads(self._path(submission).read_text())
        except (OSError, ValueError):
            return False
        student, assignment = submission.student, submission.assignment
        graded = self._course.grading / "autograded" / student / assignment / f"{assignment}.ipynb"
        return recorded == self._digest(submission) and graded.exists()

    def record(self, submission: Submission) -> None:
        """Notes that the submission is graded, marks and feedback included."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(submission)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_text(json.dumps(self._digest(submission)))
        os.replace(beside, path)

    def forget(self, submission: Submission) -> None:
        """Notes that the submission is being graded."""
        self._path(submission).unlink(missing_ok=True)

    def _path(self, submission: Submission) -> Path:
        return self._folder / f"{submission.assignment}--{submission.student}.json"

    def _digest(self, submission: Submission) -> str:
        return _digest([self._code.encode(), submission.path.read_bytes()])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
