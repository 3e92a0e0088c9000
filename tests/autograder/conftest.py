"""Fixtures of the autograder's tests."""

import shutil
from pathlib import Path

import pytest

from autograder.course import Course
from tests.autograder.helpers import demo_course


@pytest.fixture(scope="session")
def released_demo(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The demo course, released once; tests take copies."""
    return demo_course(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def course(released_demo: Course, tmp_path: Path) -> Course:
    """A fresh, released demo course of two notebooks; 01_demo has four exercises."""
    shutil.copytree(released_demo.root, tmp_path / "course")
    return Course(tmp_path / "course")
