"""Finds the submissions in a folder: `<student>/<assignment>/<notebook>.ipynb` or `<student>/<notebook>.ipynb`."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import nbformat

STUDENT = re.compile(r"[\w.@ -]+")  # nbgrader's paths and CSV files stand nothing else


@dataclass(frozen=True)
class Submission:
    """One student's file for one assignment; `problem` says why it cannot be graded, where it cannot."""

    student: str
    assignment: str
    path: Path
    problem: str | None = None


def find(folder: Path, assignments: Collection[str]) -> tuple[list[str], list[Submission]]:
    """The students of `folder` (its subfolders), and their submissions to any of `assignments`."""
    students = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith((".", "__"))]
    found = []
    for student in students:
        files: dict[str, list[Path]] = {}
        for path in sorted([*student.glob("*.ipynb"), *student.glob("*/*.ipynb")]):
            if ".ipynb_checkpoints" not in path.parts:
                files.setdefault(_assignment(path, student, assignments), []).append(path)
        for assignment, paths in files.items():
            # Beside other notebooks, the one with the assignment's own name is meant.
            named = [path for path in paths if path.stem == assignment] or paths
            found.append(Submission(student.name, assignment, named[0], _problem(assignment, named, assignments)))
    return [student.name for student in students], found


def _assignment(path: Path, student: Path, assignments: Collection[str]) -> str:
    """The folder's name, or that of the file; files renamed by a browser, `02_x (1).ipynb`, count for 02_x."""
    if path.parent != student:
        return path.parent.name
    renamed = (name for name in assignments if re.fullmatch(rf"{re.escape(name)}[ _(-]+\w+\)?", path.stem))
    return next(renamed, path.stem)


def _problem(assignment: str, paths: list[Path], assignments: Collection[str]) -> str | None:
    if assignment not in assignments:
        return f"no such assignment: {assignment}; the assignments are: {', '.join(sorted(assignments))}"
    if len(paths) > 1:
        return f"several notebooks, none named {assignment}.ipynb: {', '.join(path.name for path in paths)}"
    if paths[0].is_symlink() or not paths[0].is_file():
        return "the notebook is not an ordinary file"
    try:
        notebook = nbformat.read(paths[0], as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
    except Exception as error:
        line = str(error).partition("\n")[0]
        return f"not a notebook that Jupyter can read: {type(error).__name__}: {line}"[:300]
    return None if notebook.nbformat == 4 else f"notebook format {notebook.nbformat}; save it again in Jupyter as 4"
