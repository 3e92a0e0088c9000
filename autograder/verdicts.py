"""What a hidden check said about an exercise, read back from an autograded notebook: for feedback and reports."""

import re
from dataclasses import dataclass

from nbformat import NotebookNode

from autograder import preprocessors
from autograder.checking import NOT_WRITTEN, CheckCrashed, Result

KEY = "verdict"  # in the metadata of the output that holds the mark
CAUSE = re.compile(r"^Likely cause: +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """The message to the learner, and the misconception where the check recognised one."""

    message: str
    misconception: str | None = None
    crashed: bool = False  # the check itself broke down: a person has to look

    @property
    def is_unwritten(self) -> bool:
        """Whether the exercise was left as it was released."""
        return NOT_WRITTEN in self.message

    @property
    def line(self) -> str:
        """The verdict in one line."""
        if self.misconception:
            return self.misconception
        if self.is_unwritten:
            return NOT_WRITTEN.partition(":")[0] + "."
        lines = [line.strip() for line in self.message.splitlines() if line.strip()]
        differences = [line.partition(":")[2].strip() for line in lines if line.startswith("First difference:")]
        # A message begins with the requirement that was not met, in a line of its own.
        return next(iter(differences or [line for line in lines if not line.endswith(":")] or lines), "")


def metadata(result: Result) -> dict:
    """The judge's note beside a mark; unlike the printed report it need not be told from what learners print."""
    return {KEY: {"message": result.message, "misconception": result.misconception}}


def of(cell: NotebookNode) -> Verdict | None:
    """The verdict in the outputs of a check cell; None where it was not run.

    Where stock nbgrader ran the check in the learner's kernel there is only the printed text, or the exception.
    """
    printed = ""
    for output in cell.get("outputs", []):
        if note := output.get("metadata", {}).get(KEY):
            return Verdict(note["message"], note["misconception"])
        if output.output_type == "error":
            if output.ename == preprocessors.CRASH:
                return Verdict(CheckCrashed()._render_traceback_()[0].partition(": ")[2].capitalize(), crashed=True)
            unwritten = output.ename == "NotImplementedError"
            return _from_text(NOT_WRITTEN if unwritten else output.evalue or output.ename)
        if output.output_type == "stream":
            printed += output.text
    report = re.split(r"^\w+: [\d.]+ of [\d.]+ points\.\n", printed, flags=re.MULTILINE)
    return _from_text(report[-1]) if len(report) > 1 else None


def _from_text(text: str) -> Verdict:
    causes = CAUSE.findall(text)
    return Verdict(CAUSE.sub("", text).strip(), causes[-1] if causes else None)
