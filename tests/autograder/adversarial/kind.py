"""A kind of hostile submission to the demo course, with the mark and the words it must get."""

from collections.abc import Callable
from dataclasses import dataclass

from nbformat import NotebookNode

RIGHT = """
def halves(numbers):
    if any(number < 0 and number % 2 for number in numbers):
        raise ValueError("odd and negative")
    return [number // 2 for number in numbers]
"""
WRONG = """
def halves(numbers):
    return [7, 7]
"""
NOTHING, REST, ALL = 0, 2, 5  # marks: none; without those of `halves`; of all exercises that are marked by machine


@dataclass(frozen=True)
class Kind:
    """`cell` takes the place of the solution of `halves`; `says` is in the outputs, `never` in none of them."""

    name: str
    cell: str
    score: float
    says: str
    never: str = "REACHED"
    edit: Callable[[NotebookNode], None] | None = None  # what else was done to the notebook


def reaching(name: str, attempt: str) -> Kind:
    """An attempt that must fail, beside an honest solution that must keep its marks."""
    lines = "\n".join(f"    {line}" for line in attempt.strip().splitlines())
    cell = f"try:\n{lines}\n    print('REACHED')\nexcept BaseException as error:\n    print('out of reach:', error)\n"
    return Kind(name, cell + RIGHT, ALL, "out of reach:")
