"""The objects that the solutions define: the reference for tests, checks and benchmarks."""

import functools
import linecache
from collections.abc import Mapping
from typing import Any

from autograder import sources
from autograder.course import Course


def load(notebook: str, name: str, course: Course | None = None) -> Any:
    """The object `name` that a solution (or given) cell of `notebook` defines, e.g. load("04_scheduler", "Scheduler").

    Objects are shared between callers; take care not to change them.
    """
    if not isinstance(notebook, str):
        raise sources.SourceError(f"a notebook's name must be a text such as '00_start_here', got {notebook!r}")
    defined = _solved(notebook, course or Course.current())
    if name not in defined:
        own = [known for known, value in defined.items() if getattr(value, "__module__", None) == "__main__"]
        raise KeyError(f"the solutions of {notebook} define no {name!r}, but {', '.join(own)}")
    return defined[name]


def namespace(notebook: str, replaced: Mapping[str, str] | None = None, course: Course | None = None) -> dict[str, Any]:
    """A fresh namespace after the setup, given and solution cells, without checks and figures.

    `replaced` maps the grade_ids of solution cells to other texts for them (a mutant's, an alternative's).
    """
    replaced, known = dict(replaced or {}), []
    defined: dict[str, Any] = {"__name__": "__main__"}  # as in a kernel; dataclasses look their module up
    for cell in sources.read(notebook, course).cells:
        if cell.cell_type != "code" or not (sources.is_solution(cell) or sources.tags(cell) & {"setup", "given"}):
            continue
        known += [sources.grade_id(cell)] if sources.is_solution(cell) else []
        source = replaced.pop(sources.grade_id(cell), cell.source)
        # Registered, so that tracebacks and inspect.getsource show the cell. One name a text: mutants differ.
        filename = f"<{notebook}/{cell.id} {hash(source):x}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        exec(compile(source, filename, "exec"), defined)
    if replaced:
        raise KeyError(f"{notebook} has no solution cells {list(replaced)}; it has {', '.join(known)}")
    return defined


@functools.cache
def _solved(notebook: str, course: Course) -> dict[str, Any]:
    return namespace(notebook, course=course)
