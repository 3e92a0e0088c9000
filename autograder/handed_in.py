"""The files that learners handed in, and whose they are: in a folder, a zip of a class, or zips of learners.

A folder holds `<student>/<assignment>/<notebook>.ipynb` or `<student>/<notebook>.ipynb`, or files and folders as Canvas
and Moodle name them.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from nbgrader.utils import parse_utc

from autograder import lms

MAX_DEPTH = 5  # folders in a student's folder
TIMESTAMP = "timestamp.txt"  # nbgrader's name
HOUR = 3600.0


@dataclass(frozen=True)
class File:
    """A file of a student; `names` are those of the file and of its folders, inside first."""

    student: str
    path: Path
    names: tuple[str, ...]
    problem: str | None = None
    timestamp: str | None = None
    lms_user_id: str | None = None
    is_late: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stray:
    """A file that is nobody's, as far as can be told."""

    name: str
    path: Path
    problem: str


def collect(source: Path, staging: Path) -> Iterator[File | Stray]:
    """Every file of every student, and a problem for each that is nobody's."""
    if source.is_dir():
        yield from _in_folder(source, staging, is_unpacked=False)
    else:
        yield from _in_zip(source, staging)


def _in_zip(archive: Path, staging: Path) -> Iterator[File | Stray]:
    folder = staging / f"class-{archive.stem}"
    try:
        unpacked = lms.unpack(archive, folder, handed_in=False)
    except lms.BadZip as error:
        yield Stray(archive.stem, archive, f"the download {archive.name} cannot be unpacked: {error}")
        return
    for name in unpacked.outside:
        yield Stray("-", archive, f"a member of {archive.name} leads out of it: {name!r}")
    entries = [path for path in folder.iterdir()] if folder.is_dir() else []
    if len(entries) == 1 and entries[0].is_dir() and not lms.owner(entries[0].name) and (
            entries[0].name == archive.stem or any(lms.owner(path.name) for path in entries[0].iterdir())):
        folder = entries[0]  # the folder that was zipped
    if folder.is_dir():
        _forget_times_of_download(folder)
        for one in _in_folder(folder, staging, is_unpacked=True):
            problem = unpacked.problems.get(one.path)
            yield replace(one, problem=f"{one.path.name}: {problem}. Hand in the notebook itself.") if problem else one


def _forget_times_of_download(folder: Path) -> None:
    """Canvas, and Moodle since it streams its zips, write the time of the download; it tells nobody's lateness."""
    times = {path: path.stat().st_mtime for path in folder.rglob("*") if path.is_file()}
    known = [time for time in times.values() if time > 0]
    if known and max(known) - min(known) < HOUR:
        for path in times:
            os.utime(path, (0, 0))


def _in_folder(folder: Path, staging: Path, is_unpacked: bool) -> Iterator[File | Stray]:
    for entry in _entries(folder):
        owner = lms.owner(entry.name)
        if "_assignsubmission_" in entry.name and not owner:
            continue  # Moodle's texts and comments
        if entry.is_dir():
            student = owner.student if owner else entry.name
            for path in _walk(entry):
                names = (path.name, *(parent.name for parent in path.parents if parent.is_relative_to(entry)))
                yield from _file(student, path, names[:-1], staging, owner, is_unpacked)
        elif owner:
            yield from _file(owner.student, entry, (owner.file,), staging, owner, is_unpacked)
        elif entry.suffix.lower() == ".zip" and not is_unpacked:
            yield from _in_zip(entry, staging)
        elif entry.name.lower().endswith((*lms.NOTEBOOK_SUFFIXES, ".zip")):
            yield Stray(entry.stem, entry, f"it cannot be told who handed in {entry.name}: put it into a "
                             "folder with the learner's name")


def _file(student: str, path: Path, names: tuple[str, ...], staging: Path, owner: lms.Owner | None, is_unpacked: bool
          ) -> Iterator[File]:
    one = File(student, path, names, timestamp=_timestamp(path, owner, is_unpacked),
                lms_user_id=owner.number if owner else None, is_late=owner.is_late if owner else False)
    if path.suffix.lower() != ".zip" or path.is_symlink() or (is_unpacked and not path.stat().st_size):
        yield one
        return
    folder = staging / f"of-{student}" / path.name
    try:
        unpacked = lms.unpack(path, folder, handed_in=True)
    except lms.BadZip as error:
        yield replace(one, problem=f"{names[0]} cannot be unpacked ({error}): hand in the notebook itself.")
        return
    if unpacked.outside:
        yield replace(one, problem=f"{names[0]} holds a path that leads out of it: hand in the notebook itself.")
        return
    for inner in _walk(folder) if folder.is_dir() else ():
        if inner.suffix.lower() == ".zip":
            problem = f"{inner.name} is a zip in a zip: hand in the notebook itself."
        else:
            problem = unpacked.problems.get(inner)
        inner_names = tuple(part for part in reversed(inner.relative_to(folder).parts))
        yield replace(one, path=inner, names=(*inner_names, *names), problem=problem)


def _entries(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "__"))]


def folders(source: Path) -> list[str]:
    """Students with an empty folder have handed in nothing; they get a line, too."""
    return [path.name for path in _entries(source) if path.is_dir() and not lms.owner(path.name)] \
        if source.is_dir() else []


def _walk(folder: Path) -> Iterator[Path]:
    """The files in a folder, and links, which are not followed."""
    for place, folders, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        folders[:] = sorted(name for name in folders if depth < MAX_DEPTH and not name.startswith((".", "__")))
        yield from (Path(place) / name for name in sorted([*names, *links]) if not name.startswith((".", "__")))


def _timestamp(path: Path, owner: lms.Owner | None, is_unpacked: bool) -> str | None:
    """When a file was handed in, if that is known: from nbgrader's timestamp.txt, or from the zip of an LMS.

    A timestamp.txt in a download is a learner's own, and not believed.
    """
    if owner is None:
        with contextlib.suppress(OSError, ValueError, OverflowError):
            text = (path.parent / TIMESTAMP).read_text().strip()
            return f"{parse_utc(text):%Y-%m-%d %H:%M:%S} UTC"
    elif is_unpacked and path.stat().st_mtime > 0:
        return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return None
