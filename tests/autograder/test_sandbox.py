"""The sandbox by itself: what is said where there is none, the cold start, and what is cleaned up."""

import functools
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import psutil
import pytest

from autograder import sandbox, scratch, warm, zygote
from autograder.__main__ import main
from autograder.course import Course
from autograder.kernel import Kernel, KernelStopped
from autograder.limits import Limits
from tests.autograder.adversarial.tampering import CHANNELS

pytestmark = pytest.mark.xdist_group("sandbox")

PROBE = """
import os, socket
def tried(what):
    try:
        what()
        return "yes"
    except OSError as error:
        return "no"
print("repository", tried(lambda: os.listdir({repository!r})))
print("network", tried(lambda: socket.create_connection(("1.1.1.1", 53), 2)))
print("course_lib", tried(lambda: os.listdir("/course/course_lib")))
print("written", tried(lambda: open("here", "w").close()))
print("libraries", tried(lambda: open("/course/course_lib/new.py", "w")))
import torch; print("torch", int(torch.ones(3).sum()))
"""


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A folder with a short name: a Unix socket's path has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        yield Path(folder)


def printed(kernel: Kernel, source: str) -> str:
    return "".join(one.text for one in kernel.run(source, monotonic() + 60) if one.output_type == "stream")


def started(course: Course, kind: str, folder: Path) -> tuple[sandbox.Sandbox, list]:
    """A launcher of this kind, and what has to be closed."""
    if kind == "cold":
        return sandbox.Sandbox(course), []
    forks = warm.Zygote(course, folder, Limits())
    if not forks.nests():
        forks.close()
        pytest.skip("user namespaces do not nest on this machine")
    return warm.WarmSandbox(course, forks.address), [forks]


@pytest.mark.parametrize("kind", ["cold", "warm"])
def test_a_kernel_sees_the_library_and_nothing_else(released_demo: Course, bubblewrap: str, short: Path, kind: str,
                                                    repository: Path) -> None:
    before = set(psutil.Process().children(recursive=True))  # earlier tests' resource tracker, for one
    launcher, zygotes = started(released_demo, kind, short)
    kernel = Kernel(launcher, (short / "kernels" if zygotes else short) / "k", Limits())
    try:
        said = printed(kernel, PROBE.format(repository=str(repository / "autograder")))
        assert said.split() == ["repository", "no", "network", "no", "course_lib", "yes", "written", "yes",
                                "libraries", "no", "torch", "3"]
        with pytest.raises(KernelStopped, match="processes"):
            kernel.run("import subprocess, time\nkept = [subprocess.Popen(['sleep', '60']) for _ in range(40)]\n"
                       "time.sleep(60)", monotonic() + 60)
    finally:
        kernel.close()
        for zygote in zygotes:
            zygote.close()
    assert not (short / "k").exists()
    assert set(psutil.Process().children(recursive=True)) <= before or kind == "warm"


FORKS = """
import os, time
count = 0
try:
    while count < 1000:
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        count += 1
except OSError:
    pass
print(count)
"""


def test_linux_bounds_the_number_of_processes(released_demo: Course, bubblewrap: str, short: Path) -> None:
    release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    if os.getuid() == 0 and release < (6, 14):
        pytest.skip("before Linux 6.14, only the watcher bounds what runs with root's rights")
    launcher, zygotes = started(released_demo, "warm", short)
    kernel = Kernel(launcher, short / "kernels" / "k", Limits())
    kernel._watch = lambda: None
    try:
        assert 10 < int(printed(kernel, FORKS)) < 310
    finally:
        kernel.close()
        zygotes[0].close()


@pytest.fixture
def warm_kernel(released_demo: Course, bubblewrap: str, short: Path) -> Iterator[Kernel]:
    launcher, zygotes = started(released_demo, "warm", short)
    kernel = Kernel(launcher, short / "kernels" / "k", Limits())
    yield kernel
    kernel.close()
    zygotes[0].close()


def test_a_kernel_that_takes_no_answer_is_stopped(warm_kernel: Kernel) -> None:
    warm_kernel.begin("__import__('autograder.line').line.of_this_kernel.send('[1]'); __import__('time').sleep(60)")
    assert warm_kernel.heard(monotonic() + 60) == [1]
    warm_kernel.say("small", monotonic() + 60)
    with pytest.raises(KernelStopped, match="time limit"):
        warm_kernel.say("x" * 10_000_000, monotonic() + 1)


def test_the_time_limit_holds_while_texts_are_waiting(warm_kernel: Kernel) -> None:
    warm_kernel.begin("from autograder import line; line.of_this_kernel._socket.sendall(line.packed('1') * 30_000)\n"
                      "__import__('time').sleep(60)")
    deadline, heard = monotonic() + 1, 0
    with pytest.raises(KernelStopped, match="time limit"):
        while True:
            heard += warm_kernel.heard(deadline)
            time.sleep(0.01)
    assert 1 < heard < 1000


def test_a_kernel_that_hangs_up_is_stopped(warm_kernel: Kernel) -> None:
    warm_kernel.run(f"""{CHANNELS}
import threading
threading.Timer(0.5, channel("ipc-1").shutdown, [socket.SHUT_RDWR]).start()""", monotonic() + 60)
    time.sleep(1.5)
    with pytest.raises(KernelStopped, match="ended the process"):
        warm_kernel.run("1", monotonic() + 60)


PRINTS = {
    # What a forked process prints goes to its kernel over a socket: it must not end before that is through.
    "a forked process": "import os, time\nif os.fork() == 0:\n    print('here', flush=True)\n    time.sleep(0.2)\n"
                        "    os._exit(0)\nos.wait()",
    "the system": "import os\nos.write(1, b'here\\n')",
    "a program": "import os\nos.system('echo here')",
    "the notebook": "print('here')",
}


@pytest.mark.parametrize("source", PRINTS.values(), ids=PRINTS)
@pytest.mark.parametrize("kind", ["cold", "warm"])
def test_what_is_printed_is_shown_whoever_prints_it(released_demo: Course, bubblewrap: str, short: Path, kind: str,
                                                    source: str) -> None:
    launcher, zygotes = started(released_demo, kind, short)
    kernel = Kernel(launcher, (short / "kernels" if zygotes else short) / "k", Limits())
    try:
        assert [printed(kernel, source) for _ in range(20)] == ["here\n"] * 20
    finally:
        kernel.close()
        for one in zygotes:
            one.close()


def test_a_long_print_just_before_a_cell_ends_is_not_lost(warm_kernel: Kernel) -> None:
    for _ in range(5):  # the thread that sends begins 0.2 s after the print
        assert "[the rest of the output is not shown]" in printed(
            warm_kernel, "import time\nprint('x' * 12_000_000)\ntime.sleep(0.205)")


def test_kernels_share_no_file(released_demo: Course, bubblewrap: str, short: Path) -> None:
    launcher, zygotes = started(released_demo, "warm", short)
    first, second = (Kernel(launcher, short / "kernels" / name, Limits()) for name in "ab")
    try:
        printed(first, "import os; os.write(2, b'SECRET'); os.system('echo SECRET >&2')")
        look = ("import os, sys\ntry:\n    print(os.pread(sys.stderr._original_stdstream_copy, 1000, 0))\n"
                "except OSError as error:\n    print(error.strerror)")
        assert printed(second, look) == "Bad file descriptor\n"  # it cannot be read at all
    finally:
        first.close()
        second.close()
        zygotes[0].close()


def test_where_the_zygote_hangs_up_a_kernel_starts_cold(released_demo: Course, bubblewrap: str, short: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short / "hangs up"))
        listener.listen()
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        launcher = warm.WarmSandbox(released_demo, str(short / "hangs up"))
        kernel = Kernel(launcher, short / "k", Limits())
        thread.join()
        try:
            assert printed(kernel, "print(1)") == "1\n"
        finally:
            kernel.close()


@pytest.mark.parametrize("fails", ["_first_traceback", "_first_figure", "_first_model"])
def test_kernels_are_forked_whatever_fails_beforehand(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    done = []
    for name in ("_first_traceback", "_first_figure", "_first_model"):
        monkeypatch.setattr(zygote, name, functools.partial(done.append, name))
    monkeypatch.setattr(zygote, fails, lambda: 1 / 0)
    zygote.warm_up()
    assert len(done) == 2 and fails not in done


@pytest.mark.parametrize("kind", ["cold", "warm"])
def test_closing_ends_all_processes(released_demo: Course, bubblewrap: str, short: Path, kind: str) -> None:
    launcher, zygotes = started(released_demo, kind, short)
    kernel = Kernel(launcher, (short / "kernels" if zygotes else short) / "k", Limits())
    kernel.run("import subprocess\nsubprocess.Popen(['sleep', '27182'], start_new_session=True)", monotonic() + 60)
    kernel.close()
    try:
        assert _alive("27182") == []
    finally:
        for zygote in zygotes:
            zygote.close()


def test_without_its_zygote_a_kernel_starts_cold(released_demo: Course, bubblewrap: str, short: Path) -> None:
    (short / "k").mkdir()
    launcher = warm.WarmSandbox(released_demo, str(short / "nobody listens"))
    kernel = Kernel(launcher, short / "k" / "1", Limits())
    try:
        assert printed(kernel, "import os; print(os.listdir('/kernels') if os.path.exists('/kernels') else 'cold')"
                       ) == "cold\n"
    finally:
        kernel.close()


def test_a_killed_grader_leaves_no_process_and_its_folder_goes_next_time(released_demo: Course, bubblewrap: str
                                                                         ) -> None:
    code = f"""
import time
from pathlib import Path
from autograder import warm
from autograder.course import Course
start = warm.Start(Course(Path({str(released_demo.root)!r})))
print(start._folder, flush=True)
time.sleep(600)
"""
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    folder = grader.stdout.readline().strip()
    started = psutil.Process(grader.pid).children(recursive=True)
    assert os.path.isdir(folder) and started
    grader.kill()
    grader.wait()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []
    with scratch.folder():
        assert not os.path.exists(folder)


def test_a_folder_in_use_is_not_removed() -> None:
    with scratch.folder() as first, scratch.folder() as second:
        assert first.is_dir() and second.is_dir()
    assert not first.exists() and not second.exists()


def test_without_bubblewrap_grading_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture) -> None:
    sandbox.program.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    try:
        assert main(["grade", str(tmp_path)]) == 1
        said = capsys.readouterr().err
        assert "apt-get install bubblewrap" in said and "--no-sandbox" in said
    finally:
        sandbox.program.cache_clear()


def test_where_bubblewrap_may_not_work_its_reason_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    sandbox.program.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda *_: str(broken))
    try:
        with pytest.raises(sandbox.SandboxError, match="No permissions to create new namespace.*--no-sandbox"):
            sandbox.program()
    finally:
        sandbox.program.cache_clear()


def _alive(argument: str) -> list[psutil.Process]:
    """Processes with this argument, after a moment for those that are just ending."""
    for _ in range(50):
        found = [one for one in psutil.process_iter(["cmdline"]) if argument in (one.info["cmdline"] or [])]
        if not found:
            return []
        time.sleep(0.1)
    return found
