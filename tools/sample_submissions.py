"""Writes tests/sample_submissions/: Ada solved notebook 02, Ben half of it. Run it again when notebook 02 changes."""

from pathlib import Path

import nbformat

from autograder import release, sources
from autograder.course import Course

NOTEBOOK = "02_chunked_prefill"
FOLDER = Path(__file__).resolve().parent.parent / "tests" / "sample_submissions"

# Ben predicts, cuts the prompt, restarts positions in each chunk, leaves the loop, and picks a wrong option.
BEN = {
    "guess_ratio": "guess_ratio = 8",
    "split_into_chunks": """def split_into_chunks(num_tokens, chunk_size):
    if chunk_size < 1:
        raise ValueError("chunk_size must be at least 1")
    return [range(start, min(start + chunk_size, num_tokens)) for start in range(0, num_tokens, chunk_size)]""",
    "prefill_chunk": """def prefill_chunk(model, token_ids, start, cache):
    positions = torch.arange(len(token_ids))
    mask = torch.arange(start + len(token_ids))[None, :] <= start + positions[:, None]
    return model.forward_chunk(token_ids, positions, mask, cache)""",
    "what_changes": 'what_changes = "D"',
}


def submissions(course: Course) -> dict[str, str]:
    """Student -> text of the submitted notebook."""
    released = release.learner_notebooks(course, [NOTEBOOK])[NOTEBOOK]
    ada = {sources.grade_id(cell): sources.solution_cell(NOTEBOOK, sources.grade_id(cell), course)
           for cell in sources.read(NOTEBOOK, course).cells if sources.is_solution(cell)}
    return {"ada": _filled_in(released, ada), "ben": _filled_in(released, BEN)}


def _filled_in(released: str, solutions: dict[str, str]) -> str:
    notebook = nbformat.reads(released, as_version=4)
    for cell in notebook.cells:
        name = sources.grade_id(cell)
        if sources.is_solution(cell) and name in solutions:
            cell.source = f"# exercise: {name}\n{solutions[name]}"
        elif sources.is_answer(cell):
            cell.source = (f"<!-- answer: {name} -->\nA middle chunk predicts a prompt token that is known already; "
                           "only when num_computed_tokens reaches num_tokens is there a new one.")
    return nbformat.writes(notebook) + "\n"


if __name__ == "__main__":
    for student, text in submissions(Course()).items():
        path = FOLDER / student / NOTEBOOK / f"{NOTEBOOK}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path)
