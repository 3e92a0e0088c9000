"""The judge: runs a submission's cells in its kernel, and hidden checks here, in the grader's process.

Put in the place of nbgrader's Execute by nbgrader_config.py. A cell with a check is never run in the kernel:
the check runs here, and the kernel only answers its calls (`kernel_side`), so that no comparison, expected value or
mark passes through a process that the learner's code can change. Whatever stops a kernel costs that one exercise:
the kernel is replaced, and the earlier cells run again in the new one.
"""

import contextlib
import dataclasses
import hashlib
import os
import random
import secrets
import traceback
from pathlib import Path
from time import monotonic
from typing import Any

import numpy
import torch
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from traitlets import Bool, Dict, Integer, Unicode

from autograder import checking, exercises, outputs, sandbox, scratch, sources, verdicts, warm
from autograder.checking import Result
from autograder.course import Course
from autograder.kernel import KernelStopped, Launcher
from autograder.limits import Limits
from autograder.replay import Kernels
from autograder.sandbox import KernelStartError
from autograder.talk import Talk


class Judge(Execute):
    """nbgrader's Execute with hidden checks in the grader's process; `timeout` bounds a cell, and a check's calls."""

    sandbox = Bool(True, help="Run kernels in a sandbox. False only for submissions that you would run by hand."
                   ).tag(config=True)
    zygote = Unicode("", help="Where a warm start listens; empty: each kernel starts cold.").tag(config=True)
    scratch = Unicode("", help="A folder for the kernels' sockets; empty: a temporary one.").tag(config=True)
    limits = Dict({}, help="Limits of a kernel other than those of limits.py, e.g. {'memory': 8589934592}."
                  ).tag(config=True)
    notebook_timeout = Integer(900, help="Seconds for all cells and checks of a notebook.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict, km: Any = None) -> tuple[NotebookNode, dict]:
        """Runs and judges every cell, in order; `km` is not used."""
        self.resources = resources
        course = Course.current()
        launcher = _launcher(course, self.sandbox, self.zygote)
        limits, deadline = Limits.with_changes(self.limits), monotonic() + self.notebook_timeout
        seed = "\0".join([secret(course), *(cell.source for cell in nb.cells)])
        with contextlib.ExitStack() as stack:
            folder = Path(self.scratch or stack.enter_context(scratch.folder()))
            kernels = Kernels(launcher, folder, limits, self.timeout, self.startup_timeout, deadline)
            stack.callback(kernels.close)
            self._bench = Bench(course, resources["nbgrader"]["notebook"], kernels, launcher.adapters(), seed)
            for index, cell in enumerate(nb.cells):
                self.preprocess_cell(cell, resources, index)
        return nb, resources

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        """Judges a cell with a check; runs other code, unless it has nbclient's tag for cells to skip."""
        if sources.is_check(cell) and not sources.is_solution(cell):
            cell.outputs = self._bench.judge(cell)
        elif cell.cell_type == "code" and self.skip_cells_with_tag not in sources.tags(cell):
            cell.outputs = self._bench.run(cell)
        return cell, resources


def secret(course: Course) -> str:
    """What the inputs of hidden checks depend on, beside the submission's text. Made once, when it is first read."""
    path = course.grading / "autograded" / ".secret"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".secret.{os.getpid()}")
        beside.touch(mode=0o600)
        beside.write_text(secrets.token_hex())
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)  # whoever comes first; never half written
        beside.unlink()
    return path.read_text()


def _launcher(course: Course, wanted: bool, zygote: str) -> Launcher:
    if not wanted:
        return sandbox.NoSandbox(course)
    return warm.WarmSandbox(course, zygote) if zygote else sandbox.Sandbox(course)


class Bench:
    """Runs and judges the cells of one submission."""

    def __init__(self, course: Course, notebook: str, kernels: Kernels, adapters: str, seed: str) -> None:
        self._course, self._notebook, self._kernels, self._adapters = course, notebook, kernels, adapters
        self._seed = seed
        self._stopped: dict[str, str] = {}  # exercise -> what its cell did to the kernel

    def run(self, cell: NotebookNode) -> list[NotebookNode]:
        """The outputs of a cell without a check."""
        if not cell.source.strip():
            return []
        try:
            return self._kernels.run(cell.source)
        except KernelStopped as stop:
            self._stopped[sources.grade_id(cell) or ""] = str(stop)
            return [new_output("error", ename="KernelStopped", evalue=str(stop), traceback=[str(stop)])]

    def judge(self, cell: NotebookNode) -> list[NotebookNode]:
        """The outputs from which nbgrader reads the mark: the same that `stock.grade` makes."""
        exercise, points = exercises.of_check(sources.grade_id(cell)), float(cell.metadata.nbgrader.points)
        try:
            result = self._result(exercise)
            result = dataclasses.replace(result, message=outputs.storable(result.message))
        except KernelStartError:
            raise  # the machine's doing: the submission has failed, with this reason
        except Exception:
            story = outputs.storable(
                f"the hidden check {self._notebook}/{exercise} broke down:\n{traceback.format_exc()}")
            crash = checking.CheckCrashed(story)
            return [new_output("error", ename="CheckCrashed", evalue=story, traceback=crash._render_traceback_())]
        mark = new_output("execute_result", data={"text/plain": repr(checking.points(result, points))},
                          metadata=verdicts.metadata(result))
        return [new_output("stream", text=checking.report(result, exercise, points) + "\n"), mark]

    def _result(self, exercise: str) -> Result:
        if exercise in self._stopped:
            return Result(0.0, self._stopped[exercise])
        check = getattr(exercises.checks_module(self._notebook, self._course), exercise)
        _reseed(f"{self._seed}\0{exercise}")
        talk = Talk(self._kernels, f"{self._adapters}/{self._notebook}.py", exercise)
        try:
            return checking.run_check(check, talk.call)
        finally:
            talk.close()


def _reseed(text: str) -> None:
    """Inputs that the learner cannot foresee, and that are the same when the same submission is graded again."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
