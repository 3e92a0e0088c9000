"""Every solved notebook on the versions that Colab pins, from an uploaded wheel, with a stand-in for google.colab.

The environment is .venv-colab, made by `make test`. Not covered: Colab's Python 3.13, its torch 2.11, its GPU.
"""

import json
import os
import subprocess
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from autograder import bundle, exercises, grade
from autograder.course import Course
from tests.autograder.helpers import errors, figures, scratch_course, solved

STUB = Path(__file__).parent / "stub"


@pytest.fixture(scope="session")
def python(repository: Path) -> Path:
    """The interpreter with Colab's versions; fails the test where `make test` has not made it."""
    path = repository / ".venv-colab" / "bin" / "python"
    if not path.exists():
        pytest.fail(f"{path} is missing: run the tests with `make test`, which makes it")
    return path


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course's wheel, as a learner uploads it."""
    return bundle.wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def colab(python: Path, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory whose kernel `colab` has google.colab and takes the wheel when it asks for a file."""
    spec = tmp_path / "jupyter" / "kernels" / "colab"
    spec.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}",
               "--IPKernelApp.exec_lines=import google.colab", "--IPKernelApp.log_level=40"]
    (spec / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Colab", "language": "python"}))
    installed = tmp_path / "installed"  # where pip puts the wheel, instead of into the environment all tests share
    installed.mkdir()
    for name, value in {"JUPYTER_PATH": tmp_path / "jupyter", "PYTHONPATH": f"{STUB}{os.pathsep}{installed}",
                        "PIP_TARGET": installed, "COLAB_UPLOAD": wheel}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


@pytest.mark.timeout(900)
def test_solved_notebook_runs_on_colabs_versions(notebook: str, colab: Path) -> None:
    solution = solved(notebook, Course())
    solution.metadata.kernelspec.name = "colab"
    NotebookClient(solution, timeout=600, kernel_name="colab", resources={"metadata": {"path": colab}}).execute()
    assert errors(solution) == []
    bare = [shown for shown in figures(solution) if not (shown.alt and shown.caption and shown.num_rows >= 2)]
    assert figures(solution) and bare == [], "a figure needs an alt text, a summary below it, and a table"


def test_the_environment_is_colabs(python: Path) -> None:
    names = ("IPython", "ipykernel", "ipywidgets", "jupyter_client", "matplotlib", "numpy", "traitlets")
    code = f"import importlib.metadata as m; print(*[m.version(name) for name in {names}])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7.34.0", "6.17.1", "7.7.1", "7.4.9", "3.10.0", "2.1.3", "5.7.1"]


def test_the_first_cell_leaves_torch_and_numpy_alone(wheel: Path, colab: Path, python: Path) -> None:
    installed = Path(os.environ["PIP_TARGET"])
    solution = solved("00_start_here", Course())
    solution.cells = [cell for cell in solution.cells if cell.cell_type == "code"][:1]
    NotebookClient(solution, timeout=600, kernel_name="colab", resources={"metadata": {"path": colab}}).execute()
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {"course_lib"}


@pytest.mark.timeout(600)
def test_the_way_back_from_colab_download_lms_zip_marks(colab: Path, tmp_path: Path) -> None:
    """Run on Colab's versions, downloaded without nbgrader's metadata, handed in through an LMS: full marks."""
    name, course = "03_interleaving", Course()
    notebook = solved(name, course)
    NotebookClient(notebook, timeout=600, kernel_name="colab", resources={"metadata": {"path": colab}}).execute()
    for position, cell in enumerate(notebook.cells):
        cell.metadata = nbformat.from_dict({"id": f"Xy{position}", "outputId": "0"} if cell.cell_type == "code" else {})
        cell.id = f"Xy{position}"
    notebook.metadata = nbformat.from_dict({"colab": {"provenance": []}, "language_info": {"name": "python"},
                                            "kernelspec": {"name": "python3", "display_name": "Python 3"}})
    with zipfile.ZipFile(tmp_path / "submissions.zip", "w") as archive:  # as Canvas makes it
        archive.writestr(f"lovelaceada_4711_81520_{name}.ipynb", nbformat.writes(notebook))
    scratch = scratch_course(course, tmp_path / "course")
    [row] = grade.grade(tmp_path / "submissions.zip", None, tmp_path / "grades.csv", scratch)
    assert (row.student, row.assignment, row.status) == ("lovelaceada_4711", name, "graded")
    assert row.score == row.max_score == sum(one.points for one in exercises.exercises(name, course))
