"""Hostile submissions of every kind we know, graded in one batch among honest ones."""

import csv
import os
import tempfile

import nbformat
import psutil
import pytest
from nbformat import NotebookNode
from traitlets.config import Config

from autograder import grade
from autograder.course import REPOSITORY, Course
from tests.autograder.adversarial import destruction, notebooks, reaching, tampering
from tests.autograder.adversarial.kind import Kind
from tests.autograder.helpers import demo_course, solved, submit, texts

pytestmark = [pytest.mark.xdist_group("adversarial"), pytest.mark.timeout(900)]

KINDS: list[Kind] = [*tampering.KINDS, *destruction.KINDS, *reaching.KINDS, *notebooks.KINDS]
HONEST = {"a_neighbour": 5, "h_neighbour": 4, "o_neighbour": 5, "z_neighbour": 4}  # 4: one mistake


def text_of(kind: Kind, course: Course) -> NotebookNode:
    """The submission of this kind."""
    cell = kind.cell
    if kind in reaching.KINDS:
        cell = cell.format(root=course.root, repository=REPOSITORY)
    submission = solved("01_demo", course, {"halves": f"# exercise: halves\n{cell}"})
    if kind.edit:
        kind.edit(submission)
    return submission


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory, bubblewrap: str) -> Course:
    """The graded course."""
    course = demo_course(tmp_path_factory.mktemp("adversarial"))
    folder = course.root / "submissions"
    for kind in KINDS:
        submit(folder, kind.name, "01_demo", text_of(kind, course))
    right = solved("01_demo", course)
    source = next(cell.source for cell in right.cells if cell.id == "halves")
    slip = solved("01_demo", course, {"halves": source.replace("number // 2 for", "-(-number // 2) for")})
    for name, mark in HONEST.items():
        submit(folder, name, "01_demo", right if mark == 5 else slip)
    settings = Config()
    settings.Execute.timeout = 8  # honest cells need some hundredths of a second
    settings.Judge.limits = {"memory": 2 * 2**30}
    options = grade.Options(settings=settings)
    # A folder of its own for temporary files, with a short name: a Unix socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="t-") as temporary, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", temporary)
        grade.grade(folder, output=course.root / "grades.csv", course=course, options=options)
        left = [*os.listdir(temporary), *running(temporary)]
    (course.root / "left.txt").write_text("\n".join(left))
    return course


def running(word: str) -> list[str]:
    """The commands of other processes, ended ones apart, that have `word` in them."""
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [" ".join(command) for command in commands if any(word in part for part in command)]


def row(course: Course, student: str) -> dict[str, str]:
    with open(course.root / "grades.csv", newline="") as file:
        return next(line for line in csv.DictReader(file)
                    if (line["student_id"], line["assignment"]) == (student, "01_demo"))


def outputs(course: Course, student: str) -> str:
    """All that the graded notebook's cells wrote, errors included."""
    path = course.grading / "autograded" / student / "01_demo" / "01_demo.ipynb"
    notebook = nbformat.read(path, as_version=4)
    errors = [output.evalue for cell in notebook.cells for output in cell.get("outputs", [])
              if output.output_type == "error"]
    return "\n".join([texts(notebook), *errors])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_mark_and_message(batch: Course, kind: Kind) -> None:
    line = row(batch, kind.name)
    assert line["status"] == "needs manual grading: say_why", line["status"]
    assert (float(line["score"]), float(line["max_score"])) == (kind.score, 7)
    assert kind.says in outputs(batch, kind.name)
    assert kind.never not in outputs(batch, kind.name)


@pytest.mark.parametrize("student", HONEST)
def test_neighbours_keep_their_marks(batch: Course, student: str) -> None:
    assert float(row(batch, student)["score"]) == HONEST[student]


def test_feedback_runs_no_scripts_of_learners(batch: Course) -> None:
    page = (batch.grading / "feedback" / "scripts" / "01_demo" / "01_demo.html").read_text()
    assert "An image:" in page and "<script>REACHED" not in page and "<img src=x" not in page


def test_nothing_is_left_behind(batch: Course) -> None:
    assert (batch.root / "left.txt").read_text() == "", "files in the temporary folder, or sandboxes"
    assert running("31415") == [], "the children of leaves_children"


def test_there_are_kinds_enough() -> None:
    assert len(KINDS) >= 40
    assert len({kind.name for kind in KINDS}) == len(KINDS)
