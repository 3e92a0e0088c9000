"""The judge's talk with a kernel during one check; `kernel_side` is the other end."""

from collections.abc import Callable
from time import monotonic

from autograder import checking, plain
from autograder.checking import LearnerError
from autograder.kernel import Ended, Kernel, KernelStopped
from autograder.replay import Kernels


class Stopped(LearnerError):
    """The kernel was stopped during a call, for the reason in `message`."""

    def __str__(self) -> str:
        return self.message


class _FromKernel(dict):
    """What a kernel sent. Where a key is missing, it is not what the adapter makes, which is no fault of the check."""

    def __missing__(self, key: str) -> None:
        raise LearnerError("PlainError", f"an answer without {key!r}")

    @classmethod
    def of(cls, value: object) -> "_FromKernel":
        """`value`, which must be a dict."""
        if not isinstance(value, dict):
            raise plain.PlainError("expected a dict")
        return cls(value)


class Talk:
    """The calls of one check into the kernel. After the kernel stopped once, every further call fails at once."""

    def __init__(self, kernels: Kernels, adapters: str, exercise: str) -> None:
        self._kernels = kernels
        self._code = f"__import__('autograder.kernel_side').kernel_side.serve({adapters!r}, {exercise!r})"
        self._until = 0.0
        self._stop: Stopped | None = None
        self._is_open = False

    def call(self, payload: dict, answer: Callable[[dict], dict] | None = None) -> dict:
        """As checking.Call says. All calls of a check together have the time of one cell."""
        if self._stop:
            raise self._stop
        task = plain.encode({"payload": payload})
        try:
            with self._kernels as kernel:
                return self._exchange(kernel, task, answer)
        except KernelStopped as stop:
            self._stop, self._is_open = Stopped("Stopped", str(stop)), False
            raise self._stop from None
        except Ended as end:  # something that is no Exception, such as KeyboardInterrupt, went through the adapter
            self._is_open = False
            if end.args[0] == "nothing":
                raise LearnerError("RuntimeError", "the call ended without an answer") from None
            raise LearnerError(*end.args) from None
        except plain.PlainError as error:
            self._kernels.close()  # nothing that such a kernel sends can be made sense of
            self._is_open = False
            self._stop = Stopped("PlainError", f"Your code sent what is no answer: {error}")
            raise self._stop from None

    def close(self) -> None:
        """Tells the kernel that the check is over."""
        if not self._is_open:
            return
        try:
            with self._kernels as kernel:
                kernel.say(plain.encode(None), until := monotonic() + 10)
                kernel.heard(until)
            self._kernels.close()  # it asks for more, so it is not what we started
        except Ended:
            pass
        except (KernelStopped, plain.PlainError):
            self._kernels.close()

    def _exchange(self, kernel: Kernel, task: str, answer: Callable[[dict], dict] | None) -> dict:
        refused: Exception | None = None
        if not self._is_open:
            self._until = self._until or self._kernels.until()
            kernel.begin(self._code)
            self._hear(kernel, "ready")
            self._is_open = True
        kernel.say(task, self._until)
        while True:
            message = self._hear(kernel, "answer", "error", "ask", "refused")
            kind = message["kind"]
            if kind == "ask":
                if answer is None:
                    raise plain.PlainError("a question, where nobody answers")
                question = _FromKernel.of(message.get("question"))
                try:
                    reply = plain.encode({"answer": answer(question)})
                except Exception as error:
                    refused = refused or error
                    reply = plain.encode({"refused": str(error)[:checking.MAX_MESSAGE]})
                kernel.say(reply, self._until)
            elif refused:
                raise refused
            elif kind == "answer":
                return _FromKernel.of(message.get("value"))
            elif kind == "error":
                raise LearnerError(str(message.get("type"))[:80], str(message.get("message"))[:checking.MAX_MESSAGE])
            else:
                raise plain.PlainError("a refusal of a question that was not asked")

    def _hear(self, kernel: Kernel, *kinds: str) -> dict:
        message = kernel.heard(self._until)
        if not isinstance(message, dict) or message.get("kind") not in kinds:
            raise plain.PlainError(f"expected a message of the kinds {', '.join(kinds)}")
        return message
