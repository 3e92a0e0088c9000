"""The sandbox of a kernel: bubblewrap, with no network and nothing of the course but what learners have anyway.

A kernel sees: the system's programs, Python with the environment (read-only), course_lib, the adapters, the few
modules of `INSIDE`, an empty working folder in memory, and the folder of its own sockets. Not there: the gradebook,
solutions, hidden checks, other submissions, the user's home, other processes, the network.
"""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from autograder.course import REPOSITORY, Course
from autograder.limits import Limits

INSIDE = ("__init__.py", "checking.py", "kernel_app.py", "kernel_side.py", "kernel_start.py", "limits.py", "line.py",
          "plain.py", "zygote.py")
HOME, COURSE, KERNEL, KERNELS = "/home/learner", "/course", "/kernel", "/kernels"
USER = 1000
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/sbin", "/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache",
          "/etc/localtime", "/etc/mime.types", "/nix/store")
ENVIRONMENT = {
    "HOME": HOME, "USER": "learner", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin",
    "IN_SANDBOX": "1", "NBGRADER_EXECUTION": "autograde", "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
}


class SandboxError(RuntimeError):
    """There is no sandbox on this machine."""


class KernelStartError(RuntimeError):
    """A kernel did not come up: not the learner's doing."""


@functools.cache
def program() -> str:
    """The path of bwrap. Raises SandboxError, which says what to do, where it is missing or may not make a sandbox."""
    advice = ("Or grade without a sandbox, if you trust every submission: `--no-sandbox` "
              "(for nbgrader's own commands: `--Judge.sandbox=False`).")
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxError(f"bubblewrap is not installed: `apt-get install bubblewrap` (Linux only). {advice}")
    trial = subprocess.run([path, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"],
                           capture_output=True, text=True)
    if trial.returncode:
        raise SandboxError(f"bubblewrap is installed but cannot make a sandbox: {trial.stderr.strip()}. Allow "
                           f"unprivileged user namespaces on this machine. {advice}")
    return path


def command(course: Course, folder: Path, mount: str, limits: Limits, inside: list[str],
            *options: str) -> list[str]:
    """The command that runs `inside` in a fresh sandbox, with `folder` writable at the path `mount`."""
    size = str(limits.disk)
    return [
        program(), "--unshare-all", "--unshare-user", *options, "--die-with-parent", "--new-session",
        # Not 0, whoever grades: as root, bubblewrap would cover parts of /proc, and the warm start could not nest.
        "--uid", str(USER), "--gid", str(USER), "--hostname", "sandbox", "--cap-drop", "ALL",
        "--clearenv", *_each("--setenv", (ENVIRONMENT | {"PYTHONPATH": _python_path()}).items()),
        "--proc", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm", "--size", size, "--tmpfs", "/tmp",
        "--size", size, "--tmpfs", HOME,
        *_system(), *_python(), *_course(course), *_fonts(),
        "--dir", KERNEL, "--bind", str(folder), mount, "--chdir", HOME,
        "--remount-ro", "/", "--remount-ro", "/dev", "--", *inside,
    ]


def _each(option: str, pairs: object) -> list[str]:
    return [word for pair in pairs for word in (option, *pair)]


def _system() -> list[str]:
    """Programs and libraries; Debian's /bin and /lib are links into /usr."""
    words = []
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            words += ["--ro-bind", str(path), str(path)]
    return words


def _python() -> list[str]:
    """The interpreter with its packages, wherever they are installed; /usr is there already."""
    roots = {sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1]), *_packages()}
    outer = [root for root in sorted(roots) if Path(root).is_dir() and not root.startswith("/usr/") and root != "/usr"]
    return _each("--ro-bind", ((root, root) for root in outer))


def _packages() -> list[str]:
    """Folders of packages, those of the user and of PYTHONPATH included, but never a folder of code."""
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def _python_path() -> str:
    return os.pathsep.join([COURSE, *_packages()])


def _course(course: Course) -> list[str]:
    pairs = [(str(REPOSITORY / "autograder" / name), f"{COURSE}/autograder/{name}") for name in INSIDE]
    pairs += [(str(REPOSITORY / "course_lib"), f"{COURSE}/course_lib"),
              (str(course.grading / "adapters"), f"{COURSE}/adapters")]
    return _each("--ro-bind", ((os.path.realpath(source), target) for source, target in pairs))


@functools.cache
def _fonts() -> tuple[str, ...]:
    """matplotlib's list of fonts, which every kernel would else make anew in a second or two."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"
    folder = Path(os.environ.get("MPLCONFIGDIR") or cache)
    if not list(folder.glob("fontlist-v*.json")):
        import matplotlib.font_manager  # makes the list

        folder = Path(matplotlib.get_cachedir())
    pairs = [(str(path), f"{HOME}/.cache/matplotlib/{path.name}") for path in sorted(folder.glob("fontlist-v*.json"))]
    return tuple(_each("--ro-bind", pairs))


class Processes(subprocess.Popen):
    """A process whose `kill` ends its descendants too."""

    def __init__(self, arguments: list[str], **options: object) -> None:
        self.written = tempfile.TemporaryFile()
        super().__init__(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.written,
                         start_new_session=True, **options)

    def kill(self) -> None:
        """Ends the process and all that it started, and waits for it."""
        try:
            started = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            started = []
        for process in started:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        try:
            # Bubblewrap ends by itself once its child is gone, and has then cleaned up after it.
            self.wait(timeout=2 if started else 0)
        except subprocess.TimeoutExpired:
            super().kill()
            self.wait()

    def story(self) -> str:
        """The end of what the process wrote to stderr, on one line."""
        self.written.seek(0)
        return " ".join(self.written.read(1_000_000).decode(errors="replace")[-600:].split()) or "it wrote nothing"


class Sandbox:
    """Launches each kernel in a sandbox and an interpreter of its own."""

    def __init__(self, course: Course) -> None:
        """Raises SandboxError where there is no bubblewrap."""
        self._course = course
        program()

    def inside(self, folder: Path) -> str:
        """The kernel's name for `folder`."""
        return KERNEL

    def adapters(self) -> str:
        """The kernel's name for the course's adapters."""
        return f"{COURSE}/adapters"

    def launch(self, folder: Path, limits: Limits, line: socket.socket) -> Processes:
        """Starts the kernel whose connection file lies in `folder`, with its end of the line."""
        start = _start(KERNEL, limits, line)
        return Processes(command(self._course, folder, KERNEL, limits, start, "--disable-userns"),
                         pass_fds=[line.fileno()])

    def story(self, process: Processes) -> str:
        """What a process that did not come up wrote about it."""
        return process.story()


class NoSandbox(Sandbox):
    """Launches kernels with the grader's own rights. For submissions that one would run by hand, too."""

    def __init__(self, course: Course) -> None:
        self._course = course

    def inside(self, folder: Path) -> str:
        """The kernel's name for `folder`."""
        return str(folder)

    def adapters(self) -> str:
        """The kernel's name for the course's adapters."""
        return str(self._course.grading / "adapters")

    def launch(self, folder: Path, limits: Limits, line: socket.socket) -> Processes:
        """Starts the kernel whose connection file lies in `folder`, with its end of the line."""
        work = folder / "work"
        work.mkdir()
        keep = {name: value for name, value in ENVIRONMENT.items() if name.endswith("_THREADS") or "NBGRADER" in name}
        return Processes(_start(str(folder), limits, line), cwd=work, pass_fds=[line.fileno()],
                         env=os.environ | keep | {"PYTHONPATH": str(REPOSITORY)})


def _start(folder: str, limits: Limits, line: socket.socket) -> list[str]:
    return [sys.executable, "-m", "autograder.kernel_start", folder, json.dumps(limits.as_dict()), str(line.fileno())]
