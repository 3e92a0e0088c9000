"""Where the parts of a course lie."""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ROOT_VARIABLE = "COURSE_ROOT"  # kernels and nbgrader_config.py learn from it which course is meant


@dataclass(frozen=True)
class Course:
    """The folders of the course at `root`; the repository's own by default."""

    root: Path = REPOSITORY

    def __post_init__(self) -> None:
        if not isinstance(self.root, Path):
            raise TypeError(f"root must be the Path of a course's folder, got {self.root!r}; write Path(...) around it")

    @classmethod
    def current(cls) -> "Course":
        """The course that the environment variable COURSE_ROOT names, else the repository's."""
        return cls(Path(os.environ.get(ROOT_VARIABLE) or REPOSITORY).resolve())

    @property
    def solutions(self) -> Path:
        """One folder a notebook, with the only source of its exercises."""
        return self.root / "solutions"

    @property
    def notebooks(self) -> Path:
        """The release: what learners get."""
        return self.root / "notebooks"

    @property
    def grading(self) -> Path:
        """nbgrader's working directory: submitted, autograded, feedback and the gradebook."""
        return self.root / "autograder"

    @property
    def build(self) -> Path:
        """Everything that can be made again: the instructor's notebooks and the solved ones."""
        return self.root / "build"

    @property
    def database(self) -> str:
        """nbgrader's gradebook, as an SQLAlchemy address."""
        return f"sqlite:///{self.grading / 'gradebook.db'}"

    def names(self) -> list[str]:
        """The notebooks that have a source, in order."""
        return sorted(path.stem for path in self.solutions.glob("*/*.py") if path.stem == path.parent.name)
