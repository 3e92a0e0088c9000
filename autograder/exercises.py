"""The exercises of a notebook, and the modules that hold their checks, adapters and mutants."""

import functools
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from autograder import checking
from autograder.course import Course
from autograder.mutants import Alternative, Mutant

CHECK_SUFFIX = "_check"


@dataclass(frozen=True)
class Exercise:
    """One graded cell. `name` is the solution's grade_id; a person marks it when `is_written`."""

    notebook: str
    name: str
    points: float
    is_written: bool


def of_check(grade_id: str) -> str:
    """The exercise that a check cell belongs to: its grade_id without `_check`."""
    return grade_id.removesuffix(CHECK_SUFFIX)


def exercises(notebook: str, course: Course | None = None) -> list[Exercise]:
    """The notebook's graded cells, in order."""
    from autograder import sources  # jupytext takes over a second to import, which kernels need not wait for

    found = []
    for cell in sources.read(notebook, course).cells:
        if sources.is_check(cell) or sources.is_answer(cell):
            name = of_check(cell.metadata.nbgrader.grade_id)
            found.append(Exercise(notebook, name, float(cell.metadata.nbgrader.points), sources.is_answer(cell)))
    return found


def checks_module(notebook: str, course: Course | None = None) -> ModuleType:
    """`autograder/checks/NN_name.py`: a function an exercise, MISCONCEPTIONS and CHOICES."""
    return _load((course or Course.current()).grading / "checks" / f"{notebook}.py")


def adapters_module(notebook: str, course: Course | None = None) -> ModuleType:
    """`autograder/adapters/NN_name.py`: a function an exercise."""
    return _load((course or Course.current()).grading / "adapters" / f"{notebook}.py")


def mutants(notebook: str, course: Course | None = None) -> tuple[list[Mutant], list[Alternative]]:
    """MUTANTS and ALTERNATIVES of `solutions/NN_name/mutants.py`; empty where the notebook has none."""
    course = course or Course.current()
    if notebook not in course.names():
        raise ValueError(f"there is no notebook {notebook!r}; the notebooks are: {', '.join(course.names()) or 'none'}")
    path = course.solutions / notebook / "mutants.py"
    module = _load(path) if path.exists() else None
    return list(getattr(module, "MUTANTS", [])), list(getattr(module, "ALTERNATIVES", []))


def grade(notebook: str, exercise: str, learner: Mapping[str, Any], course: Course | None = None) -> checking.Result:
    """Runs the exercise's hidden check on `learner`, a submission's namespace, in this process."""
    check = _function(checks_module(notebook, course), exercise)
    adapter = _function(adapters_module(notebook, course), exercise)
    return checking.run_check(check, checking.direct_call(adapter, learner))


def _function(module: ModuleType, exercise: str) -> Any:
    function = getattr(module, exercise, None)
    if function is None:
        raise ValueError(f"{module.__file__} must define a function {exercise}, named as the exercise's grade_id")
    return function


def _load(path: Path) -> ModuleType:
    """The module in `path`; by path, since the names of notebooks start with digits."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: every graded notebook needs it")
    return _loaded(path, path.stat().st_mtime_ns)


@functools.cache
def _loaded(path: Path, _changed: int) -> ModuleType:
    # Workers of a cluster live on when a check is corrected.
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
