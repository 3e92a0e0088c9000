"""The tests here run for every notebook in solutions/."""

import pytest

from autograder.course import Course


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises `notebook` over the sources."""
    if "notebook" in metafunc.fixturenames:
        metafunc.parametrize("notebook", Course().names())
