"""What instructors and contributors call refuses bad input in our own words, and leaves files as they were.

`ENTRY` names the modules that they call; the others are called by these. A public function of an entry module that is
new and has no bad calls fails the second test.
"""

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder import __main__, bundle, exercises, grade, release, solutions, sources
from autograder.checking import Result, Tally, run_check
from autograder.course import Course
from autograder.limits import Limits
from autograder.mutants import Mutant
from tests.bad_input import FLOATS, LISTS, NOT_INTS, NOT_TEXTS, ODD, TEXTS, Bad, argument, below, check, members

ENTRY = ("bundle", "checking", "course", "exercises", "grade", "limits", "mutants", "release", "solutions", "sources")
NOTEBOOK = "00_start_here"
UNKNOWN = st.sampled_from(["00", "99_none", "", "../solutions", "00_START_HERE"])

FEW = settings(max_examples=8, deadline=None, derandomize=True, database=None,
               suppress_health_check=[HealthCheck.too_slow])
NO_FILE = st.sampled_from(["00", "99_none", "", "00_START_HERE"])
LISTED = ("there is no", NOTEBOOK)


def of_notebook(function: Any) -> list[Bad]:
    """Bad names of a notebook: unknown ones, and values that are no names."""
    return [Bad(function, UNKNOWN, LISTED, shows=False), Bad(function, NOT_TEXTS, (NOTEBOOK,), shows=False)]


BAD: dict[str, list[Bad]] = {
    "course.Course": [argument(Course, "root", NOT_TEXTS, TEXTS)],
    "limits.Limits": [Bad(lambda value, name=name: Limits(**{name: value}), NOT_INTS | below(1),
                          (f"the limit {name} must be an int of at least 1",), shows=False) for name in vars(Limits())],
    "limits.Limits.with_changes": [
        Bad(lambda name: Limits.with_changes({name: 1}), TEXTS, ("c.Judge.limits sets", "there are memory, processes")),
        Bad(lambda value: Limits.with_changes({"disk": value}), NOT_INTS | below(1), ("the limit disk must be",),
            shows=False),
    ],
    "mutants.Mutant.apply": [
        Bad(Mutant("f", "a", "b", "m").apply, ODD | FLOATS, ("source must be the text",), shows=False),
        Bad(Mutant("f", "a", "b", "m").apply, st.sampled_from(["", "aa", "xyz"]), ("must occur once", "f/m"),
            shows=False),
    ],
    "solutions.load": [
        *of_notebook(lambda notebook: solutions.load(notebook, "f")),
        Bad(partial(solutions.load, "04_scheduler"), TEXTS, ("04_scheduler define no", "StallFreeScheduler"),
            error=KeyError),
    ],
    "solutions.namespace": [
        *of_notebook(solutions.namespace),
        Bad(lambda value: solutions.namespace(NOTEBOOK, {value: ""}), st.sampled_from(["", "none"]),
            ("has no solution cells",), shows=False, error=KeyError),
    ],
    "sources.read": of_notebook(sources.read),
    "sources.solution_cell": [
        *of_notebook(lambda name: sources.solution_cell(name, "f")),
        Bad(partial(sources.solution_cell, NOTEBOOK), TEXTS, ("has no solution cell",), error=ValueError),
    ],
    "sources.definition": of_notebook(lambda name: sources.definition(name, "f")),
    "exercises.exercises": of_notebook(exercises.exercises),
    "exercises.mutants": of_notebook(exercises.mutants),
    "exercises.checks_module": [Bad(exercises.checks_module, NO_FILE, ("is missing",), shows=False, error=OSError)],
    "exercises.adapters_module": [Bad(exercises.adapters_module, NO_FILE, ("is missing",), shows=False, error=OSError)],
    "exercises.grade": [
        Bad(lambda value: exercises.grade(value, "f", {}), NO_FILE, ("is missing",), shows=False, error=OSError),
        Bad(lambda value: exercises.grade("04_scheduler", value, {}), TEXTS, ("must define a function",), shows=False),
    ],
    "release.release": [Bad(lambda value: release.release(only=[value]), UNKNOWN, LISTED, shows=False,
                            error=release.ReleaseError),
                        Bad(lambda value: release.release(only=value), st.just(NOTEBOOK), ("only must be a list",),
                            shows=False, error=release.ReleaseError)],
    "release.build_solutions": [Bad(lambda value: release.build_solutions(only=[value]), UNKNOWN, LISTED, shows=False,
                                    error=release.ReleaseError)],
    "release.learner_notebooks": [Bad(lambda value: release.learner_notebooks(Course(), [value]), UNKNOWN, LISTED,
                                      shows=False)],
    "release.write_sources": [Bad(lambda value: release.write_sources(Course(), [value], Path("/nowhere")), UNKNOWN,
                                  LISTED, shows=False)],
    "bundle.bundle": [Bad(lambda value: bundle.bundle(Path("/nowhere/bundle.zip"), value), UNKNOWN.filter("00".__ne__),
                          ("through must be one of 00, 01",))],
    "grade.Options": [
        argument(grade.Options, "jobs", NOT_INTS.filter(lambda value: value is not None), below(1)),
        *(argument(grade.Options, name, st.integers(), TEXTS) for name in ("sandbox", "again")),
        argument(grade.Options, "dask_address", FLOATS, LISTS),
    ],
    "grade.grade": [
        argument(grade.grade, "folder", NOT_TEXTS, TEXTS),
        Bad(grade.grade, st.just(Path("/nowhere")), ("there is no folder and no zip /nowhere",), shows=False,
            error=FileNotFoundError),
        argument(partial(grade.grade, Path("/")), "output", NOT_TEXTS, TEXTS),
        Bad(lambda value: grade.grade(Path("/"), output=value), st.just(Path("/tmp")), ("output must be a file",),
            shows=False, error=OSError),
        Bad(lambda value: grade.grade(Path(__file__).parent, value), UNKNOWN, ("assignment must be one of", NOTEBOOK),
            shows=False),
    ],
    "checking.run_check": [
        Bad(lambda value: run_check(lambda call: value, lambda payload: payload), ODD | TEXTS,
            ("a check must return a Result",), shows=False),
        Bad(lambda value: run_check(lambda call: Result(value, "m"), lambda payload: payload),
            TEXTS | st.none() | st.sampled_from([-0.1, 1.1, float("nan")]), ("a share from 0 to 1",), shows=False),
    ],
    "checking.Tally": [
        Bad(lambda value: Tally(*value).result(), st.just([]), ("recorded no case",), shows=False),
        Bad(lambda value: Tally(value).result(), st.sampled_from(["a", "b"]), ("without a case of",), shows=False),
    ],
}
BELIEVED = {
    "bundle.wheel": "a folder is made where there is none", "release.check": "takes a course alone",
    "grade.register": "called by grade", "grade.table": "takes what grade returned",
    "limits.Limits.overrun": "called by a kernel's watch",
    **dict.fromkeys([f"sources.{name}" for name in ("grade_id", "is_solution", "is_answer", "is_check", "tags")],
                    "asked of the cells that nbformat read"),
    "exercises.of_check": "any text is an id",
    **dict.fromkeys(["mutants.Mutant", "mutants.Alternative", "exercises.Exercise", "grade.Row", "checking.Result"],
                    "a record; those who use it check it"),
    **dict.fromkeys(["checking.Tally.equal", "checking.Tally.close", "checking.Tally.true", "checking.Tally.error",
                     "checking.direct_call", "checking.points", "checking.report"],
                    "takes any answer; the rest is written in a check, and a check that breaks down gives no mark"),
}
CASES = [pytest.param(bad, id=f"{name} {number}") for name, calls in BAD.items() for number, bad in enumerate(calls)]


@pytest.mark.parametrize("bad", CASES)
@FEW
@given(data=st.data())
def test_bad_input_is_refused_in_our_own_words(bad: Bad, data: Any) -> None:
    check(bad, data.draw(bad.values, label="value"))


def test_every_entry_point_has_its_bad_calls() -> None:
    found = {name for module in ENTRY for name, _ in members(importlib.import_module(f"autograder.{module}"), module)}
    assert not found - {*BAD, *BELIEVED}, "add bad calls to BAD, or say why there are none in BELIEVED"
    assert not {*BAD, *BELIEVED} - found, "these are no longer public"


@pytest.mark.parametrize("arguments, says", [
    (["release", "99_none"], "there is no notebook '99_none'; the notebooks are: 00_start_here"),
    (["solutions", "99_none"], "there is no notebook '99_none'; the notebooks are: 00_start_here"),
    (["grade", "/nowhere"], "there is no folder and no zip /nowhere"),
    (["grade", __file__], "neither a folder of submissions nor a zip"),
    (["grade", "/tmp", "--jobs", "0"], "--jobs must be at least 1, got 0"),
    (["grade", "/tmp", "--jobs", "-3"], "--jobs must be at least 1, got -3"),
    (["grade", "/tmp", "--backend", "dask"], "give both or neither"),
    (["grade", "/tmp", "--output", "/tmp"], "--output must be a file, /tmp is a folder"),
    (["grade", "/tmp", "--assignment", "99_none"], "--assignment must be one of 00_start_here"),
    (["bundle", "--through", "44"], "through must be one of 00, 01"),
    (["bundle", "--through", "00", "--output", "/tmp"], "--output must be a file, /tmp is a folder"),
])
def test_a_command_with_bad_arguments_says_what_is_allowed(arguments: list[str], says: str, tmp_path: Path,
                                                           capsys: pytest.CaptureFixture[str],
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert __main__.main(arguments) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize("arguments", [[], ["mark"], ["grade"], ["grade", "/tmp", "--jobs", "two"],
                                       ["grade", "/tmp", "--backend", "ray"], ["release", "--check", "--missing"]])
def test_what_the_parser_refuses_it_explains(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        __main__.main(arguments)
    assert "usage: python -m autograder" in capsys.readouterr().err


def test_a_root_without_a_course_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_ROOT", str(tmp_path))
    assert __main__.main(["release", "--check"]) == 2
    assert f"{tmp_path} holds no course" in capsys.readouterr().err and not list(tmp_path.iterdir())
