"""Wrong solutions that must lose marks, and unusual right ones that must not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """The right solution of `exercise` with `old` replaced by `new`; `misconception` is a key of MISCONCEPTIONS."""

    exercise: str
    old: str
    new: str
    misconception: str

    def apply(self, source: str) -> str:
        """The wrong solution's text. Raises ValueError unless `old` occurs exactly once."""
        if not isinstance(source, str):
            raise TypeError(f"source must be the text of a solution cell, got {source!r}")
        count = source.count(self.old)
        if count != 1:
            raise ValueError(f"mutant {self.exercise}/{self.misconception}: `old` must occur once in the solution, "
                             f"got {count}: {self.old!r}")
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Alternative:
    """Another right solution of `exercise`, as the text of its whole cell."""

    exercise: str
    name: str
    source: str
