"""The instructor's report on an assignment, as a page and as CSV: marks, misconceptions, and what is left to do."""

import base64
import csv
import io
import json
import math
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader
from matplotlib.figure import Figure
from traitlets.config import Config

from autograder import exercises, lms_marks, marks, sources, verdicts
from autograder.course import Course
from autograder.feedback import TEMPLATES
from autograder.marks import Mark

SHOWN_CAUSES = 5  # misconceptions of an exercise that the CSV names; the page has all


@dataclass
class ExerciseReport:
    """How one exercise went. `causes` counts the misconceptions that the check recognised."""

    name: str
    is_written: bool
    points: float
    marked: int = 0
    waiting: int = 0
    mean_share: float | None = None
    full_share: float | None = None
    causes: list[tuple[str, int]] = field(default_factory=list)
    unwritten: int = 0
    unexplained: int = 0  # lost marks, written, and no misconception recognised


@dataclass
class Report:
    """What is known about the submissions to one assignment."""

    assignment: str
    max_score: float
    statuses: list[tuple[str, int]]
    bins: list[tuple[str, int, int]]  # marks, final ones, others
    final: list[float]
    exercises: list[ExerciseReport]  # the hardest first, then those that nobody has marked
    waiting: list[tuple[str, list[str]]]  # exercise, students
    trouble: list[tuple[str, str]]  # student, status with the reason
    repairs: list[tuple[str, list[str]]]  # student, what the pre-check repaired


def write_all(course: Course, marks_file: Path, settings: Config | None = None) -> list[Path]:
    """Renews the marks file, and writes from it a report for each assignment and the files for an LMS.

    They go to autograder/reports/. `settings` go over nbgrader_config.py. Raises FileNotFoundError or ValueError where
    the marks file is missing or another.
    """
    lines = marks.renew(course, marks_file, settings)
    folder = course.grading / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for assignment in sorted({line["assignment"] for line in lines} & set(course.names())):
        report = collect(course, assignment, [line for line in lines if line["assignment"] == assignment])
        page = folder / f"{assignment}.html"
        page.write_text(render(report), encoding="utf-8")
        written += [page, _write_csv(folder / f"{assignment}.csv", report)]
    return written + lms_marks.write(course, lines, folder / "lms")


def collect(course: Course, assignment: str, lines: list[dict[str, str]]) -> Report:
    """The report on an assignment from its lines of the marks file, the gradebook and the autograded notebooks."""
    marked = {line["student_id"]: line for line in lines if line.get("score") and not
              line["status"].startswith(marks.UNMARKED)}
    found = [mark for mark in marks.of_assignment(course, assignment) if mark.student in marked]
    max_score = max((float(line["max_score"]) for line in marked.values()), default=0.0)
    waiting = defaultdict(list)
    for mark in found:
        if mark.waits:
            waiting[mark.exercise].append(mark.student)
    final = [float(line["score"]) for line in marked.values() if not line["status"].startswith(marks.MANUAL)]
    others = [float(line["score"]) for line in marked.values() if line["status"].startswith(marks.MANUAL)]
    checked = _prechecks(course, assignment)
    return Report(
        assignment, max_score, Counter(line["status"].partition(":")[0] for line in lines).most_common(),
        _bins(max_score, final, others), final, _exercises(course, assignment, found),
        sorted((name, sorted(students)) for name, students in waiting.items()),
        [(line["student_id"], line["status"]) for line in lines
         if line["status"].startswith((marks.REFUSED, marks.FAILED)) or marks.CRASHED in line["status"]],
        [(student, checked[student]["repairs"]) for student in sorted(marked)
         if checked.get(student, {}).get("repairs")],
    )


def render(report: Report) -> str:
    """The page, complete in itself."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True,
                              lstrip_blocks=True)
    environment.filters["percent"] = lambda share: "–" if share is None else f"{100 * share:.0f}%"
    mean = statistics.fmean(report.final) if report.final else None
    median = statistics.median(report.final) if report.final else None
    return environment.get_template("report.html.j2").render(
        report=report, picture=base64.b64encode(_histogram(report)).decode(), mean=mean, median=median,
        alt="; ".join(f"{label} marks: {final + others}" for label, final, others in report.bins))


def _exercises(course: Course, assignment: str, found: list[Mark]) -> list[ExerciseReport]:
    said = _verdicts(course, assignment, sorted({mark.student for mark in found}))
    reports = []
    for exercise in exercises.exercises(assignment, course):
        of_this = [mark for mark in found if mark.exercise == exercise.name]
        done = [mark for mark in of_this if not mark.waits]
        report = ExerciseReport(exercise.name, exercise.is_written, exercise.points, len(done),
                                len(of_this) - len(done))
        if done:
            report.mean_share = statistics.fmean(mark.score / mark.points for mark in done)
            report.full_share = sum(mark.score >= mark.points for mark in done) / len(done)
        causes = Counter()
        for mark in done:
            verdict = said.get((mark.student, exercise.name))
            if verdict is None or mark.score >= mark.points:
                continue
            if verdict.misconception:
                causes[verdict.misconception] += 1
            elif verdict.is_unwritten:
                report.unwritten += 1
            else:
                report.unexplained += 1
        report.causes = causes.most_common()
        reports.append(report)
    return sorted(reports, key=lambda one: math.inf if one.mean_share is None else one.mean_share)


def _verdicts(course: Course, assignment: str, students: list[str]) -> dict[tuple[str, str], verdicts.Verdict]:
    said = {}
    for student in students:
        path = course.grading / "autograded" / student / assignment / f"{assignment}.ipynb"
        try:
            notebook = nbformat.v4.reads(path.read_text())  # nbformat.reads would validate it, pictures and all
        except (OSError, ValueError):
            continue
        for cell in notebook.cells:
            if sources.is_check(cell) and not sources.is_solution(cell) and (verdict := verdicts.of(cell)):
                said[student, exercises.of_check(sources.grade_id(cell))] = verdict
    return said


def _prechecks(course: Course, assignment: str) -> dict[str, dict[str, Any]]:
    """Student -> what the pre-check noted, where it did."""
    found = {}
    for path in sorted((course.grading / "autograded" / ".precheck").glob(f"{assignment}--*.json")):
        try:
            note = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        found[path.stem.removeprefix(f"{assignment}--")] = note
    return found


def _bins(max_score: float, final: list[float], others: list[float]) -> list[tuple[str, int, int]]:
    """Ranges of marks, at most eleven of whole numbers, and how many have them; full marks stand by themselves."""
    width = max(1, math.ceil(max_score / 10))
    starts = range(0, math.ceil(max_score), width)

    def index(score: float) -> int:
        return len(starts) if score >= max_score else int(score // width)

    counts = [Counter(map(index, scores)) for scores in (final, others)]
    labels = [f"{start} to <{min(start + width, max_score):g}" for start in starts] + [f"{max_score:g}"]
    return [(label, counts[0][place], counts[1][place]) for place, label in enumerate(labels)]


def _histogram(report: Report) -> bytes:
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    labels, final, others = zip(*report.bins, strict=True)
    axes.bar(labels, final, color="#0072b2", label="final")
    if any(others):
        axes.bar(labels, others, bottom=final, color="#e69f00", hatch="//", edgecolor="white",
                 label="waits for a person")
        axes.legend(frameon=False)
    axes.set(xlabel="marks", ylabel="submissions")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(axis="x", labelrotation=30)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def _write_csv(path: Path, report: Report) -> Path:
    header = ["exercise", "kind", "points", "marked", "waiting", "mean_share", "full_marks_share", "not_written",
              "no_known_misconception", "misconceptions"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for one in report.exercises:
            shares = ["" if share is None else f"{share:.4f}" for share in (one.mean_share, one.full_share)]
            causes = " | ".join(f"{count} x {cause}" for cause, count in one.causes[:SHOWN_CAUSES])
            writer.writerow([one.name, "written" if one.is_written else "automatic", f"{one.points:g}", one.marked,
                             one.waiting, *shares, one.unwritten, one.unexplained, causes])
    return path
