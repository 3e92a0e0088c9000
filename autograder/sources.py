"""From `solutions/NN_name/NN_name.py` (jupytext percent) to the instructor's notebook."""

import ast
import functools
import json
import re
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from autograder import bootstrap, exercises
from autograder.course import Course
from course_lib import checks

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
INCLUDE = re.compile(r"^# include: (\S+)$", re.MULTILINE)
SEALED = re.compile(r'"@sealed (\w+)"')
GRADE = re.compile(r'^grade\("([^"]+)", "([^"]+)", globals\(\)\)$', re.MULTILINE)
MARKER = re.compile(r"^\s*### (BEGIN|END) SOLUTION$")


class SourceError(ValueError):
    """A mistake in a notebook's source, with its file and cell."""


def read(name: str, course: Course | None = None) -> NotebookNode:
    """The instructor's notebook: includes expanded, reasons of choices sealed, points written into the hidden checks.

    Raises SourceError where the source does not follow the pattern of an exercise.
    """
    course = course or Course.current()
    notebook = _raw(name, course)
    _check_ids(notebook, _path(name, course))
    for index, cell in enumerate(notebook.cells):
        where = _where(_path(name, course), index, cell)
        if cell.cell_type == "code":
            cell.source = _expand_includes(cell.source, course, where)
        if is_check(cell):
            cell.source = _expand_check(cell, name, course, where)
        cell.id = grade_id(cell) or f"cell-{index:03}"
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's note to itself
    notebook.cells[0].source = bootstrap.with_badge(name, notebook.cells[0].source)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return notebook


def solution_cell(name: str, exercise: str, course: Course | None = None) -> str:
    """The text of an exercise's solution cell without its id comment and markers."""
    course = course or Course.current()
    for cell in _raw(name, course).cells:
        if is_solution(cell) and grade_id(cell) == exercise:
            lines = [line for line in cell.source.splitlines() if not MARKER.match(line)]
            return "\n".join(lines[1:])
    raise SourceError(f"{_path(name, course)} has no solution cell with the grade_id {exercise!r}")


def definition(name: str, what: str, course: Course | None = None) -> str:
    """The solution of exercise `what`, or else the function, class or constant of that name in a given cell."""
    course = course or Course.current()
    cells = _raw(name, course).cells
    if any(is_solution(cell) and grade_id(cell) == what for cell in cells):
        return solution_cell(name, what, course)
    for cell in cells:
        if "given" in tags(cell):
            for node in ast.parse(cell.source).body:
                if what in _defined_by(node):
                    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
                    return "\n".join(cell.source.splitlines()[first - 1:node.end_lineno])
    raise SourceError(f"{_path(name, course)} has neither a solution cell with the grade_id {what!r} "
                      f"nor a given cell that defines {what}")


def _defined_by(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [node.name] if hasattr(node, "name") else [one.id for one in targets if isinstance(one, ast.Name)]


def grade_id(cell: NotebookNode) -> str | None:
    """The cell's nbgrader id, if it has one."""
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def is_solution(cell: NotebookNode) -> bool:
    """Whether the cell is code that the learner writes."""
    return cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution", False)


def is_answer(cell: NotebookNode) -> bool:
    """Whether the cell is a written answer, which a person marks."""
    return cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("solution", False)


def is_check(cell: NotebookNode) -> bool:
    """Whether the cell is code that gives marks."""
    return cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade", False)


def tags(cell: NotebookNode) -> set[str]:
    """The cell's tags; `setup` and `given` matter here."""
    return set(cell.metadata.get("tags", []))


def _path(name: str, course: Course) -> Path:
    if not isinstance(name, str):
        raise SourceError(f"a notebook's name must be a text, got {name!r}; it is one of {', '.join(course.names())}")
    return course.solutions / name / f"{name}.py"


def _raw(name: str, course: Course) -> NotebookNode:
    path = _path(name, course)
    if not path.exists():
        raise SourceError(f"there is no {path}; the notebooks are: {', '.join(course.names()) or 'none'}")
    # Reading costs 50 ms, and a notebook that includes ten cells reads its sources ten times.
    return nbformat.from_dict(json.loads(_parsed(path, path.stat().st_mtime_ns)))


@functools.cache
def _parsed(path: Path, _changed: int) -> str:
    return json.dumps(jupytext.read(path, fmt="py:percent"))


def _where(path: Path, index: int, cell: NotebookNode) -> str:
    return f"{path}, cell {index + 1} ({grade_id(cell) or cell.source.partition(chr(10))[0][:60]!r})"


def _check_ids(notebook: NotebookNode, path: Path) -> None:
    seen = set()
    for index, cell in enumerate(notebook.cells):
        name, where = grade_id(cell), _where(path, index, cell)
        if name is None:
            if "### BEGIN" in cell.source:
                raise SourceError(f"{where}: BEGIN SOLUTION or BEGIN HIDDEN TESTS in a cell without nbgrader "
                                  "metadata: add it to the cell's header")
            continue
        if not re.fullmatch(r"[A-Za-z]\w{0,55}", name):
            raise SourceError(f"{where}: a grade_id must be a name of at most 56 letters, digits and _, got {name!r}")
        if name in seen:
            raise SourceError(f"{where}: the grade_id {name!r} is used twice: rename one of the two")
        seen.add(name)
        expected = _id_comment(cell)
        if expected and not cell.source.startswith(expected + "\n"):
            raise SourceError(f"{where}: the first line must be {expected!r}")
        if is_solution(cell) or is_answer(cell):
            if not re.search(r"BEGIN SOLUTION\b.*\n(.*\n)*.*END SOLUTION\b", cell.source):
                raise SourceError(f"{where}: put the answer between BEGIN SOLUTION and END SOLUTION")
        if is_solution(cell) and is_check(cell):
            raise SourceError(f"{where}: code is either solution or check: set grade to false here")


def _id_comment(cell: NotebookNode) -> str | None:
    name = grade_id(cell)
    if is_solution(cell):
        return f"# exercise: {name}"
    if is_check(cell):
        return f"# check: {exercises.of_check(name)}"
    return f"<!-- answer: {name} -->" if is_answer(cell) else None


def _expand_includes(source: str, course: Course, where: str) -> str:
    return INCLUDE.sub(lambda found: _included(found[1], course, where), source)


def _included(what: str, course: Course, where: str) -> str:
    if what == "bootstrap":
        return bootstrap.text()
    name, _, defined = what.partition("/")
    try:
        return definition(name, defined, course)
    except SourceError as error:
        raise SourceError(f"{where}: `# include: {what}`: {error}; write `bootstrap`, `NN_name/exercise` or "
                          "`NN_name/definition`") from None


def _expand_check(cell: NotebookNode, name: str, course: Course, where: str) -> str:
    """The check cell with sealed reasons, and with its points as the last argument of `grade`."""
    settings = cell.metadata.nbgrader
    exercise = exercises.of_check(settings.grade_id)
    found = GRADE.findall(cell.source)
    if found != [(name, exercise)]:
        raise SourceError(f'{where}: the hidden part must hold the one line grade("{name}", "{exercise}", globals())')
    if not settings.get("points", 0) > 0:
        raise SourceError(f"{where}: points must be more than 0, got {settings.get('points')!r}")

    def sealed(match: re.Match) -> str:
        choices = getattr(exercises.checks_module(name, course), "CHOICES", {})
        if match[1] not in choices:
            raise SourceError(f"{where}: {match[0]} is not in CHOICES of autograder/checks/{name}.py")
        return json.dumps(checks.seal(choices[match[1]]))

    source = GRADE.sub(rf'grade("\1", "\2", globals(), points={settings.points!r})', cell.source)
    return SEALED.sub(sealed, source)
