"""Files that have to agree with each other, and what must never be tracked."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

MAX_TRACKED_BYTES = 2 * 1024 * 1024
CONDA_NAMES = {"torch": "pytorch"}


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def lock_lines(repository: Path) -> list[str]:
    lines = (repository / "requirements.lock").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, check=True, capture_output=True, text=True)
    paths = [repository / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def name_of(requirement: str) -> str:
    """The package's name in its normal form: lower case, every run of -, _ and . a single dash."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_conda_environment_is_in_step_with_pyproject(repository: Path, project: dict) -> None:
    listed = yaml.safe_load((repository / "environment.yml").read_text())["dependencies"]
    conda = {requirement for requirement in listed if isinstance(requirement, str)} - {"pip"}
    wanted = {f"python{project['requires-python']}"}
    for requirement in project["dependencies"] + project["optional-dependencies"]["lab"]:
        name = name_of(requirement)
        wanted.add(CONDA_NAMES.get(name, name) + requirement[len(name) :])
    assert conda == wanted
    assert listed[-1] == {"pip": ["-e ."]}


def test_repo2docker_takes_the_conda_environment(repository: Path) -> None:
    """Not built here, which needs docker; but it would read any of these before environment.yml."""
    assert [name for name in ("binder", ".binder", "Dockerfile", "Pipfile") if (repository / name).exists()] == []
    guide = (repository / "docs" / "instructor.md").read_text()
    [start] = re.findall(r"mybinder\.org/\S+urlpath=lab/tree/(\S+\.ipynb)", guide)
    assert (repository / start).is_file()


def test_lock_pins_plain_versions_only(lock_lines: list[str]) -> None:
    assert "torch==2.13.0" in lock_lines
    not_plain = [line for line in lock_lines if not re.fullmatch(r"[\w.-]+==[0-9][0-9a-z.]*", line)]
    assert not not_plain, "a locked line is `name==version`, without local versions, hosts or paths"


def test_lock_meets_every_requirement_of_pyproject(lock_lines: list[str], project: dict) -> None:
    locked = {name_of(line): line.split("==")[1] for line in lock_lines}
    extras = project["optional-dependencies"].values()
    for requirement in (Requirement(text) for group in [project["dependencies"], *extras] for text in group):
        assert requirement.specifier.contains(locked[name_of(requirement.name)]), f"{requirement}: run `make lock`"


def test_no_tracked_file_is_large(tracked: list[Path]) -> None:
    large = {str(path): path.stat().st_size for path in tracked if path.stat().st_size > MAX_TRACKED_BYTES}
    assert not large


def test_notebooks_are_tracked_without_outputs(tracked: list[Path]) -> None:
    for path in tracked:
        if path.suffix == ".ipynb":
            cells = json.loads(path.read_text())["cells"]
            assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path


def test_ci_runs_make_test(repository: Path) -> None:
    script = repository / ".ci" / "run"
    assert script.stat().st_mode & 0o100, ".ci/run must be executable"
    assert "exec make test" in script.read_text()


def test_make_help_lists_every_phony_target(repository: Path) -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (repository / "Makefile").read_text(), re.MULTILINE)[1].split()
    shown = subprocess.run(["make"], cwd=repository, check=True, capture_output=True, text=True).stdout
    assert re.findall(r"^  make ([\w-]+)", shown, re.MULTILINE) == phony


def test_wheel_holds_course_lib_alone(repository: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for package in ("course_lib", "autograder"):
        shutil.copytree(repository / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(repository / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    subprocess.run([*command, "--wheel-dir", str(tmp_path)], cwd=source, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    folders = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"course_lib"}
    modules = {path.name for path in (repository / "course_lib").glob("*.py")}
    assert modules <= {Path(name).name for name in zipfile.ZipFile(wheel).namelist()}


def test_autograder_is_importable_from_anywhere(tmp_path: Path) -> None:
    """nbgrader runs a learner's kernel in a folder of its own, and its stock hidden check imports autograder."""
    subprocess.run([sys.executable, "-c", "import autograder, course_lib"], cwd=tmp_path, check=True)
