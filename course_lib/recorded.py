"""Runs that were recorded on other devices: a trace and what it was recorded on, in `course_lib/data/NAME.json`."""

import json
from dataclasses import dataclass
from pathlib import Path

from course_lib.trace import Trace

FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Recording:
    """A measured run. `device`: where; `versions`: package -> version; `about`: workload and model in a sentence."""

    trace: Trace
    device: str
    versions: dict[str, str]
    about: str

    def save(self, name: str, folder: Path = FOLDER) -> None:
        """Writes the recording to `folder/NAME.json`, for `load` to read."""
        data = {"device": self.device, "versions": self.versions, "about": self.about,
                "trace": json.loads(self.trace.to_json())}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(data))


def names(folder: Path = FOLDER) -> list[str]:
    """The recordings that are there."""
    return sorted(path.stem for path in folder.glob("*.json"))


def load(name: str, folder: Path = FOLDER) -> Recording:
    """The recording of this name; a KeyError that lists the names when there is none."""
    if name not in names(folder):
        raise KeyError(f"there is no recording {name!r}; the recordings are {names(folder)}")
    data = json.loads((folder / f"{name}.json").read_text())
    return Recording(Trace.from_json(json.dumps(data["trace"])), data["device"], data["versions"], data["about"])
