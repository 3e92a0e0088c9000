"""nbgrader's API on a course."""

import contextlib
import functools
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import nbgrader.api
import nbgrader.dbutil
from alembic.script import ScriptDirectory
from nbgrader.apps import NbGraderAPI
from sqlalchemy.exc import SAWarning
from traitlets.config import Config, PyFileConfigLoader

from autograder.course import REPOSITORY, ROOT_VARIABLE, Course


def gradebook_version() -> str:
    """The version that a new gradebook has; nbgrader asks the `alembic` program, which takes seconds to start."""
    return ScriptDirectory(nbgrader.dbutil.ALEMBIC_DIR).get_current_head()


nbgrader.api.get_alembic_version = gradebook_version
# nbgrader opens the gradebook some fifteen times a submission; with one engine SQL is compiled once for all of them.
nbgrader.api.create_engine = functools.lru_cache(maxsize=8)(nbgrader.api.create_engine)


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Sets environment variables, for nbgrader and the kernels that it starts, and puts the old ones back."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def gradebook_is_there() -> Iterator[None]:
    """Within it, nbgrader does not look for each table whenever it opens the gradebook; the tables must be there."""
    tables = nbgrader.api.Base.metadata
    tables.create_all = lambda bind: None
    try:
        yield
    finally:
        del tables.create_all  # the class has the real one


@contextlib.contextmanager
def api(course: Course, settings: Config | None = None) -> Iterator[NbGraderAPI]:
    """nbgrader's API with the course's nbgrader_config.py, `settings` over it.

    Other configuration of the user or the machine is not read: grades must not depend on it.
    """
    with environment(**{ROOT_VARIABLE: str(course.root)}), warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # nbgrader's own use of its database
        config = PyFileConfigLoader("nbgrader_config.py", path=str(REPOSITORY / "autograder")).load_config()
        config.merge(settings or Config())
        found = NbGraderAPI(config=config)
        found.log_level = logging.INFO
        found.log.propagate = False  # the log comes back with each result; nothing goes to the terminal
        yield found


def scratch(folder: Path) -> Config:
    """Settings for work in `folder` with a gradebook of its own, instead of in the course."""
    config = Config()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.db_url = f"sqlite:///{folder / 'gradebook.db'}"
    return config


def reason(result: dict) -> str:
    """Why nbgrader's API call failed, in one line: the end of the first traceback in its log, else the first error."""
    lines = (result.get("log") or result.get("error") or "").splitlines()
    for start, line in enumerate(lines):
        if "Traceback (most recent call last)" in line:
            for later in lines[start + 1 :]:
                later = later.removeprefix("    ")  # tornado's formatter indents all lines of a message but the first
                if later and not later[0].isspace():
                    return later
    errors = [line.removeprefix("[ERROR] ") for line in lines if line.startswith("[ERROR]")]
    return next(iter(errors or lines), "nbgrader gave no reason")
