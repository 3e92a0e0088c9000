"""Grades a folder of submissions with nbgrader: marks, a feedback page each, and a status that tells 0 from trouble."""

import contextlib
import csv
import functools
import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType

import torch
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import CsvExportPlugin
from tqdm import tqdm
from traitlets.config import Config

from autograder import (
    course_api,
    grade_one,
    judge,
    late,
    parallel,
    precheck,
    progress,
    release,
    scratch,
    submissions,
    warm,
)
from autograder.course import Course
from autograder.grade_one import FAILED, MISSING, REFUSED
from autograder.progress import Progress
from autograder.submissions import Submission
from course_lib.validate import check_int, check_type


@dataclass(frozen=True)
class Row:
    """One line of the table. `score` is None where nothing was graded."""

    student: str
    assignment: str
    score: float | None
    max_score: float | None
    status: str


@dataclass(frozen=True)
class Options:
    """How to grade, as the command line has it."""

    sandbox: bool = True
    jobs: int | None = None  # None: one for each core
    again: bool = False  # also what was graded before and has not changed
    dask_address: str | None = None
    settings: Config | None = None  # over nbgrader_config.py

    def __post_init__(self) -> None:
        if self.jobs is not None:
            check_int("jobs", self.jobs, 1, hint="None takes one for each core")
        check_type("sandbox", self.sandbox, bool, "True or False")
        check_type("again", self.again, bool, "True or False")
        check_type("dask_address", self.dask_address, (str, NoneType), "a text such as tcp://host:8786, or None")


def grade(folder: Path, assignment: str | None = None, output: Path = Path("grades.csv"),
          course: Course | None = None, options: Options = Options(), start: warm.Start | None = None) -> list[Row]:
    """Grades every submission in `folder`, writes `output` (CSV), and returns a row per student and assignment.

    `folder` may be a zip as an LMS makes it, see `submissions`. One bad submission never stops the others: its row
    says why. What is graded already and has not changed, nor its checks, is not graded again, so a batch that was
    killed goes on where it stopped. Grading anew replaces the marks of the cells; scores that a person gave stay,
    and count as done where neither the submission nor the automatic mark changed. `start` is a warm start that is under
    way. Raises ValueError for an unknown assignment, SandboxError without a sandbox, Busy while another grades.
    """
    check_type("folder", folder, Path, "a Path")
    check_type("output", output, Path, "a Path")
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder and no zip {folder}; give the one that holds the submissions")
    if output.is_dir():  # told before grading, not after
        raise IsADirectoryError(f"output must be a file, {output} is a folder; give {output / 'grades.csv'}")
    course = course or Course.current()
    known = course.names()
    if assignment is not None and assignment not in known:
        raise ValueError(f"assignment must be one of {', '.join(known)}; got {assignment}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(progress.alone(course))
        students, found = submissions.find(folder, course, assignment)
        wanted = sorted({assignment} if assignment else {one.assignment for one in found} & set(known))
        records = Progress(course, repr((options.sandbox, options.settings)))
        statuses = {(one.student, one.assignment): status for one in found
                    if (status := grade_one.turn_away(course, one))}
        for one in found:
            if (one.student, one.assignment) in statuses:  # its feedback page is gone: handed in again, it is graded
                records.begin(one)
        left = [one for one in found if (one.student, one.assignment) not in statuses
                and (options.again or not (records.is_graded(one) and _in_gradebook(course, one)))]
        if left and start is None and options.dask_address is None:
            start = stack.enter_context(warm.Start(course, options.sandbox))
        register(course, wanted)
        statuses |= _grade_all(course, left, records, options, start)
        for one in found:
            if (one.student, one.assignment) not in statuses:
                statuses[one.student, one.assignment] = grade_one.status(course, one)
        late.renew(course, wanted, options.settings)
        return _export(course, wanted, students, statuses, output)


def _grade_all(course: Course, left: list[Submission], records: Progress, options: Options, start: warm.Start | None
               ) -> Iterator[tuple[tuple[str, str], str]]:
    """Pairs of (student, assignment) and status."""
    judge.secret(course)
    settings = Config(options.settings or {})
    settings.Judge.sandbox = options.sandbox
    if start and left:
        settings.merge(start.settings())
    place = functools.partial(_workplace, course, settings, records, options.sandbox and start is None)
    jobs = options.jobs or len(os.sched_getaffinity(0))
    done = parallel.each(place, left, jobs, options.dask_address)
    for one, status in tqdm(done, total=len(left), desc="grading", unit="submission"):
        yield (one.student, one.assignment), status


@contextlib.contextmanager
def _workplace(course: Course, settings: Config, records: Progress, starts: bool
               ) -> Iterator[Callable[[Submission], str]]:
    """What a worker sets up once: nbgrader's API, and on a cluster a warm start of its own."""
    torch.set_num_threads(1)  # one core a worker: more threads would wait for each other, and for the kernels
    gc.set_threshold(50_000)  # a submission makes and drops a million objects, hardly any of them in a circle
    with contextlib.ExitStack() as stack:
        if starts:
            settings = Config(settings)
            settings.merge(stack.enter_context(warm.Start(course)).settings())
        # Workers wait for each other's writes; sqlite's own 5 seconds are too few for many of them.
        settings.CourseDirectory.db_url = f"{course.database}?timeout=120"
        stack.enter_context(course_api.gradebook_is_there())  # `register` has made it
        api = stack.enter_context(course_api.api(course, settings))
        yield functools.partial(grade_one.grade_one, api, course, records)


def register(course: Course, assignments: list[str]) -> None:
    """Tells the gradebook the assignments' cells and points, as the sources have them; `notebooks/` is not touched.

    The pre-check gets each notebook as learners get it.
    """
    with scratch.folder() as folder:
        settings = Config()  # the course's gradebook, with everything else in a scratch folder
        folder = folder.resolve()
        release.write_sources(course, assignments, folder / "source")
        settings.CourseDirectory.root = str(folder)
        settings.CourseDirectory.source_directory = "source"
        settings.CourseDirectory.release_directory = "release"
        with course_api.api(course, settings) as api:
            for name in assignments:
                result = api.generate_assignment(name)
                if not result["success"]:
                    raise release.ReleaseError(
                        f"the gradebook does not take {name}: {course_api.reason(result)}. If its graded cells changed "
                        f"since submissions were graded, move {course.grading / 'gradebook.db'} away and grade again."
                    )
                precheck.set_release(course, name, (folder / "release" / name / f"{name}.ipynb").read_text())


def _in_gradebook(course: Course, submission: Submission) -> bool:
    if not (course.grading / "gradebook.db").exists():  # opening it would make it
        return False
    with Gradebook(course.database) as gradebook:
        try:
            gradebook.find_submission(submission.assignment, submission.student)
        except MissingEntry:
            return False
    return True


def _export(course: Course, assignments: list[str], students: dict[str, str | None],
            statuses: dict[tuple[str, str], str], output: Path) -> list[Row]:
    """Writes nbgrader's own CSV with a status column; a failed submission has no score, so that it is not read as 0."""
    rows = []
    with scratch.folder() as folder, Gradebook(course.database) as gradebook:
        names = [student for student in students if submissions.STUDENT.fullmatch(student)]
        for student in names:
            number = students[student]
            gradebook.update_or_create_student(student, **({"lms_user_id": number} if number else {}))
        exporter = CsvExportPlugin()
        exporter.to, exporter.student, exporter.assignment = str(folder / "grades.csv"), names, assignments
        exported = []
        if names and assignments:  # nbgrader takes an empty list for "all"
            exporter.export(gradebook)
            with open(exporter.to, newline="") as file:
                exported = list(csv.DictReader(file))
        for line in exported:
            line["status"] = statuses.pop((line["student_id"], line["assignment"]), MISSING)
    for (student, assignment), status in statuses.items():  # what the gradebook does not know
        exported.append({"student_id": student, "assignment": assignment, "status": status})
    exported.sort(key=lambda line: (line["student_id"], line["assignment"]))  # however workers came first
    for line in exported:
        if line["status"].startswith((REFUSED, FAILED, MISSING)):
            line["raw_score"] = line["score"] = ""
        score, max_score = line.get("score"), line.get("max_score")
        rows.append(Row(line["student_id"], line["assignment"], float(score) if score else None,
                        float(max_score) if max_score else None, line["status"]))
    _write(output, exported)
    return rows


def _write(output: Path, lines: list[dict[str, str]]) -> None:
    # A line that the gradebook does not know has three fields, and may well be the first: the longest has them all.
    fields = list(dict.fromkeys([*max(lines, key=len, default=()), "student_id", "assignment", "status"]))
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "w", newline="") as file:
        writer = csv.DictWriter(file, fields, restval="")
        writer.writeheader()
        writer.writerows(lines)


def table(rows: list[Row]) -> str:
    """The rows as text, and how many there are of each status."""
    lines = [f"{'student':20} {'assignment':28} {'score':>13}  status"]
    for row in rows:
        score = "-" if row.score is None else f"{row.score:g} / {row.max_score:g}"
        lines.append(f"{row.student:20} {row.assignment:28} {score:>13}  {row.status}")
    counts = Counter(row.status.partition(":")[0] for row in rows)
    lines.append(", ".join(f"{count} {status}" for status, count in counts.items()) or "no submissions found")
    return "\n".join(lines)
