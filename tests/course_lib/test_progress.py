"""The table of what is done: what a check leaves behind, and what the table makes of it."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib import checks
from course_lib.progress import contents

NAME = "04_scheduler"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of two notebooks; the working directory is that of the second."""
    cells = [
        new_markdown_cell("# 04 A <scheduler>\n\nIntroduction."),
        new_markdown_cell("Text.\n\n## 1. Plan\n\n    # not a heading"),
        new_code_cell("# exercise: plan\nplan = None"),
        new_code_cell("# check: plan\n..."),
        new_markdown_cell("### Guess"),
        new_code_cell("# exercise: guess\nguess = None"),
        new_markdown_cell("<!-- answer: memo -->\n*Write your answer here.*"),
    ]
    for name, content in [("00_start_here", [new_markdown_cell("# 00 Start here")]), (NAME, cells)]:
        (tmp_path / name).mkdir()
        nbformat.write(new_notebook(cells=content), tmp_path / name / f"{name}.ipynb")
    monkeypatch.chdir(tmp_path / NAME)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    return tmp_path


def check(name: str, passes: bool) -> None:
    """Runs a visible check that passes or fails."""
    try:
        with checks.exercise(name) as one:
            one.true(passes, "wrong")
    except checks.CheckFailed:
        pass


def states() -> dict[str, str]:
    """Exercise -> state, as the table has it now."""
    return {entry.name: entry.state for notebook in contents().notebooks for entry in notebook.entries}


def test_checks_move_the_table(folder: Path) -> None:
    assert states() == {"plan": "open", "guess": "open", "memo": "open"}
    check("plan", passes=False)
    assert states() == {"plan": "not passed yet", "guess": "open", "memo": "open"}
    check("plan", passes=True)
    check("guess", passes=True)
    assert states() == {"plan": "passed", "guess": "passed", "memo": "open"}
    assert [notebook.done for notebook in contents().notebooks] == ["none", "2 of 3"]
    check("plan", passes=False)  # what held once does not hold now
    assert states()["plan"] == "not passed yet"


@pytest.mark.parametrize("error", [NotImplementedError("<not written yet>"), NameError("x"), KeyboardInterrupt()])
def test_a_check_that_found_nothing_to_look_at_is_no_try(folder: Path, error: BaseException) -> None:
    check("plan", passes=True)
    with pytest.raises(type(error)), checks.exercise("plan"):
        raise error
    assert states()["plan"] == "passed"


def test_an_error_in_the_learner_s_code_is_a_try(folder: Path) -> None:
    with pytest.raises(IndexError), checks.exercise("plan"):
        [][0]
    assert states()["plan"] == "not passed yet"


def test_a_written_answer_is_done_when_something_is_written(folder: Path) -> None:
    path = folder / NAME / f"{NAME}.ipynb"
    path.write_text(path.read_text().replace("*Write your answer here.*", "Because."))
    assert states()["memo"] == "written, for a person to read"


def test_the_table_is_plain_html_with_links_and_headers(folder: Path) -> None:
    check("plan", passes=True)
    page = contents()._repr_html_()
    assert '<a href="../00_start_here/00_start_here.ipynb">00 Start here</a>' in page
    assert '<a href="04_scheduler.ipynb">04 A &lt;scheduler&gt;</a>' in page
    assert "<caption>" in page and 'scope="row"' in page and page.count('scope="col"') == 4
    assert "<code>plan</code> (1. Plan): passed" in page and "<code>guess</code> (Guess): open" in page
    assert not re.search("color|background", page)  # so that every theme's own colours hold
    assert "plan: passed, last tried 20" in str(contents())


def test_the_folder_can_be_given_or_found_from_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [notebook.link for notebook in contents().notebooks][1] == f"{NAME}/{NAME}.ipynb"
    monkeypatch.chdir("/")
    assert len(contents(folder).notebooks) == 2


def test_without_notebooks_beside_it_nothing_is_kept_and_the_table_says_so(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check("plan", passes=True)
    assert list(tmp_path.iterdir()) == [] and not (tmp_path.parent / ".progress").exists()
    assert "on Colab each is opened by itself" in str(contents()) and "<table>" not in contents()._repr_html_()


def test_the_grader_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    check("plan", passes=True)
    assert not (folder / ".progress").exists()


def test_validate_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    check("plan", passes=True)
    assert states()["plan"] == "passed"


def test_a_check_does_not_fail_because_nothing_can_be_written(folder: Path) -> None:
    (folder / ".progress").write_text("a file where the folder would be")
    check("plan", passes=True)
    assert states()["plan"] == "open"


@pytest.mark.parametrize("text", ["", "[]", '{"plan": 3}', '{"plan": {}}', "\x00"])
def test_a_broken_file_is_an_empty_one(folder: Path, text: str) -> None:
    (folder / ".progress").mkdir()
    (folder / ".progress" / f"{NAME}.json").write_text(text)
    assert states()["plan"] == "open"
    check("plan", passes=True)
    assert json.loads((folder / ".progress" / f"{NAME}.json").read_text())["plan"]["passed"] is True


def test_a_broken_notebook_is_named_and_the_others_stay(folder: Path) -> None:
    (folder / "00_start_here" / "00_start_here.ipynb").write_text("{")
    titles = [notebook.title for notebook in contents().notebooks]
    assert titles == ["00_start_here (this file cannot be read as a notebook)", "04 A <scheduler>"]
