"""`python -m autograder`: release notebooks, build the solved ones, grade a folder of submissions, report on it."""

import argparse
import contextlib
import gc
import sys
import zipfile
from pathlib import Path

from autograder.course import ROOT_VARIABLE, Course


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m autograder", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("release", help="make notebooks/ from solutions/",
                                  description="Makes the learner's notebooks from solutions/. Without an option, "
                                              "notebooks that are there are replaced, edited or not.")
    command.add_argument("names", nargs="*", metavar="NAME", help="only these, e.g. 02_chunked_prefill")
    choice = command.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="write nothing; fail if notebooks/ is out of date")
    choice.add_argument("--missing", action="store_true", help="make only what is missing; edited notebooks stay")

    command = commands.add_parser("solutions", help="run the solved notebooks",
                                  description="Runs solved notebooks; writes each and its page to build/solutions/.")
    command.add_argument("names", nargs="*", metavar="NAME", help="only these, e.g. 02_chunked_prefill")

    command = commands.add_parser(
        "grade", help="grade a folder of submissions",
        description="Grades every submission in FOLDER, writes feedback pages to autograder/feedback/ and marks to "
                    "a CSV file. FOLDER holds <student>/<assignment>/<assignment>.ipynb or "
                    "<student>/<assignment>.ipynb, or is a zip as Canvas or Moodle make it for a class. The same "
                    "folder can be graded again.")
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument("--assignment", help="only this one, e.g. 02_chunked_prefill (default: all that are found)")
    command.add_argument("--output", type=Path, default=Path("grades.csv"), help="the CSV file (default: %(default)s)")
    command.add_argument("--jobs", type=int, metavar="N", help="so many at a time (default: one for each core)")
    command.add_argument("--again", action="store_true", help="also what is graded already and has not changed")
    command.add_argument("--no-sandbox", action="store_true",
                         help="run submissions with your own rights; only for those you would run by hand")
    command.add_argument("--backend", choices=["local", "dask"], default="local", help="default: %(default)s")
    command.add_argument("--address", help="of the dask scheduler, e.g. tcp://host:8786; its workers must see the "
                                           "course's folder under the same path")

    command = commands.add_parser(
        "report", help="report on what was graded; marks for Canvas and Moodle",
        description="Brings the marks file up to what persons have marked since, and writes to autograder/reports/ a "
                    "page and a CSV file for each assignment, and in lms/ marks for Canvas and Moodle.")
    command.add_argument("--marks", type=Path, default=Path("grades.csv"), help="the file that grading wrote "
                                                                                "(default: %(default)s)")

    command = commands.add_parser("bundle", help="make the zip that learners get",
                                  description="Notebooks, course_lib, environment and README; no solutions.")
    command.add_argument("--through", help="the last notebook to include, e.g. 04 (default: all)")
    command.add_argument("--output", type=Path, default=Path("build/bundle.zip"), help="default: %(default)s")

    commands.add_parser("wheel", help="build the wheel that Colab takes, in build/wheel/",
                        description="Builds the wheel of course_lib, in build/wheel/.")

    options = parser.parse_args(arguments)
    course = Course.current()
    if not course.names():
        print(f"{course.root} holds no course: there is no solutions/NN_name/NN_name.py in it; unset {ROOT_VARIABLE}, "
              "or set it to the folder of one", file=sys.stderr)
        return 2
    return COMMANDS[options.command](options)


def _release(options: argparse.Namespace) -> int:
    from autograder import release

    if options.check:
        stale = release.check()
        for name in stale:
            print(f"{name}: not what the release makes; run `python -m autograder release`")
        return 1 if stale else 0
    if mistake := _unknown(options.names):
        return mistake
    written = release.release(missing_only=options.missing, only=options.names)
    print(f"notebooks written: {', '.join(written) or 'none'}")
    return 0


def _unknown(names: list[str]) -> int:
    """The exit status of a command whose notebooks do not all exist, which it says; 0 when they do."""
    known = Course.current().names()
    if unknown := [name for name in names if name not in known]:
        print(f"there is no notebook {unknown[0]!r}; the notebooks are: {', '.join(known)}", file=sys.stderr)
        return 2
    return 0


def _solutions(options: argparse.Namespace) -> int:
    from autograder import release

    if mistake := _unknown(options.names):
        return mistake
    for path in release.build_solutions(only=options.names):
        print(path)
    return 0


def _grade(options: argparse.Namespace) -> int:
    # jsonschema would spend two seconds on a grammar for the formats of addresses, which notebooks do not use.
    sys.modules.setdefault("rfc3987_syntax", None)
    from autograder import warm
    from autograder.sandbox import SandboxError

    if mistake := _mistake(options):
        print(mistake, file=sys.stderr)
        return 2
    try:
        with contextlib.ExitStack() as stack:
            start = None
            if options.backend == "local":  # under way while this process imports nbgrader
                start = stack.enter_context(warm.Start(Course.current(), not options.no_sandbox))
            gc.disable()  # imports make no rubbish, and the collector would look through all they make again and again
            from autograder import grade, parallel, progress, release

            gc.freeze()  # nor need it look through them from now on, or at the end
            gc.enable()
            how = grade.Options(sandbox=not options.no_sandbox, jobs=options.jobs, again=options.again,
                                dask_address=options.address)
            try:
                rows = grade.grade(options.folder, options.assignment, options.output, options=how, start=start)
            except (parallel.WorkerLost, release.ReleaseError, progress.Busy, ValueError) as error:
                print(error, file=sys.stderr)
                return 1
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    print(grade.table(rows))
    print(f"marks: {options.output}; feedback: {Course.current().grading / 'feedback'}")
    return 0


def _report(options: argparse.Namespace) -> int:
    from autograder import progress, report

    course = Course.current()
    try:
        with progress.alone(course):
            written = report.write_all(course, options.marks)
    except (progress.Busy, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in written:
        print(path.relative_to(course.root))
    return 0


def _mistake(options: argparse.Namespace) -> str | None:
    if not options.folder.exists():
        return f"there is no folder and no zip {options.folder}"
    if not options.folder.is_dir() and not zipfile.is_zipfile(options.folder):
        return f"{options.folder} is neither a folder of submissions nor a zip of them"
    if options.output.is_dir():
        return f"--output must be a file, {options.output} is a folder"
    if options.assignment is not None and options.assignment not in Course.current().names():
        return f"--assignment must be one of {', '.join(Course.current().names())}; got {options.assignment}"
    if options.jobs is not None and options.jobs < 1:
        return f"--jobs must be at least 1, got {options.jobs}"
    if (options.backend == "dask") != (options.address is not None):
        return "--backend dask and --address tcp://host:port go together: give both or neither"
    return None


def _bundle(options: argparse.Namespace) -> int:
    from autograder import bundle

    if options.output.is_dir():
        print(f"--output must be a file, {options.output} is a folder", file=sys.stderr)
        return 2
    try:
        members = bundle.bundle(options.output, options.through)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.output}: {len(members)} files")
    return 0


def _wheel(options: argparse.Namespace) -> int:
    from autograder import bundle

    print(bundle.wheel(Path("build/wheel")))
    return 0


COMMANDS = {"release": _release, "solutions": _solutions, "grade": _grade, "report": _report, "bundle": _bundle,
            "wheel": _wheel}

if __name__ == "__main__":
    sys.exit(main())
