"""What learners get: the notebooks up to the one asked for, the library, and nothing that an instructor keeps."""

import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from autograder import __main__, bundle
from autograder.course import Course


@pytest.fixture(scope="module")
def through_02(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked bundle of notebooks 00 to 02."""
    folder = tmp_path_factory.mktemp("bundle")
    bundle.bundle(folder / "bundle.zip", "02")
    with zipfile.ZipFile(folder / "bundle.zip") as archive:
        archive.extractall(folder)
    return folder / bundle.TOP


def test_notebooks_up_to_the_one_asked_for(through_02: Path) -> None:
    names = [name for name in Course().names() if name <= "02_z"]
    assert sorted(path.name for path in (through_02 / "notebooks").iterdir()) == names
    for name in names:
        notebook = nbformat.read(through_02 / "notebooks" / name / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells)


def test_nothing_an_instructor_keeps(through_02: Path) -> None:
    files = [path for path in through_02.rglob("*") if path.is_file()]
    assert {path.relative_to(through_02).parts[0] for path in files} == {
        "notebooks", "course_lib", "environment.yml", "pyproject.toml", "LICENSE", "README.md", "nbgrader_config.py"}
    for path in files:
        text = path.read_text()
        for secret in ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS", "autograder.stock"):
            assert secret not in text, f"{path} holds {secret}"


def test_a_notebook_of_the_bundle_finds_the_library_of_the_bundle(through_02: Path) -> None:
    notebook = nbformat.read(through_02 / "notebooks" / "02_chunked_prefill" / "02_chunked_prefill.ipynb", as_version=4)
    bootstrap = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    # -S leaves the environment's own course_lib out of sight.
    code = f"{bootstrap}\nimport importlib.util; print(importlib.util.find_spec('course_lib').origin)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True,
                          cwd=through_02 / "notebooks" / "02_chunked_prefill")
    assert done.stdout.strip() == str(through_02 / "course_lib" / "__init__.py")


def test_the_same_course_makes_the_same_bundle(through_02: Path, tmp_path: Path) -> None:
    bundle.bundle(tmp_path / "again.zip", "02_chunked_prefill")
    assert (tmp_path / "again.zip").read_bytes() == (through_02.parent / "bundle.zip").read_bytes()


def test_an_unknown_notebook_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["bundle", "--through", "44", "--output", str(tmp_path / "bundle.zip")]) == 2
    assert "through must be one of 00, " in capsys.readouterr().err
    assert not (tmp_path / "bundle.zip").exists()


def test_the_wheel_holds_course_lib_alone(tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle.wheel(tmp_path)) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"course_lib"}
