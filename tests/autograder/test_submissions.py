"""Downloads of Canvas and Moodle, and folders: whose each file is, for which assignment, and when it was handed in."""

import json
import struct
import zipfile
from pathlib import Path

import nbformat
import pytest

from autograder import submissions
from autograder.course import Course
from autograder.lms import LmsCollector, owner
from autograder.submissions import Submission
from tests.autograder.helpers import solved, submit, untouched

MOODLE = "Ada Lovelace_4711_assignsubmission_file_"
NOON = (2026, 3, 1, 12, 0, 0)


@pytest.fixture
def right(released_demo: Course) -> str:
    """The text of a solved 01_demo."""
    return nbformat.writes(solved("01_demo", released_demo))


def zipped(path: Path, members: dict[str, str | bytes], in_utc: int | None = None) -> Path:
    """A zip whose members are of noon; with `in_utc`, seconds since 1970, each is of a day after the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, NOON)
            if in_utc is not None:
                member.extra = struct.pack("<HHBl", 0x5455, 5, 1, in_utc)
                in_utc += 86_400
            archive.writestr(member, content)
    return path


def found(source: Path, course: Course, assignment: str | None = None) -> dict[tuple[str, str], Submission]:
    return {(one.student, one.assignment): one for one in submissions.find(source, course, assignment)[1]}


def test_a_download_of_canvas(course: Course, tmp_path: Path, right: str) -> None:
    inner = zipped(tmp_path / "inner.zip", {"work/01_demo.ipynb": right})
    archive = zipped(tmp_path / "submissions.zip", {
        "lovelaceada_4711_81516_01_demo.ipynb": right,
        "babbagecharles_LATE_4712_81517_01_demo-1.ipynb": right,
        "wangwei_4713_81518_homework.ipynb": right,
        "wangwei_4714_81519_01_demo.ipynb": '{"cells": [',
        "turingalan_4715_81520_01_demo.pdf": "%PDF",
        "hoppergrace_4716_81521_01_demo.zip": inner.read_bytes(),
        "eulerleonhard_4717_81522_01_demo.zip": b"PK\x03\x04 corrupt",
        "readme.txt": "not a submission",
    })
    got = found(archive, course)
    assert {student: (one.problem or "").partition(".")[0] or None for (student, _), one in got.items()} == {
        "lovelaceada_4711": None, "babbagecharles_4712": None, "wangwei_4713": None, "wangwei_4714": "01_demo",
        "turingalan_4715": "There is no notebook among the files handed in (01_demo", "hoppergrace_4716": None,
        "eulerleonhard_4717": "01_demo"}
    assert {assignment for _, assignment in got} == {"01_demo"}
    assert {one.timestamp for one in got.values()} == {None}  # the members' times are that of the download
    assert [student for (student, _), one in got.items() if one.is_late] == ["babbagecharles_4712"]
    students, _ = submissions.find(archive, course)
    assert students["lovelaceada_4711"] == "4711"


def test_a_download_of_moodle(course: Course, tmp_path: Path, right: str, released_demo: Course) -> None:
    archive = zipped(tmp_path / "class.zip", {
        f"{MOODLE}/01_demo (1).ipynb": right,
        f"{MOODLE}/timestamp.txt": "1999-01-01 00:00:00 UTC",  # a learner's own is not believed
        "O'Brien, Pat_4712_assignsubmission_file_/02_next.ipynb": nbformat.writes(untouched("02_next", released_demo)),
        "Kurt Gödel_4713_assignsubmission_file_01_demo.ipynb": right,
        "Ada Lovelace_4711_assignsubmission_onlinetext_/onlinetext.html": "Dear teacher",
    }, in_utc=1_772_366_400)
    got = found(archive, course)
    assert {key: one.problem for key, one in got.items()} == {
        ("Ada Lovelace_4711", "01_demo"): None, ("OBrien Pat_4712", "02_next"): None,
        ("Kurt Gödel_4713", "01_demo"): None}
    assert [one.timestamp for one in got.values()] == [
        "2026-03-01 12:00:00 UTC", "2026-03-04 12:00:00 UTC", "2026-03-03 12:00:00 UTC"]


def test_one_bad_member_stops_no_other(course: Course, tmp_path: Path, right: str) -> None:
    archive = zipped(tmp_path / "class.zip", {
        f"{MOODLE}/01_demo.ipynb": right, "../../evil.ipynb": right, "/etc/evil.ipynb": right, "..\\evil.ipynb": right,
        "Bo_5_assignsubmission_file_/01_demo.ipynb": right + "crc goes wrong here",
        "Cy_6_assignsubmission_file_/01_demo.ipynb": " " * (25 * 2**20),
        "Di_7_assignsubmission_file_/01_demo.ipynb": right,
        "nobody.ipynb": right})
    data = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        crc = opened.getinfo("Bo_5_assignsubmission_file_/01_demo.ipynb").CRC
    archive.write_bytes(data.replace(struct.pack("<L", crc), b"\0\0\0\0"))
    before = {path for path in tmp_path.rglob("*") if "course" not in path.parts}
    got = found(archive, course)
    assert got["Ada Lovelace_4711", "01_demo"].problem is None and got["Di_7", "01_demo"].problem is None
    assert "Bad CRC-32" in got["Bo_5", "01_demo"].problem
    assert "it has 25 MB; at most 20 MB are allowed" in got["Cy_6", "01_demo"].problem
    assert "cannot be told who handed in nobody.ipynb" in got["nobody", "-"].problem
    assert "leads out of it" in got["-", "-"].problem
    assert {path for path in tmp_path.rglob("*") if "course" not in path.parts} == before
    assert not list((course.grading / "downloaded").rglob("evil*"))


def test_a_corrupt_download_is_told(course: Course, tmp_path: Path, right: str) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "week 1.zip").write_bytes(b"PK\x03\x04")
    zipped(tmp_path / "downloads" / "week 2.zip", {f"{MOODLE}/01_demo.ipynb": right})
    got = found(tmp_path / "downloads", course)
    assert "the download week 1.zip cannot be unpacked" in got["week 1", "-"].problem
    assert got["Ada Lovelace_4711", "01_demo"].problem is None


@pytest.mark.parametrize("top", ["", "class/"])
def test_a_zipped_folder_of_submissions(course: Course, tmp_path: Path, top: str, right: str) -> None:
    archive = zipped(tmp_path / "class.zip", {
        f"{top}ada/01_demo/01_demo.ipynb": right, f"{top}ada/01_demo/timestamp.txt": "2026-03-02 10:00:00 UTC",
        f"{top}ben/01_demo.ipynb": right})
    got = found(archive, course)
    assert {key: (one.problem, one.timestamp) for key, one in got.items()} == {
        ("ada", "01_demo"): (None, "2026-03-02 10:00:00 UTC"), ("ben", "01_demo"): (None, None)}


def test_timestamps_of_nbgrader_arrive_and_others_do_not(course: Course, tmp_path: Path, released_demo: Course) -> None:
    for student, stamp in (("ada", "2026-03-02 11:00:00 CET"), ("ben", "yesterday"), ("cy", "")):
        path = submit(tmp_path / "in", student, "01_demo", solved("01_demo", released_demo))
        (path.parent / "timestamp.txt").write_text(stamp)
    got = found(tmp_path / "in", course)
    assert [one.timestamp for one in got.values()] == ["2026-03-02 10:00:00 UTC", None, None]


def test_a_notebook_under_the_name_of_another(course: Course, tmp_path: Path, released_demo: Course) -> None:
    submit(tmp_path / "in", "ada", "02_next", solved("01_demo", released_demo))  # 01 is graded as 01
    submit(tmp_path / "in", "ben", "02_next", untouched("01_demo", released_demo))
    submit(tmp_path / "in", "ben", "01_demo", solved("01_demo", released_demo))  # 01 is there already; 02 is not
    got = found(tmp_path / "in", course)
    assert sorted(got) == [("ada", "01_demo"), ("ben", "01_demo"), ("ben", "02_next")]
    assert "taken for 01_demo.ipynb" in got["ada", "01_demo"].notes[0]
    assert got["ben", "01_demo"].path.parent.name == "01_demo"
    assert "holds another notebook, which was handed in as well" in got["ben", "02_next"].problem


def test_a_name_that_cannot_be_told_counts_for_the_assignment_asked_for(course: Course, tmp_path: Path) -> None:
    path = submit(tmp_path / "in", "ada", "homework", "not JSON")
    assert list(found(tmp_path / "in", course)) == [("ada", "homework")]
    assert list(found(tmp_path / "in", course, "02_next")) == [("ada", "02_next")]
    path.write_text(json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": "1"}]}))
    assert "holds no cell of any assignment" in found(tmp_path / "in", course)["ada", "homework"].problem


@pytest.mark.parametrize(("name", "student", "rest", "late"), [
    ("lovelaceada_4711_81516_01_demo.ipynb", "lovelaceada_4711", "01_demo.ipynb", False),
    ("lovelaceada_LATE_4711_81516_01_demo-2.ipynb", "lovelaceada_4711", "01_demo-2.ipynb", True),
    ("de_la_cruzana_4711_81516_01_demo.ipynb", "de_la_cruzana_4711", "01_demo.ipynb", False),
    ("LATE_anon_x7Qz1_81516_01_demo.ipynb", "anon_x7Qz1", "01_demo.ipynb", True),
    (MOODLE, "Ada Lovelace_4711", "", False),
    ("Ada_Augusta Lovelace_4711_assignsubmission_file", "Ada_Augusta Lovelace_4711", "", False),
    ("Ada Lovelace_4711_assignsubmission_file_01_demo.ipynb", "Ada Lovelace_4711", "01_demo.ipynb", False),
])
def test_names_of_an_lms(name: str, student: str, rest: str, late: bool) -> None:
    assert (owner(name).student, owner(name).file, owner(name).is_late) == (student, rest, late)


@pytest.mark.parametrize("name", ["ada", "01_demo.ipynb", "01_demo (1).ipynb", "12_34", "group_a"])
def test_other_names_are_of_no_lms(name: str) -> None:
    assert owner(name) is None


@pytest.mark.parametrize(("path", "student"), [
    (f"/x/{MOODLE}/01_demo.ipynb", "Ada Lovelace_4711"),
    ("/x/lovelaceada_4711_81516_01_demo-1.ipynb", "lovelaceada_4711"),
])
def test_nbgraders_zip_collect_understands_them(path: str, student: str) -> None:
    assert LmsCollector().collect(path) == {"student_id": student, "file_id": "01_demo"}
    assert LmsCollector().collect("/x/readme.ipynb") is None and LmsCollector().collect("/x/a_1_2_b.pdf") is None
