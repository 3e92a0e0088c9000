"""What the benchmarks share: rounds of several variants one after another, and the JSON that each run leaves."""

import datetime
import json
import platform
import statistics
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch


def interleaved(variants: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each variant measures, `repeats` times, in rounds: every variant runs once in each round.

    A machine that slows down for a while so slows all of them. One round before the first warms up, uncounted.
    """
    found: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(repeats + 1):
        for name, measure in variants.items():
            value = measure()
            if number:
                found[name].append(value)
    return found


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Median, fastest and slowest of repeated measurements, and the measurements."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "all": list(values)}


def ratio(found: dict[str, dict[str, Any]], of: str, to: str) -> float:
    """Median over the rounds of how many times as long `to` takes as `of`, both measured in the same round."""
    return statistics.median(other / one for one, other in zip(found[of]["all"], found[to]["all"], strict=True))


def device_name(device: torch.device) -> str:
    """The processor's or the GPU's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines()
             if line.startswith("model name")] if cpuinfo.is_file() else []
    return f"{names[0] if names else platform.processor() or platform.machine()}, {torch.get_num_threads()} thread" \
           f"{'s' if torch.get_num_threads() > 1 else ''}"


def write(path: Path, result: dict[str, Any], device: torch.device, packages: Sequence[str] = ()) -> None:
    """Writes the result as JSON, with the device, the versions and the date."""
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    versions |= {name: version(name) for name in packages}
    about = {"device": device_name(device), "versions": versions, "date": datetime.date.today().isoformat()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about | result, indent=1) + "\n")
    print(f"\nwritten to {path}")
