"""How long the library may be, and what it may not load."""

import subprocess
import sys
from pathlib import Path


def test_the_engine_can_be_read_in_one_sitting(repository: Path) -> None:
    def num_lines(path: Path) -> int:
        return len(path.read_text().splitlines())

    folder = repository / "course_lib"
    engine = ("model", "layers", "kv_cache", "request", "scheduler", "engine", "trace")
    assert sum(num_lines(folder / f"{name}.py") for name in engine) <= 1000
    too_long = {path.name: num_lines(path) for path in folder.rglob("*.py") if num_lines(path) > 250}
    assert not too_long


def test_importing_the_engine_loads_no_drawing_and_no_checkpoint_code() -> None:
    modules = ("model", "kv_cache", "request", "scheduler", "engine", "trace", "recite", "cost_model", "checks",
               "device", "checkpoint", "documents")
    heavy = ("matplotlib", "ipywidgets", "IPython", "safetensors", "transformers")
    code = ("import importlib, sys\n"
            f"for name in {modules}: importlib.import_module('course_lib.' + name)\n"
            f"print([name for name in {heavy} if name in sys.modules])")
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"
