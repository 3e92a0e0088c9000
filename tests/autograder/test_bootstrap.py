"""What a release writes into every notebook for Colab: the badge, and the first cell that installs course_lib."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from autograder import bootstrap, release, sources, urls
from autograder.course import Course

WHEEL = "https://example.org/chunked_prefill_course-0.1.0-py3-none-any.whl"
ADDRESS = "https://colab.research.google.com/github/owner/course/blob/main/notebooks"


def test_both_addresses_are_set_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    course = Course()
    plain = {name: sources.read(name, course).cells[0].source for name in course.names()}
    assert not any("colab-badge" in text for text in plain.values())
    monkeypatch.setattr(urls, "COLAB_URL", ADDRESS + "/")
    monkeypatch.setattr(urls, "COURSE_LIB_URL", WHEEL)
    for name, before in plain.items():
        cells = sources.read(name, course).cells
        badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({ADDRESS}/{name}/{name}.ipynb)"
        assert cells[0].source == before.replace("\n", f"\n\n{badge}\n", 1)
        assert f"COURSE_LIB_URL = {WHEEL!r}" in next(cell.source for cell in cells if cell.cell_type == "code")


def test_the_learner_s_notebook_has_the_badge(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "COLAB_URL", ADDRESS)
    assert f"{ADDRESS}/01_demo/01_demo.ipynb" in release.learner_notebooks(course, ["01_demo"])["01_demo"]


@pytest.mark.parametrize("url, chosen", [(WHEEL, WHEEL), (None, "course.whl")])
def test_pip_installs_the_wheel_alone(url: str | None, chosen: str, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --no-deps, pip could replace Colab's torch, numpy or matplotlib."""
    commands = on_colab(tmp_path, monkeypatch, uploaded={"course.whl": b""})
    monkeypatch.setattr(urls, "COURSE_LIB_URL", url)
    exec(bootstrap.text(), {})
    assert commands == [[sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", chosen]]


def test_no_chosen_file_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = on_colab(tmp_path, monkeypatch, uploaded={})
    with pytest.raises(RuntimeError, match="run this cell again and choose the wheel"):
        exec(bootstrap.text(), {})
    assert commands == []


def on_colab(folder: Path, monkeypatch: pytest.MonkeyPatch, uploaded: dict[str, bytes]) -> list[list[str]]:
    """Pretends to be on Colab without course_lib; the commands that are run from now on."""
    commands: list[list[str]] = []
    colab = ModuleType("google.colab")
    colab.files = SimpleNamespace(upload=lambda: uploaded)
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    monkeypatch.chdir(folder)
    return commands
