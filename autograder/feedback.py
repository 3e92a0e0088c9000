"""What nbgrader's generate_feedback writes for a learner: a section for each exercise, instead of the whole notebook.

`Grades` and `Sections` are its preprocessors, `FeedbackExporter` its exporter (templates/course_feedback), all put in
place by nbgrader_config.py. A page shows nothing of a check but its message, and no HTML that a learner wrote runs.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket
from nbconvert.exporters import TemplateExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.filters import markdown2html
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbgrader.preprocessors import GetGrades, NbGraderPreprocessor
from traitlets import default

from autograder import exercises, outputs, sources, verdicts
from autograder.verdicts import Verdict

TEMPLATES = Path(__file__).resolve().parent / "templates"
REPAIRS = "repaired-before-grading"  # the id of the cell in which the pre-check tells what it repaired
MAX_TEXT = 4000  # characters of a text that a page shows
WAITING = "A person will read this."
NO_RESPONSE = "No response."  # nbgrader's comment on a cell that was left as it was
# Of what a learner's or a grader's Markdown makes; headings would disturb those of the page.
TAGS = ["a", "b", "blockquote", "br", "code", "em", "i", "li", "ol", "p", "pre", "strong", "sub", "sup", "table",
        "tbody", "td", "th", "thead", "tr", "ul"]


@dataclass(frozen=True)
class Shown:
    """A picture: its MIME type, its bytes in base64, its alternative text, and the heading that it stands under."""

    kind: str
    data: str
    alt: str
    heading: str


@dataclass
class Section:
    """One exercise of a submission, as the page shows it."""

    name: str
    title: str
    source: str
    is_written: bool
    score: float = 0.0
    points: float = 0.0
    waits: bool = False  # for a person
    comment: str | None = None  # by the person who marked it
    verdict: Verdict | None = None
    errors: list[str] = field(default_factory=list)
    pictures: list["Shown"] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The verdict in one line."""
        if self.verdict and self.verdict.crashed:
            return self.verdict.message
        if self.waits:
            return WAITING
        if self.verdict and self.score < self.points:
            return self.verdict.line or "Not all requirements are met."
        if self.is_written:
            return "Marked by a person: see the comment." if self.comment else "Marked by a person."
        return "All requirements are met."


class Grades(GetGrades):
    """nbgrader's GetGrades, which also tells what waits for a person."""

    def _get_score(self, cell: NotebookNode, resources: ResourcesDict) -> None:
        super()._get_score(cell, resources)
        grade = self.gradebook.find_grade(cell.metadata.nbgrader["grade_id"], self.notebook_id, self.assignment_id,
                                          self.student_id)
        cell.metadata.nbgrader["waits"] = bool(grade.needs_manual_grade
                                               or (grade.auto_score is None and grade.manual_score is None))


class Sections(NbGraderPreprocessor):
    """Puts the exercises, and what was repaired, into `resources` for the template."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """The notebook without its cells: what is not in a section cannot be shown."""
        resources["sections"] = sections(nb)
        resources["repairs"] = next((cell.source for cell in nb.cells[:1] if cell.get("id") == REPAIRS), "")
        nb.cells = []
        return nb, resources


class Compiled(BytecodeCache):
    """Templates compiled once a process: nbgrader makes a new exporter, with a jinja of its own, each submission."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Gives jinja a template's code, where it is there."""
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keeps a template's code."""
        self._codes[bucket.key, bucket.checksum] = bucket.code


COMPILED = Compiled()


class FeedbackExporter(TemplateExporter):
    """Fills templates/course_feedback."""

    output_mimetype = "text/html"

    @default("file_extension")
    def _file_extension_default(self) -> str:
        return ".html"

    def _create_environment(self) -> Environment:
        environment = super()._create_environment()
        environment.bytecode_cache = COMPILED
        return environment

    def default_filters(self) -> Iterator[tuple[str, Callable]]:
        """nbconvert's, and `prose`: Markdown that others wrote, as HTML that does nothing."""
        yield from super().default_filters()
        yield "prose", prose


def prose(markdown: str) -> str:
    """Markdown as HTML of a few harmless tags."""
    return SanitizeHTML(tags=TAGS, strip=True).sanitize_html_tags(markdown2html(markdown))


def sections(nb: NotebookNode) -> list[Section]:
    """The exercises of an autograded notebook after `Grades`, in order."""
    found: dict[str, Section] = {}
    current, heading = None, ""
    for cell in nb.cells:
        if cell.cell_type == "markdown" and not sources.is_answer(cell):
            headings = re.findall(r"^#{1,4} +(.+)$", cell.source, re.MULTILINE)
            heading = headings[-1].strip() if headings else heading
        if sources.is_solution(cell) or sources.is_answer(cell):
            name = sources.grade_id(cell)
            current = found[name] = Section(name, heading, _answer(cell), sources.is_answer(cell),
                                            comment=_comment(cell))
            if sources.is_answer(cell):
                _mark(current, cell)
        elif sources.is_check(cell):
            name = exercises.of_check(sources.grade_id(cell))
            section = found.setdefault(name, Section(name, heading, "", False))
            section.verdict = verdicts.of(cell)
            _mark(section, cell)
            continue
        if current is not None:
            _add_outputs(current, cell, heading)
    return [section for section in found.values() if section.points]


def _mark(section: Section, cell: NotebookNode) -> None:
    settings = cell.metadata.nbgrader
    section.score, section.points = settings.get("score", 0.0), settings.get("points", 0.0)
    section.waits = settings.get("waits", False)


def _comment(cell: NotebookNode) -> str | None:
    comment = cell.metadata.nbgrader.get("comment")
    return None if comment == NO_RESPONSE and not sources.is_answer(cell) else comment  # the verdict says so already


def _answer(cell: NotebookNode) -> str:
    """What the learner wrote, without the comment that names the exercise."""
    return re.sub(r"^(# exercise: \w+|<!-- answer: \w+ -->)\n?", "", cell.source)[:10 * MAX_TEXT]


def _add_outputs(section: Section, cell: NotebookNode, heading: str) -> None:
    for output in cell.get("outputs", []):
        if output.output_type == "error" and output.ename != "NotImplementedError":
            section.errors.append(f"{output.ename}: {output.evalue}"[:MAX_TEXT])
        data = output.get("data", {})
        kind = next((kind for kind in ("image/png", "image/jpeg") if kind in data), None)
        if kind:
            told = output.metadata.get(kind, {}).get("alt") or data.get("text/plain", "")
            alt = told if told and not told.startswith("<") else f"A picture in {heading or section.name}"
            section.pictures.append(Shown(kind, "".join(data[kind].split()), alt[:MAX_TEXT], heading))
        elif found := outputs.picture(data):  # stock nbgrader keeps HTML
            section.pictures.append(Shown("image/png", *found, heading))
