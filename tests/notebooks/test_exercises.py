"""Each exercise of each notebook: solutions pass, the untouched release does not, and wrong answers are recognised."""

from autograder import exercises, sources
from autograder.course import Course
from autograder.mutants import Alternative, Mutant
from tests.autograder.helpers import graded, untouched_namespace


def test_solution_earns_full_marks(course: Course, notebook: str, exercise: str) -> None:
    result = graded(notebook, exercise, course)
    assert result.share == 1, result.message


def test_mutant_loses_marks_and_is_told_why(course: Course, notebook: str, mutant: Mutant) -> None:
    source = mutant.apply(_solution(course, notebook, mutant.exercise))
    result = graded(notebook, mutant.exercise, course, source)
    assert result.share < 1
    assert result.misconception == exercises.checks_module(notebook, course).MISCONCEPTIONS[mutant.misconception]


def test_alternative_earns_full_marks(course: Course, notebook: str, alternative: Alternative) -> None:
    result = graded(notebook, alternative.exercise, course, alternative.source)
    assert result.share == 1, result.message


def test_untouched_release_earns_nothing(course: Course, notebook: str) -> None:
    namespace, raised = untouched_namespace(notebook, course)
    assert {type(error) for error in raised} <= {NotImplementedError}
    for exercise in exercises.exercises(notebook, course):
        if not exercise.is_written:
            result = exercises.grade(notebook, exercise.name, namespace, course)
            assert result.share == 0, exercise.name


def test_every_function_has_a_mutant(course: Course, notebook: str, function_exercises: set[str]) -> None:
    covered = {mutant.exercise for mutant in exercises.mutants(notebook, course)[0]}
    is_graded = {one.name for one in exercises.exercises(notebook, course)}
    assert (function_exercises & is_graded) <= covered


def test_every_misconception_has_a_mutant(course: Course, notebook: str) -> None:
    mutants, _ = exercises.mutants(notebook, course)
    if exercises.exercises(notebook, course):
        known = exercises.checks_module(notebook, course).MISCONCEPTIONS
        assert set(known) == {mutant.misconception for mutant in mutants}


def _solution(course: Course, notebook: str, exercise: str) -> str:
    """The exercise's cell with its markers, as the instructor's notebook has it."""
    return next(cell.source for cell in sources.read(notebook, course).cells
                if sources.is_solution(cell) and sources.grade_id(cell) == exercise)
