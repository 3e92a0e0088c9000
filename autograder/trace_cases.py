"""Cases of functions that read a trace: ask for all answers first, then find the one mistake that explains them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autograder.checking import Call, LearnerError, Tally
from course_lib.trace import RequestInfo, Trace

TOLERANCE = 1e-5  # seconds; float32 tensors are as good as lists

# What a common mistake would answer, by its name; the request is None where a function is about the whole trace.
Wrong = Mapping[str, Callable[[Trace, Any], Any]]


@dataclass
class Case:
    """One call and its right answer, and after `run_cases` what came: an answer or an error."""

    requirement: str
    trace: Trace
    info: RequestInfo | None
    expected: Any
    got: Any = None
    error: LearnerError | None = None

    def given(self, name: str) -> str:
        """The call in words, with the events that matter."""
        if self.info is None:
            return f"{name}(trace), {len(self.trace.iterations)} iterations\n{_log(self.trace)}"
        request_id = self.info.request_id
        return f'{name}(trace, "{request_id}")\n{_log(self.trace, self.info)}'


def _log(trace: Trace, info: RequestInfo | None = None) -> str:
    """The trace in a few lines: of one request, or of all."""
    infos = [info] if info else list(trace.requests)
    lines = [f"  {one.request_id}: arrives {one.arrival_time:.3f} s, {one.num_prompt_tokens} prompt tokens"
             for one in infos]
    for step in trace.iterations:
        for work in step.work:
            if info is None or work.request_id == info.request_id:
                token = ", gives a token" if work.samples_token else ""
                lines.append(f"  iteration {step.index}, {step.start:.3f}–{step.end:.3f} s: {work.request_id}, "
                             f"{work.num_tokens} from {work.start_pos}{token}")
    return "\n".join(lines[:14] + ["  …"] * (len(lines) > 14))


def run_cases(call: Call, cases: list[Case]) -> None:
    """Asks for every case's answer. Code that is not written yet ends the check."""
    for case in cases:
        payload = {"trace": case.trace.to_json()} | ({"request_id": case.info.request_id} if case.info else {})
        try:
            case.got = call(payload)["value"]
        except LearnerError as error:
            if error.type_name == "NotImplementedError":
                raise
            case.error = error


def common_cause(cases: list[Case], wrong: Wrong) -> str | None:
    """The name of the mistake that explains every answer at once, right ones included; None if none does."""
    for name, answer in wrong.items():
        if all(case.error is None and _same(case.got, answer(case.trace, case.info)) for case in cases):
            return name
    return None


def _same(got: Any, expected: Any) -> bool:
    if expected is None:
        return got is None
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(_same, got, expected))
    return isinstance(got, int | float) and abs(got - expected) < TOLERANCE


def all_right(cases: list[Case]) -> bool:
    """Whether every case has come out right."""
    return all(case.error is None and _same(case.got, case.expected) for case in cases)


def tally_cases(tally: Tally, name: str, cases: list[Case], cause: str | None) -> None:
    """Books every case; `cause` is the misconception behind those that failed."""
    for case in cases:
        given = case.given(name)
        if case.error:
            tally.error(case.requirement, case.error, given, cause)
        else:
            wrong = [(case.got, cause)] if cause else []
            tally.close(case.requirement, case.got, case.expected, given=given, wrong=wrong, tolerance=TOLERANCE)
