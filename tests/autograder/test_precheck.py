"""Every kind of damaged submission in one batch, graded for real, among honest ones whose marks must not move."""

import csv
import html
import json
from pathlib import Path

import nbformat
import pytest

from autograder import grade
from autograder.course import Course
from tests.autograder.damaged import files, notebooks
from tests.autograder.helpers import demo_course, solved, submit

pytestmark = [pytest.mark.xdist_group("precheck")]

HONEST = {"a_neighbour": 5, "z_neighbour": 3}  # 3: with a mistake
# Those of which stock nbgrader would stop, or lose a mark; tests/autograder/test_repair.py has the others.
IN_KERNELS = ("copied_check", "deleted_more", "ids_swapped", "retyped", "first_lines_lost", "old_schema",
              "foreign_cell")
DAMAGED = [kind for kind in notebooks.KINDS if kind.name in IN_KERNELS]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The graded course."""
    course = demo_course(tmp_path_factory.mktemp("precheck"))
    folder = course.root / "submissions"
    right = solved("01_demo", course)
    submit(folder, "a_neighbour", "01_demo", right)
    submit(folder, "z_neighbour", "01_demo", solved("01_demo", course, {"halves": notebooks.HALF_WRONG}))
    for kind in DAMAGED:
        damaged = solved("01_demo", course)
        kind.damage(damaged)
        submit(folder, kind.name, "01_demo", damaged)
    for kind in files.KINDS:
        (folder / kind.name).mkdir()
        kind.hand_in(folder / kind.name, nbformat.writes(right))
    before = contents(folder)
    grade.grade(folder, output=course.root / "grades.csv", course=course)
    assert contents(folder) == before  # what was handed in is not touched
    return course


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def row(course: Course, student: str) -> dict[str, str]:
    with open(course.root / "grades.csv", newline="") as file:
        [line] = [line for line in csv.DictReader(file) if line["student_id"] == student]
    return line


def page(course: Course, student: str) -> str:
    """The learner's feedback page, as text with the entities resolved."""
    return html.unescape((course.grading / "feedback" / student / "01_demo" / "01_demo.html").read_text())


def record(course: Course, student: str) -> dict:
    return json.loads((course.grading / "autograded" / ".precheck" / f"01_demo--{student}.json").read_text())


@pytest.mark.parametrize(("student", "score"), HONEST.items())
def test_neighbours_keep_their_marks(batch: Course, student: str, score: float) -> None:
    assert float(row(batch, student)["score"]) == score
    assert "Repaired before grading" not in page(batch, student)
    assert record(batch, student)["repairs"] == [] and record(batch, student)["refused"] is None


@pytest.mark.parametrize("kind", DAMAGED, ids=lambda kind: kind.name)
def test_repaired(batch: Course, kind: notebooks.Kind) -> None:
    line = row(batch, kind.name)
    assert (float(line["score"]), float(line["max_score"])) == (kind.score, 7)
    assert line["status"].startswith("needs manual grading: say_why")
    assert kind.says.replace("`", "") in page(batch, kind.name).replace("<code>", "").replace("</code>", "")
    assert kind.says in "\n".join(record(batch, kind.name)["repairs"])


@pytest.mark.parametrize("kind", files.KINDS, ids=lambda kind: kind.name)
def test_handed_in_otherwise(batch: Course, kind: files.Kind) -> None:
    line = row(batch, kind.name)
    assert line["assignment"] == "01_demo" and line["status"].startswith(kind.status)
    assert kind.says in page(batch, kind.name)
    if kind.status == "refused":
        assert line["score"] == "" and kind.says in line["status"]
        assert record(batch, kind.name)["refused"] == line["status"].removeprefix("refused: ")
    else:
        assert float(line["score"]) == 5 and record(batch, kind.name)["refused"] is None


def test_there_are_kinds_enough() -> None:
    names = [kind.name for kind in [*notebooks.KINDS, *files.KINDS]]
    assert len(set(names)) == len(names) and len(DAMAGED) == len(IN_KERNELS)
    assert len(DAMAGED) + len(files.KINDS) >= 25
