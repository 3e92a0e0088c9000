"""What runs in the learner's kernel during a check: it takes payloads from the judge and calls the adapter.

The judge believes nothing that comes from here: the learner's code shares this process and may forge every word.
Messages travel over the `line`, as `plain` text:

    kernel: {"kind": "ready" | "answer" | "error" | "ask" | "refused", ...}
    judge:  {"payload": ...} for the next call, {"answer": ...} or {"refused": why} to a question, None at the end
"""

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from autograder import line, plain
from autograder.checking import LearnerError, direct_call


class Refused(Exception):
    """The judge did not answer a question of the adapter; it knows why."""


def serve(adapters: str, exercise: str) -> None:
    """Answers the calls of one check with the function `exercise` of the file `adapters`, until told to stop."""
    from IPython import get_ipython

    def exchange(message: dict) -> Any:
        line.of_this_kernel.send(plain.encode(message))
        return plain.decode(line.of_this_kernel.receive())

    def ask(question: dict) -> dict:
        reply = exchange({"kind": "ask", "question": question})
        if "refused" in reply:
            raise Refused(reply["refused"])
        return reply["answer"]

    line.of_this_kernel.forget()
    message: dict = {"kind": "ready"}
    call = direct_call(getattr(adapters_at(adapters), exercise), get_ipython().user_ns)
    while (task := exchange(message)) is not None:
        message = _answer(call, task["payload"], ask)


def _answer(call: Callable, payload: dict, ask: Callable[[dict], dict]) -> dict:
    try:
        return {"kind": "answer", "value": call(payload, ask)}
    except LearnerError as error:
        return {"kind": "error", "type": error.type_name, "message": error.message}
    except Refused:
        return {"kind": "refused"}


def adapters_at(path: str) -> ModuleType:
    """The adapters of one notebook: the file `path`, read once."""
    module = sys.modules.get(path)
    if module is None:
        spec = importlib.util.spec_from_file_location("adapters", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[path] = module
    return module
