"""Starts a submission's kernel, under its limits, in the process that becomes the kernel.

Part of what the sandbox holds: nothing here is secret, and nothing here imports what is.
"""

import json
import os
import sys
from collections.abc import Mapping

KERNEL_FILE = "kernel.json"  # in the kernel's folder: where its sockets lie


def start(folder: str, limits: Mapping[str, int], number: int) -> None:
    """Becomes the kernel whose connection file lies in `folder`; returns when the kernel ends.

    `number` is the file descriptor of its end of the line to the judge.
    """
    from autograder import line
    from autograder.limits import Limits

    line.of_this_kernel = line.Line(number)

    # ipykernel imports its debugger, which would write three lines about itself.
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    from autograder.kernel_app import KernelApp

    Limits(**limits).apply()
    KernelApp.connection_path = f"{folder}/{KERNEL_FILE}"
    app = KernelApp.instance()
    app.initialize([])
    if "matplotlib.pyplot" in sys.modules:  # imported before the kernel was there, which then cannot show figures
        app.shell.enable_matplotlib("inline")
    app.start()


if __name__ == "__main__":
    start(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))
