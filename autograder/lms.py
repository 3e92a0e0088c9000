"""What Canvas and Moodle call the files of a class, and zips, theirs and the learners', unpacked with care."""

import contextlib
import os
import re
import shutil
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from nbgrader.plugins import FileNameCollectorPlugin

from autograder.reading import MAX_BYTES

NOTEBOOK_SUFFIXES = (".ipynb", ".ipynb.txt", ".ipynb.json")  # the last two as browsers save them
MAX_ZIP_BYTES = 50 * 2**20  # of a zip that a learner handed in
MAX_UNPACKED_BYTES = 100 * 2**20  # of the notebooks in it
MAX_MEMBERS = 2000  # of it; a class's download may have more
SKIPPED = ("__MACOSX", ".", "__pycache__")  # beginnings of names that nobody meant to hand in

# Moodle: "Ada Lovelace_4711_assignsubmission_file_/x.ipynb", or the same as one name without the folder.
_MOODLE = re.compile(r"(?P<name>.+)_(?P<number>\d+)_assignsubmission_file_?(?P<file>.*)", re.DOTALL)
# Canvas: "lovelaceada_LATE_4711_81516_x.ipynb": the learner's number, then that of the upload; or without the name,
# "LATE_anon_x7Qz1_81516_x.ipynb".
_CANVAS = re.compile(r"(?P<name>.+?)_(?P<late>LATE_)?(?P<number>\d+)_\d+_(?P<file>.+)", re.DOTALL)
_CANVAS_ANONYMOUS = re.compile(r"(?P<late>LATE_)?(?P<name>anon)_(?P<number>[A-Za-z0-9]+)_\d+_(?P<file>.+)", re.DOTALL)
_UNIX_TIME = 0x5455  # zip's extra field with the time in UTC; the plain one is in some local time


@dataclass(frozen=True)
class Owner:
    """Who handed a file in, by its name. `file` is the name without that, empty for a folder."""

    student: str
    number: str
    file: str
    is_late: bool  # Canvas says so


def owner(name: str) -> Owner | None:
    """The owner of a file or folder that is named as Canvas or Moodle name them.

    The student's id is the name and the LMS's number, since names are not unique: `lovelaceada_4711`.
    """
    for pattern in (_MOODLE, _CANVAS_ANONYMOUS, _CANVAS):
        if found := pattern.fullmatch(name):
            student = re.sub(r"[^\w.@ -]", "", f"{found['name']}_{found['number']}").strip(" .")
            return Owner(student, found["number"], found["file"], bool(found.groupdict().get("late")))
    return None


class LmsCollector(FileNameCollectorPlugin):
    """Makes nbgrader's own `zip_collect` understand the names of Canvas and Moodle."""

    def collect(self, submitted_file: str) -> dict | None:
        """The student's id and the notebook's name, or None for a file to skip."""
        path = Path(submitted_file)
        if path.suffix not in self.valid_ext:
            return None
        if (found := owner(path.name)) and found.file:
            name = re.sub(r"-\d+$", "", Path(found.file).stem)  # Canvas counts the uploads of a learner
        elif found := owner(path.parent.name):
            name = path.stem
        return {"student_id": found.student, "file_id": name} if found else None


@dataclass
class Unpacked:
    """What went wrong: with members that are there as empty files, and with members that lead out of the zip."""

    problems: dict[Path, str] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)


class BadZip(ValueError):
    """A zip that cannot be unpacked at all, with the reason."""


def unpack(archive: Path, folder: Path, handed_in: bool) -> Unpacked:
    """Unpacks notebooks, zips and timestamps; other members become empty files, so that their names are known.

    No member stops the others. The files' times are those in the zip, 0 where it has none. A zip that a learner
    `handed_in` is bounded as a whole. Raises BadZip.
    """
    found = Unpacked()
    left = MAX_UNPACKED_BYTES if handed_in else None
    try:
        if handed_in and archive.stat().st_size > MAX_ZIP_BYTES:
            raise BadZip(f"it has more than {MAX_ZIP_BYTES >> 20} MB")
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if handed_in and len(members) > MAX_MEMBERS:
                raise BadZip(f"it has more than {MAX_MEMBERS} files")
            for member in members:
                parts = re.split(r"[/\\]+", member.filename.rstrip("/\\"))
                if any(part.startswith(SKIPPED) and part != ".." for part in parts if part) or member.is_dir():
                    continue
                if not all(parts) or ".." in parts or len(parts) > 8 or max(map(len, parts)) > 200 or ":" in parts[0]:
                    found.outside.append(member.filename[:200])
                    continue
                path = folder.joinpath(*parts)
                size = _extract(opened, member, path, left, found)
                left = left - size if left is not None else None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise error if isinstance(error, BadZip) else BadZip(f"it is damaged: {error}") from None
    return found


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, left: int | None, found: Unpacked) -> int:
    """Writes one member; returns its size."""
    size = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():  # the same name twice
            return 0
        path.touch()
        name = path.name.lower()
        most = MAX_ZIP_BYTES if name.endswith(".zip") else MAX_BYTES
        if not name.endswith((*NOTEBOOK_SUFFIXES, ".zip")) and name != "timestamp.txt":
            return 0
        if (member.external_attr >> 16) & 0o170000 == 0o120000:
            raise BadZip("it is a link to another file")
        if member.file_size > most:
            raise BadZip(f"it has {member.file_size / 2**20:.0f} MB; at most {most >> 20} MB are allowed")
        if left is not None and member.file_size > left:
            raise BadZip(f"the notebooks in the zip have more than {MAX_UNPACKED_BYTES >> 20} MB")
        with opened.open(member) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)  # zipfile stops at file_size, whatever the data would give
            size = target.tell()
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        found.problems[path] = str(error)
        with contextlib.suppress(OSError):
            path.write_bytes(b"")
    finally:
        with contextlib.suppress(OSError, OverflowError):
            os.utime(path, (_time(member),) * 2)
    return size


def _time(member: zipfile.ZipInfo) -> float:
    """When the member was last changed, in seconds since 1970; 0 where the zip does not say."""
    extra = member.extra
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == _UNIX_TIME and length >= 5 and extra[4] & 1:
            return float(struct.unpack("<l", extra[5:9])[0])
        extra = extra[4 + length :]
    try:
        return datetime(*member.date_time).timestamp() if member.date_time[0] > 1980 else 0.0
    except ValueError:
        return 0.0
