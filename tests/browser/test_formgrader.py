"""nbgrader's formgrader on our course: a person marks a written answer beside its rubric, and the mark stays."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

from autograder import course_api, grade, report, rubric, sources
from autograder.course import Course
from tests.autograder.helpers import submit, untouched
from tests.browser.lab import PATIENCE_SECONDS, TOKEN, Lab

NAME, QUESTION = "02_chunked_prefill", "why_last_chunk"
ANSWER = """The logits after a middle chunk predict a known token.
<img src="x" onerror="window.ran = true"><script>window.ran = true</script>"""


@pytest.fixture
def page(browser: Browser) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    yield context.new_page()
    context.close()


def answered(course: Course) -> nbformat.NotebookNode:
    """The untouched notebook but for the written answer."""
    notebook = untouched(NAME, course)
    for cell in notebook.cells:
        if sources.grade_id(cell) == QUESTION:
            cell.source = f"<!-- answer: {QUESTION} -->\n{ANSWER}"
    return notebook


def test_a_written_answer_is_marked_beside_its_rubric(lab: Lab, page: Page, tmp_path: Path, repository: Path,
                                                      bubblewrap: str) -> None:
    course, marks_file = Course(lab.root), tmp_path / "grades.csv"
    submit(tmp_path / "submissions", "ada", NAME, answered(course))
    (row,) = grade.grade(tmp_path / "submissions", NAME, marks_file, course)
    assert row.status == f"needs manual grading: {QUESTION}"

    page.goto(f"{lab.url}/lab?token={TOKEN}")  # logs in
    page.goto(f"{lab.url}/formgrader/gradebook/{NAME}/{NAME}")
    page.get_by_role("link", name="Submission #1").click()
    expect(page.get_by_text("The logits after a middle chunk predict a known token.")).to_be_visible()
    shown = page.locator(".alert-info", has_text="For the grader only")
    expect(shown).to_contain_text("Rubric. 1 point: a middle chunk's logits predict a prompt token")
    assert page.locator(".alert-info").count() == 1
    assert page.evaluate("window.ran") is None  # nothing that the learner wrote is a script here

    box = page.locator(f"#{QUESTION}")
    box.scroll_into_view_if_needed()
    box.fill("2")
    with page.expect_response(lambda reply: "/api/grade/" in reply.url and reply.request.method == "PUT"):
        box.press("Tab")
    comment = page.locator(f"#{QUESTION}-comment")
    comment.fill("Say **why** it must not be appended.")
    with page.expect_response(lambda reply: "/api/comment/" in reply.url and reply.request.method == "PUT"):
        comment.press("Tab")
    page.screenshot(path=repository / "build" / "screenshots" / "formgrader.png")

    report.write_all(course, marks_file)
    assert ",2.0,0.0,2.0,13.0,graded" in marks_file.read_text()
    (row,) = grade.grade(tmp_path / "submissions", NAME, marks_file, course, grade.Options(again=True))
    assert (row.score, row.status) == (2, "graded")
    with course_api.api(course) as api:
        assert api.generate_feedback(NAME, "ada", force=True)["success"]
    feedback = (course.grading / "feedback" / "ada" / NAME / f"{NAME}.html").read_text()
    assert "2 of 13 marks" in feedback and "Say <strong>why</strong> it must not be appended." in feedback
    assert "<script" not in feedback and "onerror" not in feedback
    secret = rubric.rubrics(NAME, course)[QUESTION]
    for sentence in ("Rubric", "Sample answer", secret[40:80]):
        assert sentence not in feedback and sentence not in untouched(NAME, course).cells.__repr__()
