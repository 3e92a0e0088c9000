"""Every test here is run for every notebook in solutions/; a new notebook needs no change."""

import ast
import os
import random

import numpy
import pytest
import torch

from autograder import exercises, sources
from autograder.course import Course

COURSE = Course()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises `notebook`, `exercise`, `mutant`, `alternative` over what the sources hold."""
    wanted = [name for name in ("exercise", "mutant", "alternative") if name in metafunc.fixturenames]
    if not wanted:
        if "notebook" in metafunc.fixturenames:
            metafunc.parametrize("notebook", COURSE.names())
        return
    cases = [case for name in COURSE.names() for case in _cases(name, wanted[0])]
    metafunc.parametrize(("notebook", wanted[0]), [case[:2] for case in cases], ids=[case[2] for case in cases])


def _cases(notebook: str, kind: str) -> list[tuple]:
    if kind == "exercise":
        return [(notebook, one.name, f"{notebook}-{one.name}") for one in exercises.exercises(notebook, COURSE)
                if not one.is_written]
    mutants, alternatives = exercises.mutants(notebook, COURSE)
    if kind == "mutant":
        return [(notebook, one, f"{notebook}-{one.exercise}-{one.misconception}") for one in mutants]
    return [(notebook, one, f"{notebook}-{one.exercise}-{one.name}") for one in alternatives]


@pytest.fixture(autouse=True)
def draw(request: pytest.FixtureRequest) -> None:
    """The hidden checks of a test draw the same inputs in every run, and others with another DRAW=... in the
    environment: where two mistakes can look alike by chance, it shows when many are tried, not now and then in CI."""
    seed = random.Random(f"{os.environ.get('DRAW', '')}{request.node.nodeid}").getrandbits(31)
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


@pytest.fixture
def course() -> Course:
    """The repository's own course."""
    return COURSE


def functions(notebook: str) -> set[str]:
    """The exercises of `notebook` in which a function or class is written (not a variable set)."""
    found = set()
    for cell in sources.read(notebook, COURSE).cells:
        if sources.is_solution(cell):
            kinds = (ast.FunctionDef, ast.ClassDef)
            if any(isinstance(node, kinds) for node in ast.parse(cell.source).body):
                found.add(sources.grade_id(cell))
    return found


@pytest.fixture
def function_exercises(notebook: str) -> set[str]:
    """The exercises of this test's notebook that ask for a function or class."""
    return functions(notebook)
