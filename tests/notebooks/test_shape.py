"""Every notebook has the course's shape: header, predict, worked example, exercises with checks, picture, reflect."""

import re

import pytest
from nbformat import NotebookNode

from autograder import exercises, sources
from autograder.course import Course

START, OPTIONAL = "00_start_here", "09_real_engines"  # no marks that count: they have no written answer
HEADER = ("You will be able to", "Time", "Difficulty", "You need", "GPU", "Marks")
DRAWING = re.compile(r"\b(timeline|chunk_bars|cache_grid|gap_distribution|trade_off|service_curves|decision_dashboard)\(")
MOST_LINES = 30  # asked for in one cell


@pytest.fixture
def cells(course: Course, notebook: str) -> list[NotebookNode]:
    return sources.read(notebook, course).cells


def headings(cells: list[NotebookNode]) -> list[tuple[int, str]]:
    """(level, text) of the Markdown headings in order; lines of fenced code are none."""
    found = []
    for cell in cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"^```.*?^```", "", cell.source, flags=re.MULTILINE | re.DOTALL)
            found += [(len(marks), words) for marks, words in re.findall(r"^(#+) +(.+)$", text, re.MULTILINE)]
    return found


def test_headings_are_in_order(cells: list[NotebookNode]) -> None:
    levels = [level for level, _ in headings(cells)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), headings(cells)


def test_sections_are_numbered_in_order(cells: list[NotebookNode]) -> None:
    numbers = [int(match[1]) for _, text in headings(cells) if (match := re.match(r"(\d+)\. ", text))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_header_says_what_a_learner_decides_by(cells: list[NotebookNode]) -> None:
    rows = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", cells[0].source, re.MULTILINE))
    assert tuple(rows) == HEADER
    assert re.fullmatch(r"\d+ minutes", rows["Time"])
    assert re.match(r"none|(one|two|three|four) stars? of four", rows["Difficulty"])


def test_predict_comes_before_the_first_other_exercise(notebook: str, cells: list[NotebookNode]) -> None:
    guesses = [index for index, cell in enumerate(cells) if cell.source.startswith("# exercise: guess_")]
    shown = [index for index, cell in enumerate(cells) if "checks.predicted(" in cell.source]
    assert bool(guesses) == bool(shown) == (notebook != START)  # whose one exercise shows a check fail and pass
    assert not guesses or guesses[0] < shown[0]
    first = [cell.source for cell in cells if sources.is_solution(cell)][0]
    assert first.startswith("# exercise: guess_") or notebook in (START, OPTIONAL)


def test_a_worked_example_comes_before_what_is_asked_for(notebook: str, cells: list[NotebookNode]) -> None:
    examples = [index for index, cell in enumerate(cells)
                if cell.cell_type == "markdown" and re.search(r"^## 1\. (A w|W)orked example", cell.source, re.MULTILINE)]
    asked = [index for index, cell in enumerate(cells)
             if sources.is_solution(cell) and not cell.source.startswith("# exercise: guess_")]
    assert asked
    if notebook not in (START, OPTIONAL):  # nothing in these is worth marks
        assert len(examples) == 1 and examples[0] < asked[0]


def test_every_exercise_is_followed_by_its_check(cells: list[NotebookNode]) -> None:
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    names = [(index, match[1]) for index, source in enumerate(code) if (match := re.match(r"# exercise: (\w+)", source))]
    assert names
    for index, name in names:
        check = rf'^(# check: {name}$|(with )?checks\.(exercise|predicted)\("{name}")'
        assert re.search(check, code[index + 1], re.MULTILINE), name


def test_an_exercise_asks_for_few_lines(cells: list[NotebookNode]) -> None:
    for cell in cells:
        for answer in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell.source, re.DOTALL):
            assert len(answer.splitlines()) <= MOST_LINES or cell.cell_type == "markdown", sources.grade_id(cell)


def test_hints_are_folded_and_exercises_have_some(notebook: str, cells: list[NotebookNode]) -> None:
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert text.count("<details>") == text.count("</details>") == text.count("<summary>") == text.count("</summary>")
    nudges, ideas = text.count("<summary>Hint: a nudge</summary>"), text.count("<summary>Hint: the idea</summary>")
    assert nudges == ideas
    assert nudges or notebook == START


def test_ends_with_a_picture_and_what_was_shown(notebook: str, cells: list[NotebookNode]) -> None:
    drawn = [index for index, cell in enumerate(cells) if cell.cell_type == "code" and DRAWING.search(cell.source)]
    asked = [index for index, cell in enumerate(cells) if sources.is_solution(cell) and cell.cell_type == "code"]
    assert drawn
    if notebook != START:
        assert headings(cells)[-1] == (2, "What you have shown")
        assert drawn[-1] > asked[0]


def test_reflects(notebook: str, course: Course, cells: list[NotebookNode]) -> None:
    written = [one for one in exercises.exercises(notebook, course) if one.is_written]
    reflects = bool(written) or any("Multiple choice" in text for _, text in headings(cells))
    assert reflects or notebook in (START, OPTIONAL)  # nothing in these is worth marks
