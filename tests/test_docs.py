"""Every command in the README and the documents is run here, or by a test that is named here.

A command that this file does not know fails the test: write down how it is run, or take it out of the document.
"""

import ast
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder import bundle
from tests.browser.lab import copy_working_tree

pytestmark = pytest.mark.xdist_group("docs")

PROGRAMS = ("make", "python", "python3", "nbgrader", "jupyter", "conda", "pip", "docker", "export", ".venv/bin/")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")

# Run in a copy of the tree, in this order; what each must leave behind.
HERE = {
    "make": None,
    "make release": "notebooks/00_start_here/00_start_here.ipynb",
    "make lint": None,
    ".venv/bin/python -m pytest tests/notebooks -k 00_start_here": None,
    "make wheel": "build/wheel/*.whl",
    "make bundle": "build/bundle.zip",
    "make bundle THROUGH=04": "build/bundle.zip",
    "make grade SUBMISSIONS=folder": "grades.csv",
    "make report": "autograder/reports/02_chunked_prefill.html",
    "python -m autograder grade --again": None,
    "python -m autograder grade folder --no-sandbox": None,
}
IN_PLACE_OF = {
    "SUBMISSIONS=folder": "SUBMISSIONS=tests/sample_submissions",
    "python -m autograder grade --again": ".venv/bin/python -m autograder grade tests/sample_submissions --again",
    "python -m autograder grade folder": ".venv/bin/python -m autograder grade tests/sample_submissions",
}

# Run in an unpacked bundle, as a learner would.
IN_A_BUNDLE = ["python3 -m venv .venv", '.venv/bin/pip install -e ".[lab]"', ".venv/bin/jupyter lab notebooks"]

# Run by another test; the instructor's steps of the exchange through nbgrader's API, as formgrader's buttons do.
LAB = "tests/browser/test_lab.py::test_lab_opens_on_the_first_notebook"
STOCK = "tests/autograder/test_grade_once.py::test_stock_commands_work_in_the_autograder_folder"
EXCHANGE = "tests/autograder/test_exchange.py::test_release_to_feedback_with_two_learners"
ELSEWHERE = {
    "python -m autograder grade folder --backend dask --address tcp://host:8786":
        "tests/autograder/test_parallel.py::test_the_same_command_on_a_dask_cluster",
    "make lab": LAB,
    "make lab PORT=8899 BROWSER=no TOKEN=secret": LAB,
    "make solutions": "tests/autograder/test_release.py::test_solved_notebooks_run_and_become_pages",
    "make grade SUBMISSIONS=download.zip": "tests/autograder/test_submissions.py::test_a_download_of_canvas",
    "make grade SUBMISSIONS=autograder/submitted":
        "tests/autograder/test_regrade.py::test_what_was_collected_is_kept",
    **{f"nbgrader {command} 02_chunked_prefill": STOCK
       for command in ("generate_assignment", "release_assignment", "autograde", "generate_feedback")},
    "nbgrader generate_feedback 02_chunked_prefill --force": STOCK,
    "nbgrader db student import students.csv": STOCK,
    'nbgrader db assignment add 02_chunked_prefill --duedate "2027-01-31 23:59:00 UTC"': STOCK,
    **{f"nbgrader {command} 02_chunked_prefill": EXCHANGE
       for command in ("fetch_assignment", "submit", "collect", "release_feedback", "fetch_feedback")},
}

# Not run, with the reason.
NOT_RUN = {
    "docker build -t grader -f autograder/Dockerfile .": "no machine of the tests has docker; the guide says so",
    'docker run --rm --network none --memory 12g --pids-limit 1024 --user "$(id -u):$(id -g)" --env HOME=/tmp '
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined "
    '--volume "$PWD:/course" grader /opt/venv/bin/python -m autograder grade submissions': "as above",
    "make test": "this test is part of it",
    "make lab TORCH='torch>=2.14'": "it downloads gigabytes; the option only takes the place of the pin",
    "conda env create --file environment.yml": "test_repository.py compares the file with pyproject.toml",
    "conda activate chunked-prefill-course": "as above",
    'pip install "chunked_prefill_course-0.1.0-py3-none-any.whl[lab]"': "its wheel and its extra are tested apart: "
        "test_repository.py::test_wheel_holds_course_lib_alone, test_docs.py's bundle",
    "jupyter lab notebooks": "run as .venv/bin/jupyter lab notebooks",
}
KNOWN = {*HERE, *IN_A_BUNDLE, *ELSEWHERE, *NOT_RUN}


def documents(repository: Path) -> list[Path]:
    return [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]


def commands(text: str) -> Iterator[str]:
    """The commands of a page: lines of fenced blocks in no other language, and inline code that begins like one."""
    for language, block in FENCE.findall(text):
        if language in ("", "sh", "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                if found := re.sub(r"\s+#.*", "", line).strip():
                    yield " ".join(found.split())
    for span in INLINE.findall(FENCE.sub("", text)):
        words = span.split()
        if words[0] in PROGRAMS or words[0].startswith(".venv/bin/"):
            yield " ".join(words)


@pytest.fixture(scope="module")
def written(repository: Path) -> dict[str, set[str]]:
    """Command -> the documents that name it."""
    found: dict[str, set[str]] = {}
    for path in documents(repository):
        for command in commands(path.read_text()):
            found.setdefault(command, set()).add(path.name)
    return found


def test_every_command_is_known(written: dict[str, set[str]]) -> None:
    unknown = {command: places for command, places in written.items()
               if command not in KNOWN}
    assert not unknown


def test_no_command_is_known_in_vain(written: dict[str, set[str]]) -> None:
    assert set(KNOWN) <= set(written)


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_the_other_test_exists(test: str, repository: Path) -> None:
    path, name = test.split("::")
    functions = {node.name for node in ast.walk(ast.parse((repository / path).read_text()))
                 if isinstance(node, ast.FunctionDef)}
    assert name in functions


@pytest.fixture(scope="module")
def tree(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree."""
    folder = tmp_path_factory.mktemp("docs") / "course"
    copy_working_tree(repository, folder)
    return folder


@pytest.mark.timeout(600)
def test_commands_run(tree: Path, bubblewrap: str) -> None:
    inherited = ("MAKEFLAGS", "MFLAGS", "COURSE_ROOT")  # of the `make test` that this is part of, say
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    for command, product in HERE.items():
        for old, new in IN_PLACE_OF.items():
            command = command.replace(old, new)
        done = subprocess.run(command.split(), cwd=tree, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert product is None or list(tree.glob(product)), command


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle that learners get, unpacked."""
    folder = tmp_path_factory.mktemp("bundle")
    bundle.bundle(folder / "bundle.zip", "02")
    with zipfile.ZipFile(folder / "bundle.zip") as archive:
        archive.extractall(folder)
    return folder / bundle.TOP


def test_a_bundle_is_installed_and_served_as_it_says(unpacked: Path, tmp_path: Path) -> None:
    """With the packages of this environment in sight, so that pip downloads none of them."""
    make_environment, install, serve = IN_A_BUNDLE
    site_packages = next(path for path in sys.path if path.endswith("site-packages"))
    visible = os.environ | {"PYTHONPATH": site_packages, "PIP_NO_BUILD_ISOLATION": "0", "JUPYTER_TOKEN": "docs",
                            "JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_DATA_DIR": str(tmp_path),
                            "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    for command in (make_environment, install):
        done = subprocess.run(shlex.split(command), cwd=unpacked, env=visible, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    found = subprocess.run([".venv/bin/python", "-c", "import course_lib; print(course_lib.__file__)"], cwd=unpacked,
                           env=visible, capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()) == unpacked / "course_lib" / "__init__.py"

    (unpacked / ".venv" / "bin" / "jupyter").symlink_to(Path(sys.executable).with_name("jupyter"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", f"--port={port}", *(["--allow-root"] if os.getuid() == 0 else [])]
    with open(tmp_path / "log", "w") as log:
        server = subprocess.Popen(serve.split() + options, cwd=unpacked, env=visible, stdout=log, stderr=log)
    try:
        names = _listed(f"http://127.0.0.1:{port}/api/contents?token=docs", server)
    finally:
        server.terminate()
        server.wait()
    assert names == ["00_start_here", "01_kv_cache", "02_chunked_prefill"], (tmp_path / "log").read_text()


def _listed(url: str, server: subprocess.Popen) -> list[str] | None:
    """The names in the folder that a Jupyter server shows, None if it does not come up."""
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=120) as reply:
                return sorted(entry["name"] for entry in json.loads(reply.read())["content"])
        except OSError:
            time.sleep(0.2)
    return None


def test_links_lead_somewhere(repository: Path) -> None:
    for path in documents(repository):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
