"""Damaged notebooks, repaired and marked without a kernel: each has its mark and sentence, and loses no line."""

import contextlib
import copy
import io

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader.nbgraderformat import MetadataValidator

from autograder import exercises, sources
from autograder.cells import Release, lines_of
from autograder.checking import points
from autograder.course import Course
from autograder.repair import repair
from tests.autograder.damaged.notebooks import KINDS, Kind, cell
from tests.autograder.helpers import solved, untouched


def marks(notebook: NotebookNode, course: Course) -> float:
    """The automatic marks, as the judge gives them: cells run from top to bottom, and a check sees what ran before."""
    defined: dict = {"__name__": "__main__"}
    total = 0.0
    for one in notebook.cells:
        if sources.is_check(one):
            exercise = exercises.of_check(sources.grade_id(one))
            with contextlib.suppress(NameError):
                result = exercises.grade("01_demo", exercise, defined, course)
                total += points(result, one.metadata.nbgrader.points)
        elif one.cell_type == "code":
            with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
                exec(compile(one.source, one.id, "exec"), defined)
    return total


@pytest.fixture(scope="module")
def release(released_demo: Course) -> Release:
    return Release(untouched("01_demo", released_demo))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_mark_and_sentence(kind: Kind, release: Release, released_demo: Course) -> None:
    right = solved("01_demo", released_demo)
    damaged = copy.deepcopy(right)
    kind.damage(damaged)
    before = copy.deepcopy(damaged)
    repaired, sentences = repair(damaged, release)

    assert damaged == before  # the submission stays as it is
    if kind.says:
        assert kind.says in "\n".join(sentences)
    else:
        assert sentences == []
    assert marks(repaired, released_demo) == kind.score
    nbformat.validate(repaired)
    MetadataValidator().validate_nb(repaired)
    assert repaired.metadata == right.metadata
    # The cells that grading needs are all there, once, in order, with the release's own metadata and checks.
    needed = [one.id for one in release.notebook.cells if release.is_needed(one.id)]
    kept = [one for one in repaired.cells if one.id in needed]
    if kind.name not in ("merged", "answer_in_a_copy_at_the_end"):  # their answers stay where the learner had them
        assert [one.id for one in kept if not sources.is_answer(one)] == needed[:-1]
    assert sorted(one.id for one in kept) == sorted(needed)
    for one in kept:
        released = cell(release.notebook, one.id)
        assert one.metadata.get("nbgrader") == released.metadata.get("nbgrader")
        assert one.cell_type == released.cell_type
        if sources.is_check(one):
            assert one.source == released.source
    # No line that was handed in is gone.
    there = {line for one in repaired.cells for line in lines_of(one.source)}
    assert there >= {line for one in before.cells for line in lines_of(one.source)}


def test_a_whole_notebook_is_left_as_it_is(release: Release, released_demo: Course) -> None:
    for notebook in (untouched("01_demo", released_demo), solved("01_demo", released_demo)):
        assert repair(notebook, release) == (notebook, [])


def test_repairing_twice_changes_nothing_more(release: Release, released_demo: Course) -> None:
    for kind in KINDS:
        damaged = solved("01_demo", released_demo)
        kind.damage(damaged)
        once, _ = repair(damaged, release)
        twice, _ = repair(once, release)
        assert [(one.id, one.cell_type, one.source) for one in twice.cells] == [
            (one.id, one.cell_type, one.source) for one in once.cells], kind.name


def test_untouched_copies_earn_nothing(release: Release, released_demo: Course) -> None:
    for kind in KINDS:
        damaged = untouched("01_demo", released_demo)
        with contextlib.suppress(StopIteration):
            kind.damage(damaged)
            assert marks(repair(damaged, release)[0], released_demo) in (0, 1), kind.name
