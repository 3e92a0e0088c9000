"""notebooks/ is what the release makes from solutions/."""

import ast

from autograder.course import Course
from tests.autograder.helpers import untouched, untouched_text


def test_notebook_is_up_to_date(course: Course, notebook: str) -> None:
    path = course.notebooks / notebook / f"{notebook}.ipynb"
    assert path.exists() and path.read_text() == untouched_text(notebook, course), "run `make release`"


def test_every_notebook_has_a_source(course: Course) -> None:
    assert {path.stem for path in course.notebooks.glob("*/*.ipynb")} == set(course.names())


def test_every_code_cell_parses(course: Course, notebook: str) -> None:
    for cell in untouched(notebook, course).cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)


def test_no_answer_or_hidden_test_is_left(course: Course, notebook: str) -> None:
    text = untouched_text(notebook, course)
    for secret in ("BEGIN SOLUTION", "HIDDEN TESTS", "autograder.stock", "@sealed", "# include:"):
        assert secret not in text


def test_no_line_of_a_hidden_check_is_released(course: Course, notebook: str) -> None:
    """No line of code as long as a thought. (Sentences may be the same in visible checks.)"""
    text = "\n".join(cell.source for cell in untouched(notebook, course).cells)
    path = course.grading / "checks" / f"{notebook}.py"
    lines = {line.strip() for line in path.read_text().splitlines()} if path.exists() else set()
    code = {line for line in lines if len(line) > 40 and not line.startswith(("from ", "import ", '"', "'", "#"))}
    assert code or notebook in ("00_start_here", "09_real_engines")
    assert not [line for line in code if line in text]
