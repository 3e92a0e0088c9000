"""Submissions that end, block or flood what runs them."""

from tests.autograder.adversarial.kind import ALL, REST, RIGHT, Kind

ENDED = "ended the process in which it ran"
TIME = "longer than its time limit"


def _called(*lines: str) -> str:
    """A solution that does this when it is called."""
    return "def halves(numbers):\n" + "\n".join(f"    {line}" for line in lines) + "\n    return [7, 7]\n"


KINDS = [
    Kind("exits_when_called", _called("import os", "os._exit(0)"), REST, ENDED),
    Kind("exits_in_cell", "import os\nos._exit(0)", REST, ENDED),
    Kind("quits_politely", "exit()", REST, "ended its own process"),
    Kind("raises_system_exit", _called("raise SystemExit(0)"), REST, "Your code raised SystemExit"),
    Kind("raises_keyboard_interrupt", _called("raise KeyboardInterrupt('now')"), REST, "KeyboardInterrupt"),
    Kind("crashes", _called("import ctypes", "ctypes.string_at(0)"), REST, ENDED),
    Kind("loops_when_called", _called("while True: pass"), REST, TIME),
    Kind("loops_in_cell", """
while True:
    try:
        while True: pass
    except BaseException:
        continue
""", REST, TIME),
    Kind("sleeps", _called("import time", "time.sleep(1000)"), REST, TIME),
    Kind("answers_without_end", "def halves(numbers):\n    import itertools\n    return itertools.repeat(0)", REST,
         "halves: 0 of 3 points."),
    Kind("memory", _called("return [len(bytearray(8 * 2 ** 30))]"), REST, "MemoryError"),
    Kind("memory_of_children", """
import os, time
def halves(numbers):
    for _ in range(6):
        if os.fork() == 0:
            block = bytearray(b"x") * (500 * 2 ** 20)
            time.sleep(1000)
    time.sleep(1000)
""", REST, "GiB of memory"),
    Kind("fork_bomb", _called("import os", "while True: os.fork()"), REST, "halves: 0 of 3 points."),
    Kind("thread_bomb", _called("import threading, time", "while True: threading.Thread(target=time.sleep, "
                                "args=(1000,), daemon=True).start()"), REST, "halves: 0 of 3 points."),
    Kind("leaves_children", """
import subprocess
subprocess.Popen(["sleep", "31415"], start_new_session=True)
subprocess.Popen("(setsid sleep 31415 &)", shell=True)
""" + RIGHT, ALL, "All requirements are met."),
    Kind("one_long_line", "print('x' * 80_000_000)\n" + RIGHT, REST, "wrote too much output"),
    Kind("many_lines", "for number in range(2_000): print(f'{number} lines of much the same\\n' * 30)\n" + RIGHT, ALL,
         "Output truncated"),
    Kind("floods_when_called", _called("import os", "while True: os.write(1, b'x' * 65536)"), REST,
         "halves: 0 of 3 points."),
    Kind("large_file", """
try:
    with open("large", "wb") as file:
        for _ in range(200):
            file.write(bytes(2 ** 20))
    print("REACHED")
except OSError as error:
    print("file refused:", error)
""" + RIGHT, ALL, "file refused:"),
    Kind("many_files", """
try:
    for number in range(20):
        with open(f"/tmp/{number}", "wb") as file:
            file.write(bytes(50 * 2 ** 20))
    print("REACHED")
except OSError as error:
    print("file refused:", error)
""" + RIGHT, ALL, "file refused:"),
    Kind("fills_the_shared_folder", """
import time
for number in range(8):
    with open(f"/kernel/{number}", "wb") as file:
        file.write(b"x" * (60 * 2 ** 20))
time.sleep(1000)
""", REST, "wrote too much into its working folders"),
    Kind("removes_its_sockets", """
import os
for number in range(1, 6):
    os.unlink(f"/kernel/ipc-{number}")
    os.symlink("/etc/passwd", f"/kernel/ipc-{number}")
""" + RIGHT, ALL, "All requirements are met."),
    Kind("locks_its_folder", "import os\nos.mkdir('/kernel/x')\nos.chmod('/kernel/x', 0)\nos.chmod('/kernel', 0)\n"
         + RIGHT, ALL, "All requirements are met."),
    Kind("closes_everything", _called("import os", "os.closerange(0, 4096)"), REST, "halves: 0 of 3 points."),
    Kind("kills_everyone", """
import os, signal
for process in [os.getppid(), *range(2, 200), -1]:
    try:
        if process not in (0, os.getpid()):
            os.kill(process, signal.SIGKILL)
    except OSError:
        pass
""" + RIGHT, ALL, "All requirements are met."),
    Kind("exits_later", """
import os, threading
threading.Timer(0.2, os._exit, [0]).start()
import time
time.sleep(5)
""", REST, ENDED),
]
