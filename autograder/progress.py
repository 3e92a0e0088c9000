"""Which submissions are graded: what makes a batch that was killed go on where it stopped."""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import nbformat

from autograder import sources
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
    """One file for each graded submission, with digests of its text and of all else that its marks depend on.

    The rest is the code of course_lib and of the autograder, the settings, and the assignment's own part: its notebook,
    hidden checks and adapters. So a corrected check grades the submissions to its assignment again, and no others.
    """

    def __init__(self, course: Course, settings: str) -> None:
        """`settings` is a text that differs when submissions have to be graded differently."""
        self._folder = course.grading / "autograded" / ".graded"
        self._course = course
        files = [*sorted((REPOSITORY / "course_lib").rglob("*.py")), *sorted((REPOSITORY / "autograder").glob("*.py"))]
        self._code = _digest([settings.encode(), *(path.read_bytes() for path in files)])
        self._rest: dict[str, str] = {}  # of each assignment

    def is_graded(self, submission: Submission) -> bool:
        """Whether the submission was graded, as it is now, with the checks as they are now."""
        student, assignment = submission.student, submission.assignment
        graded = self._course.grading / "autograded" / student / assignment / f"{assignment}.ipynb"
        return self._recorded(submission) == self._digests(submission) and graded.exists()

    def is_same_text(self, submission: Submission) -> bool:
        """Whether the submission has the text that was graded last, with whichever checks."""
        return self._recorded(submission).get("text") == self._digests(submission)["text"]

    def record(self, submission: Submission) -> None:
        """Notes that the submission is graded, marks and feedback included."""
        self._write(submission, self._digests(submission))

    def begin(self, submission: Submission) -> None:
        """Notes that the submission is being graded."""
        if recorded := self._recorded(submission):
            self._write(submission, recorded | {"rest": None})

    def _recorded(self, submission: Submission) -> dict[str, str | None]:
        try:
            recorded = json.loads(self._path(submission).read_text())
        except (OSError, ValueError):
            return {}
        return recorded if isinstance(recorded, dict) else {}

    def _write(self, submission: Submission, digests: dict[str, str | None]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(submission)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_text(json.dumps(digests))
        os.replace(beside, path)

    def _path(self, submission: Submission) -> Path:
        return self._folder / f"{submission.assignment}--{submission.student}.json"

    def _digests(self, submission: Submission) -> dict[str, str | None]:
        assignment = submission.assignment
        if assignment not in self._rest:
            self._rest[assignment] = self._of_assignment(assignment)
        time = repr((submission.timestamp, submission.is_late))
        return {"text": _digest([submission.path.read_bytes()]), "time": time, "rest": self._rest[assignment]}

    def _of_assignment(self, assignment: str) -> str:
        notebook = nbformat.writes(sources.read(assignment, self._course))  # with what it includes of others
        files = [self._course.grading / part / f"{assignment}.py" for part in ("checks", "adapters")]
        return _digest([self._code.encode(), notebook.encode(), *(path.read_bytes() for path in files
                                                                  if path.exists())])


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
