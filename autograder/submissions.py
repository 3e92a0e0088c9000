"""Finds the submissions in a folder or a zip: one for each student and assignment, whatever the files are called.

A file is for the assignment whose cells it holds. Its name decides only where that does not.
"""

import re
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from autograder import handed_in, lms, reading
from autograder.course import Course
from autograder.handed_in import File, Stray
from autograder.kinship import Kinship
from autograder.reading import Refused

STUDENT = re.compile(r"[\w.@ -]+")  # nbgrader's paths and CSV files stand nothing else
NOBODYS = "-"  # the assignment of a file that cannot be told to be of anyone


@dataclass(frozen=True)
class Submission:
    """One student's file for one assignment; `problem` says why it cannot be graded, where it cannot.

    `timestamp` is when it was handed in, as nbgrader writes it; `is_late` where all that is known is that it was late.
    `notes` tell the learner what was made of the file's name.
    """

    student: str
    assignment: str
    path: Path
    problem: str | None = None
    notes: tuple[str, ...] = ()
    timestamp: str | None = None
    lms_user_id: str | None = None
    is_late: bool = False


def find(source: Path, course: Course, assignment: str | None = None
         ) -> tuple[dict[str, str | None], list[Submission]]:
    """The students in `source`, each with the LMS's number where it has one, and their submissions (to `assignment`).

    Zips are unpacked into `autograder/downloaded/.unpacked`, which is made anew.
    """
    staging = course.grading / "downloaded" / ".unpacked"
    shutil.rmtree(staging, ignore_errors=True)
    files: dict[str, list[File]] = {}
    found: list[Submission] = []
    for one in handed_in.collect(source, staging):
        if isinstance(one, Stray):
            found.append(Submission(one.name, NOBODYS, one.path, one.problem))
        else:
            files.setdefault(one.student, []).append(one)
    students = dict.fromkeys(handed_in.folders(source)) | {student: of[0].lms_user_id for student, of in files.items()}
    kinship = Kinship(course)
    for of_student in files.values():
        found += _of_student(of_student, kinship)
    found = _place_strangers(found, kinship.names, assignment)
    chosen = [one for one in found if assignment in (None, one.assignment)]
    return students, sorted(chosen, key=lambda one: (one.student, one.assignment))


def _of_student(files: list[File], kinship: Kinship) -> list[Submission]:
    by_assignment: dict[str, list[File]] = {}
    elsewhere: dict[str, File] = {}  # named as one assignment, filled with another
    inodes = Counter((found.st_dev, found.st_ino) for found in (one.path.lstat() for one in files))
    notebooks = [one for one in files if one.path.name.lower().endswith(lms.NOTEBOOK_SUFFIXES) or one.problem
                 or (one.path.is_symlink() and kinship.of_name(one.names))]
    for one in notebooks:
        named = kinship.of_name(one.names)
        actual, problem = _content(one, named, kinship, inodes)
        key = actual or named or _stem(one)
        if named and actual not in (None, named):
            elsewhere[named] = one
        by_assignment.setdefault(key, []).append(replace(one, problem=problem, notes=_renamed(one, key)))
    _drop_scratch(by_assignment, kinship.names)
    found = [_one_of(assignment, candidates) for assignment, candidates in by_assignment.items()]
    chosen = {one.path for one in found}
    for named, one in elsewhere.items():
        if named not in by_assignment and one.path not in chosen:
            found.append(_submission(one, named, f"The file handed in as {named} holds another notebook, which was "
                                                 f"handed in as well: hand in {named}.ipynb."))
    if not notebooks:
        others = ", ".join(one.names[0] for one in files[:5])
        key = kinship.of_name([one.names[0] for one in files]) or _stem(files[0])
        found.append(_submission(files[0], key, f"There is no notebook among the files handed in ({others}): hand in "
                                                "the file that ends in .ipynb."))
    return found


def _content(one: File, named: str | None, kinship: Kinship, inodes: Counter) -> tuple[str | None, str | None]:
    """The assignment whose cells the file holds, if it can be told, and why it cannot be graded, if it cannot."""
    if one.problem:
        return None, one.problem
    try:
        assignment = kinship.of_content(reading.read(one.path, one.names[0]), named)
    except Refused as refusal:
        return None, str(refusal)
    found = one.path.lstat()
    if found.st_nlink > inodes[found.st_dev, found.st_ino]:
        return assignment, f"{one.names[0]} is a hard link to a file elsewhere: hand in a copy of the notebook."
    return assignment, None if assignment else _stranger(one, named, kinship.names)


def _drop_scratch(by_assignment: dict[str, list[File]], known: list[str]) -> None:
    """Notebooks of the learner's own count for the submission that they lie beside, which has precedence."""
    places = {one.path.parent: name for name in known for one in by_assignment.get(name, ()) if one.problem is None}
    for name in [name for name in by_assignment if name not in known]:
        if beside := places.get(by_assignment[name][0].path.parent):
            by_assignment[beside] += by_assignment.pop(name)


def _one_of(assignment: str, candidates: list[File]) -> Submission:
    """The candidate that counts: the only one that can be read, or the one with the assignment's own name."""
    readable = [one for one in candidates if one.problem is None]
    fit = readable or candidates
    named = [one for one in fit if one.names[0] == f"{assignment}.ipynb"]
    if len(readable) > 1 and len({one.path.read_bytes() for one in readable}) == 1:
        fit = (named or fit)[:1]
    elif len(named) == 1:
        fit = named
    chosen = fit[0]
    if len(fit) > 1:
        names = ", ".join("/".join(reversed(one.names)) for one in fit[:5])
        return _submission(chosen, assignment, chosen.problem or f"{len(fit)} different notebooks for {assignment} "
                           f"were handed in ({names}): hand in one, named {assignment}.ipynb.")
    ignored = ", ".join(shown(one.names[0]) for one in candidates[:6] if one is not chosen)
    notes = chosen.notes + ((f"Graded is {shown(chosen.names[0])}, not {ignored}.",) if ignored else ())
    return _submission(replace(chosen, notes=notes), assignment, chosen.problem)


def _submission(one: File, assignment: str, problem: str | None) -> Submission:
    return Submission(one.student, assignment, one.path, problem, one.notes, one.timestamp, one.lms_user_id,
                      one.is_late)


def _renamed(one: File, assignment: str) -> tuple[str, ...]:
    """A note where a file is called something that nbgrader would not have found."""
    if one.names[0] == f"{assignment}.ipynb":
        return ()
    return (f"The file was handed in as {shown(one.names[0])} and taken for {assignment}.ipynb.",)


def _stranger(one: File, named: str | None, known: list[str]) -> str:
    if named:
        return (f"{one.names[0]} holds no cell of {named}: open the {named} that you worked in, save it, and hand in "
                "that file.")
    return f"{one.names[0]} holds no cell of any assignment; the assignments are: {', '.join(known)}."


def shown(name: str) -> str:
    """A file's name as it can stand in a sentence for a learner."""
    return re.sub(r"[`\x00-\x1f]", "'", name)[:80]


def _stem(one: File) -> str:
    return re.sub(r"[^\w.@ -]", "_", one.names[0].partition(".ipynb")[0])[:60] or "-"


def _place_strangers(found: list[Submission], known: list[str], assignment: str | None) -> list[Submission]:
    """Counts a file that fits no assignment for the only one that was asked for, or that the others are for."""
    present = {one.assignment for one in found} & set(known)
    only = assignment or (present.pop() if len(present) == 1 else None)
    taken = {(one.student, one.assignment) for one in found}
    placed = []
    for one in found:
        if only and one.assignment not in (*known, NOBODYS) and (one.student, only) not in taken:
            one = replace(one, assignment=only)
            taken.add((one.student, only))
        placed.append(one)
    return placed
