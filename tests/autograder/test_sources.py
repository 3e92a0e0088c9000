"""The one source: includes, seals, ids, and errors that say where to look."""

from pathlib import Path

import pytest

from autograder import exercises, solutions, sources
from autograder.course import Course
from autograder.sources import SourceError


def edit(course: Course, old: str, new: str, notebook: str = "01_demo") -> None:
    path = course.solutions / notebook / f"{notebook}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_includes_bring_the_solution_without_its_markers(course: Course) -> None:
    cell = sources.read("02_next", course).cells[1]
    assert "def halves" in cell.source and "number // 2" in cell.source
    assert "SOLUTION" not in cell.source and "# exercise" not in cell.source


def test_includes_bring_what_a_given_cell_defines() -> None:
    ours = Course()
    row = sources.definition("06_chunk_size", "Row", ours)
    assert row.startswith("@dataclass(frozen=True)\nclass Row:") and row.endswith("makespan: float")
    assert sources.definition("06_chunk_size", "HAND_CLOCK", ours).startswith("HAND_CLOCK = CostModel(")


def test_bootstrap_is_in_the_first_code_cell(course: Course) -> None:
    source = sources.read("01_demo", course).cells[1].source
    assert "google.colab" in source and "# include" not in source
    compile(source, "bootstrap", "exec")


def test_cell_ids_come_from_grade_ids_or_positions(course: Course) -> None:
    ids = [cell.id for cell in sources.read("01_demo", course).cells]
    assert ids[:2] == ["cell-000", "cell-001"] and "halves_check" in ids
    assert len(set(ids)) == len(ids)


def test_exercises_and_points_come_from_the_cells(course: Course) -> None:
    found = [(one.name, one.points, one.is_written) for one in exercises.exercises("01_demo", course)]
    assert found == [("halves", 3, False), ("guess_longest", 1, False), ("why_even", 1, False), ("say_why", 2, True)]


@pytest.mark.parametrize(("old", "new", "message"), [
    ('"grade_id": "why_even"', '"grade_id": "halves"', "'halves' is used twice"),
    ('"grade_id": "why_even"', '"grade_id": "why even"', "grade_id must be a name"),
    ("# exercise: halves", "# exercise: halfs", "first line must be '# exercise: halves'"),
    ("# check: halves", "# checks", "first line must be '# check: halves'"),
    ("<!-- answer: say_why -->", "", "first line must be '<!-- answer: say_why -->'"),
    ("    ### END SOLUTION", "", "between BEGIN SOLUTION and END SOLUTION"),
    ("# include: bootstrap", "# include: bootstrip", "write `bootstrap`, `NN_name/exercise` or"),
    ("# include: bootstrap", "# include: 01_demo/thirds", "nor a given cell that defines thirds"),
    ("@sealed why_even", "@sealed why_odd", "not in CHOICES"),
    ('grade("01_demo", "halves"', 'grade("01_demo", "thirds"', 'must hold the one line grade("01_demo", "halves"'),
    ('"points": 3', '"points": 0', "points must be more than 0, got 0"),
])
def test_mistakes_name_the_file_and_what_to_do(course: Course, old: str, new: str, message: str) -> None:
    edit(course, old, new)
    with pytest.raises(SourceError, match="01_demo.py, cell") as caught:
        sources.read("01_demo", course)
    assert message in str(caught.value)


def test_an_unknown_notebook_is_told_the_known_ones(course: Course) -> None:
    with pytest.raises(SourceError, match="01_demo, 02_next"):
        sources.read("03_missing", course)


def test_solutions_define_setup_given_and_exercise_cells(course: Course) -> None:
    assert solutions.load("01_demo", "halves", course)([7]) == [3]
    assert solutions.load("01_demo", "double", course)(2) == 4
    assert solutions.load("02_next", "halves", course)([8]) == [4]
    assert solutions.load("01_demo", "halves", course) is solutions.load("01_demo", "halves", course)
    with pytest.raises(KeyError, match="define no 'thirds'"):
        solutions.load("01_demo", "thirds", course)


def test_a_replaced_cell_changes_only_its_own_namespace(course: Course) -> None:
    other = solutions.namespace("01_demo", {"halves": "def halves(numbers): return 'mine'"}, course)
    assert other["halves"]([1]) == "mine"
    assert solutions.load("01_demo", "halves", course)([1]) == [0]
    with pytest.raises(KeyError, match="thirds"):
        solutions.namespace("01_demo", {"thirds": ""}, course)


def test_a_changed_source_is_read_again(course: Course) -> None:
    sources.read("01_demo", course)
    edit(course, "# # A demo", "# # Another title, longer")
    assert "Another title" in sources.read("01_demo", course).cells[0].source


def test_a_missing_check_module_is_named(course: Course, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="02_next.py is missing"):
        exercises.checks_module("02_next", course)
