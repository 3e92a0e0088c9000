"""Warm start, inside the sandbox: a process that holds torch and forks a kernel, in a sandbox of its own, on request.

The grader's side is `warm.py`. A request is one connection on the listening socket: the grader sends the name of a
folder, the limits and the kernel's end of its line to the judge; the keeper of the new kernel answers once (the grader
reads its process id from the credentials) and lives as long as the kernel. When the grader closes the connection, the
kernel is killed.
Standard library only up to `preload`: nested namespaces are tried before any time is spent.
"""

import contextlib
import ctypes
import fcntl
import gc
import glob
import importlib
import json
import os
import pkgutil
import random
import re
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable

KERNEL, KERNELS, ADAPTERS = "/kernel", "/kernels", "/course/adapters/*.py"
PRIVATE = ("/tmp", "/dev/shm", "/home/learner")  # an empty one for each kernel, in memory
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWIPC = 0x20000, 0x2000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
LAST_CAPABILITY = 40
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
# What a kernel imports when it starts, when it first shows a traceback, and when it first draws.
KERNEL_MODULES = (
    "torch", "matplotlib.pyplot", "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.debugger",
    "ipykernel.zmqshell", "psutil", "faulthandler", "pdb", "sqlite3", "tornado.platform.asyncio",
    "matplotlib_inline.backend_inline", "IPython.core.completerlib", "IPython.core.magics.execution",
    "IPython.core.oinspect", "IPython.core.debugger", "IPython.core.logger", "IPython.extensions.storemagic",
    "asttokens", "stack_data", "pygments.console", "pygments.formatters.html", "pygments.formatters.terminal256",
    "pygments.lexers.python", "pygments.styles",
)

_libc = ctypes.CDLL(None, use_errno=True)


def main(listener: socket.socket, ready: int) -> None:
    """Forks kernels for ever. Writes one byte to the file descriptor `ready`: `y`, or `n` where nesting fails."""
    nests = _nests()
    os.write(ready, b"y" if nests else b"n")
    os.close(ready)
    if not nests:
        return
    gc.disable()  # imports make no rubbish, and the collector would look through all they make again and again
    preload()
    gc.enable()
    _call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)  # no kernel may look into this process
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are nobody's business
    gc.collect()
    gc.freeze()  # else the collector would touch, and so copy, every page
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _leave(keep, connection)
        connection.close()


def preload() -> None:
    """Imports what kernels need most."""
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    import course_lib

    names = [f"course_lib.{module.name}" for module in pkgutil.iter_modules(course_lib.__path__)]
    for name in [*KERNEL_MODULES, *names, "autograder.kernel_side", "autograder.kernel_app"]:
        try:
            importlib.import_module(name)
        except Exception:
            continue  # a kernel that needs it will say so
    warm_up()


def warm_up() -> None:
    """Does what takes a process longer the first time than later."""
    for first in (_first_traceback, _first_figure, _first_model, *map(_first_use, sorted(glob.glob(ADAPTERS)))):
        try:
            first()
        except Exception:
            continue  # a kernel that needs it will do it by itself


def _first_traceback() -> None:
    from IPython.core.ultratb import VerboseTB

    try:
        exec(compile("raise RuntimeError", "<cell>", "exec"))  # of a file that no module has: all modules are looked at
    except RuntimeError:
        VerboseTB(theme_name="neutral").structured_traceback(*sys.exc_info())  # a kernel's colours


def _first_figure() -> None:
    from matplotlib.backends import backend_registry

    backend_registry.resolve_backend("inline")  # looks through every installed package


def _first_model() -> None:
    from course_lib.model import SequenceChunk
    from course_lib.recite import reciting_model

    model = reciting_model()
    model([SequenceChunk([1, 2, 3], model.new_cache(4))])  # torch sets up each operation when it is first used


def _first_use(adapters: str) -> Callable[[], None]:
    def use() -> None:
        from autograder.kernel_side import adapters_at

        for first in getattr(adapters_at(adapters), "WARM_UP", ()):
            first()

    return use


def keep(connection: socket.socket) -> None:
    """Starts one kernel in namespaces of its own, and ends with it, or when the grader hangs up."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    text, [line], _, _ = socket.recv_fds(connection, 65536, 1)
    request = json.loads(text)
    _call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)  # else an ordinary user may not write this process's uid_map
    isolate(request["folder"], request["limits"]["disk"])
    _call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    kernel = os.fork()
    if kernel == 0:
        connection.close()
        _leave(become_kernel, request["limits"], line)
    os.close(line)
    try:
        ended = os.pidfd_open(kernel)
        connection.sendall(b"started")
        select.select([connection, ended], [], [])
    finally:
        os.kill(kernel, signal.SIGKILL)
        os.waitpid(kernel, 0)


def isolate(folder: str, size: int) -> None:
    """Moves this process (its next child, for process ids) into new namespaces that hold one kernel's `folder`."""
    user, group = os.getuid(), os.getgid()
    _call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP)
    with contextlib.suppress(OSError), socket.socket() as any_socket:
        # The loopback device, over which what a forked process prints comes to its kernel.
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP | IFF_RUNNING))
    for file, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{file}", "w") as out:
            out.write(text)
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    if folder:
        _mount(f"{KERNELS}/{folder}", KERNEL, None, MS_BIND)
    for path in (KERNELS, *PRIVATE):
        if path == "/home/learner":
            fonts = _read_fonts()
        _mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},mode=700")
    _write_fonts(fonts)
    with open("/proc/sys/user/max_user_namespaces", "w") as out:
        out.write("0")  # learners' code has no use for more


def become_kernel(limits: dict, line: int) -> None:
    """Gives up all rights and what the zygote left in memory that should differ, and runs the kernel."""
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if _libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV, None):
        pass  # as root, bubblewrap has covered parts of /proc; then the numbers of other processes stay visible
    bound_processes(8 * limits["processes"])
    drop_capabilities()
    os.setsid()
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, 2)  # the zygote's is a file, in which kernels could read and spoil what others write
    os.close(null)
    os.chdir("/home/learner")
    _call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    importlib.import_module("autograder.kernel_start").start(KERNEL, limits, line)


def bound_processes(number: int) -> None:
    """Lets this process's own namespace hold so many processes and threads, also where root grades, whom RLIMIT_NPROC
    does not bind. Linux 6.14 gave each namespace a bound of its own; before, this would change the whole machine's."""
    if tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 14):
        with contextlib.suppress(OSError), open("/proc/sys/kernel/pid_max", "w") as out:
            out.write(str(max(number, 301)))  # the least that Linux takes


def drop_capabilities() -> None:
    """Gives up every capability in this process's user namespace, for ever."""
    for capability in range(LAST_CAPABILITY + 1):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread
    _call("capset", header, (ctypes.c_uint32 * 6)())


def _nests() -> bool:
    """Whether all that `keep` does works here."""
    if any(path.startswith(f"{folder}/") for path in (sys.prefix, sys.base_prefix, *sys.path) for folder in PRIVATE):
        return False  # the kernels' own empty folders would hide Python
    child = os.fork()
    if child == 0:
        _leave(_try_isolation)
    return os.waitpid(child, 0)[1] == 0


def _try_isolation() -> None:
    isolate("", 2**20)
    child = os.fork()
    if child == 0:
        _leave(drop_capabilities)
    if os.waitpid(child, 0)[1]:
        raise OSError("capabilities could not be dropped")


def _leave(function, *arguments: object) -> None:
    """Runs `function` and ends the process; never returns into the loop of the process that forked it."""
    status = 1
    try:
        function(*arguments)
        status = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)


def _read_fonts() -> dict[str, bytes]:
    folder = "/home/learner/.cache/matplotlib"
    found = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        with open(f"{folder}/{name}", "rb") as file:
            found[name] = file.read()
    return found


def _write_fonts(fonts: dict[str, bytes]) -> None:
    os.makedirs("/home/learner/.cache/matplotlib")
    for name, content in fonts.items():
        with open(f"/home/learner/.cache/matplotlib/{name}", "wb") as file:
            file.write(content)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    _call("mount", source.encode(), target.encode(), kind and kind.encode(), flags, options and options.encode())


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
