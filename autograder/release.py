"""Sources -> the learner's notebooks, and the solved ones for the instructor."""

import os
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbgrader.preprocessors import ClearHiddenTests
from tqdm import tqdm

from autograder import course_api, sources
from autograder.course import Course


class ReleaseError(RuntimeError):
    """nbgrader could not make a notebook."""


def write_sources(course: Course, names: Iterable[str], folder: Path) -> None:
    """Writes the instructor's notebooks to `folder/NN_name/NN_name.ipynb`, as nbgrader expects its sources."""
    for name in names:
        _replace(folder / name / f"{name}.ipynb", nbformat.writes(sources.read(name, course)) + "\n")


def learner_notebooks(course: Course, names: Iterable[str]) -> dict[str, str]:
    """Name -> text of the learner's notebook, made by nbgrader's generate_assignment in a scratch course."""
    made = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        settings = course_api.scratch(folder)
        settings.CourseDirectory.source_directory = "source"
        settings.CourseDirectory.release_directory = "release"
        names = list(names)
        write_sources(course, names, folder / "source")
        with course_api.api(course, settings) as api:
            for name in names:
                result = api.generate_assignment(name)
                if not result["success"]:
                    raise ReleaseError(f"nbgrader could not release {name}: {course_api.reason(result)}")
                made[name] = (folder / "release" / name / f"{name}.ipynb").read_text()
    return made


def release(course: Course | None = None, missing_only: bool = False, only: Collection[str] = ()) -> list[str]:
    """Writes `notebooks/` and the instructor's notebooks, all or `only` some; returns the names that were written.

    With `missing_only` a notebook that is there stays as it is, with whatever its owner wrote in it.
    """
    course = course or Course.current()
    names = _chosen(course, only)
    write_sources(course, names, course.build / "source")
    wanted = [name for name in names if not (missing_only and _released(course, name).exists())]
    for name, text in learner_notebooks(course, wanted).items():
        _replace(_released(course, name), text)
    return wanted


def check(course: Course | None = None) -> list[str]:
    """Notebooks that are not what the release makes: changed, missing, or without a source. Writes nothing."""
    course = course or Course.current()
    made = learner_notebooks(course, course.names())
    stale = [name for name, text in made.items()
             if not _released(course, name).exists() or _released(course, name).read_text() != text]
    return stale + sorted(path.stem for path in course.notebooks.glob("*/*.ipynb") if path.stem not in made)


def build_solutions(course: Course | None = None, only: Collection[str] = ()) -> list[Path]:
    """Runs the solved notebooks, all or `only` some, without their hidden tests; writes build/solutions/."""
    course = course or Course.current()
    folder = course.build / "solutions"
    written = []
    for name in tqdm(_chosen(course, only), desc="solutions", unit="notebook"):
        notebook, _ = ClearHiddenTests().preprocess(sources.read(name, course), {})
        folder.mkdir(parents=True, exist_ok=True)
        # A kernel warns that it listens on this machine unless its log is kept to errors.
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}},
                                extra_arguments=["--IPKernelApp.log_level=40"])
        client.execute()
        page, _ = HTMLExporter().from_notebook_node(notebook)
        for suffix, text in (("ipynb", nbformat.writes(notebook) + "\n"), ("html", page)):
            _replace(folder / f"{name}.{suffix}", text)
            written.append(folder / f"{name}.{suffix}")
    return written


def _chosen(course: Course, only: Collection[str]) -> list[str]:
    known = course.names()
    if isinstance(only, str) or not all(isinstance(name, str) for name in only):
        raise ReleaseError(f"only must be a list of notebooks' names, got {only!r}; write {[only]!r} for one of them")
    if unknown := sorted(set(only) - set(known)):
        raise ReleaseError(f"there is no notebook {unknown[0]!r}; the notebooks are: {', '.join(known)}")
    return [name for name in known if name in only] if only else known


def _released(course: Course, name: str) -> Path:
    return course.notebooks / name / f"{name}.ipynb"


def _replace(path: Path, text: str) -> None:
    """Writes beside `path` and moves into place, so that nothing is ever half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    os.replace(beside, path)
