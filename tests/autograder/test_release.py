"""The learner's notebooks: reproducible, without answers, hidden tests and readable reasons, never lost."""

import ast

import pytest

from autograder import __main__ as command_line
from autograder import release, sources
from autograder.course import ROOT_VARIABLE, Course


def text(course: Course, name: str = "01_demo") -> str:
    return (course.notebooks / name / f"{name}.ipynb").read_text()


def test_bytes_are_reproducible_and_check_agrees(course: Course) -> None:
    before = {name: text(course, name) for name in course.names()}
    assert release.check(course) == []
    release.release(course)
    assert {name: text(course, name) for name in course.names()} == before


def test_nothing_of_the_answers_is_in_the_release(course: Course) -> None:
    found = text(course)
    for secret in ("number // 2", "BEGIN SOLUTION", "HIDDEN TESTS", "autograder.stock", "Rubric", "@sealed",
                   "must stay sealed", "Twice zero"):
        assert secret not in found
    assert "@sealed" not in str(sources.read("01_demo", course))


def test_every_code_cell_parses_and_outputs_are_empty(course: Course) -> None:
    from tests.autograder.helpers import untouched

    for cell in untouched("01_demo", course).cells:
        if cell.cell_type == "code":
            ast.parse(cell.source)
            assert cell.outputs == [] and cell.execution_count is None


def test_an_edited_notebook_is_found_and_kept_by_missing_only(course: Course) -> None:
    path = course.notebooks / "01_demo" / "01_demo.ipynb"
    path.write_text(text(course).replace("Why is zero even?", "My notes."))
    (course.notebooks / "02_next" / "02_next.ipynb").unlink()
    assert release.check(course) == ["01_demo", "02_next"]
    assert release.release(course, missing_only=True) == ["02_next"]
    assert "My notes." in text(course)
    release.release(course)
    assert "My notes." not in text(course)


def test_a_notebook_without_a_source_is_stale(course: Course) -> None:
    (course.notebooks / "09_old").mkdir()
    (course.notebooks / "09_old" / "09_old.ipynb").write_text("{}")
    assert release.check(course) == ["09_old"]


def test_a_source_that_fails_leaves_the_release_alone(course: Course) -> None:
    before = text(course)
    path = course.solutions / "02_next" / "02_next.py"
    path.write_text(path.read_text().replace("# include: 01_demo/halves", "# include: 01_demo/thirds"))
    with pytest.raises(sources.SourceError):
        release.release(course)
    assert text(course) == before
    assert not list(course.notebooks.rglob(".*"))


def test_solved_notebooks_run_and_become_pages(course: Course) -> None:
    written = release.build_solutions(course)
    assert [path.name for path in written] == ["01_demo.ipynb", "01_demo.html", "02_next.ipynb", "02_next.html"]
    page = (course.build / "solutions" / "01_demo.html").read_text()
    assert "halves: 1 check passed." in page and "autograder.stock" not in page


def test_command_line_check_says_which_notebook_and_fails(
    course: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(course.root))
    assert command_line.main(["release", "--check"]) == 0
    (course.notebooks / "02_next" / "02_next.ipynb").unlink()
    assert command_line.main(["release", "--check"]) == 1
    assert "02_next: not what the release makes" in capsys.readouterr().out
    assert command_line.main(["release", "--missing"]) == 0
    assert "notebooks written: 02_next" in capsys.readouterr().out
