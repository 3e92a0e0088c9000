"""The zip that learners get: notebooks, course_lib, an environment and a README, and nothing an instructor keeps."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from autograder import release
from autograder.course import REPOSITORY, Course

TOP = "chunked-prefill-course"
ENVIRONMENT = ("environment.yml", "pyproject.toml", "LICENSE")
SUFFIXES = {".py", ".json"}  # of course_lib's own files


def bundle(output: Path, through: str | None = None, course: Course | None = None) -> list[str]:
    """Writes the zip, with the notebooks up to `through` ("04", or a whole name), and returns its members.

    A notebook repeats what the last ones asked for, solved, so learners should not get later ones before their time.
    The notebooks are made anew: what somebody wrote in `notebooks/` stays there. ValueError for an unknown `through`.
    """
    course = course or Course.current()
    names = _through(course.names(), through)
    members = {f"notebooks/{name}/{name}.ipynb": text
               for name, text in release.learner_notebooks(course, names).items()}
    members |= {str(path.relative_to(REPOSITORY)): path.read_text()
                for path in sorted((REPOSITORY / "course_lib").rglob("*")) if path.suffix in SUFFIXES}
    members |= {name: (REPOSITORY / name).read_text() for name in ENVIRONMENT}
    members["nbgrader_config.py"] = (REPOSITORY / "autograder" / "learner_config.py").read_text()
    members["README.md"] = (REPOSITORY / "docs" / "learner.md").read_text()
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(members.items()):
            # A fixed date makes the same course the same file.
            archive.writestr(zipfile.ZipInfo(f"{TOP}/{name}", (2026, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
    return sorted(members)


def wheel(folder: Path) -> Path:
    """Builds the wheel of course_lib that Colab takes, in `folder`, and returns its path."""
    with tempfile.TemporaryDirectory() as scratch:  # setuptools would pick up stale files of an earlier build
        sources = Path(scratch) / "sources"
        shutil.copytree(REPOSITORY / "course_lib", sources / "course_lib")
        for name in ("pyproject.toml", "LICENSE"):
            shutil.copy(REPOSITORY / name, sources)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
                   "--wheel-dir", f"{scratch}/wheel", str(sources)]
        subprocess.run(command, check=True)
        [built] = (Path(scratch) / "wheel").glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(built, folder / built.name))


def _through(names: list[str], through: str | None) -> list[str]:
    if through is None:
        return names
    last = [index for index, name in enumerate(names) if through in (name, name.split("_")[0])]
    if not last:
        raise ValueError(f"through must be one of {', '.join(name.split('_')[0] for name in names)}, got {through!r}")
    return names[: last[0] + 1]
