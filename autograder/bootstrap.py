"""The text of every notebook's first code cell, which finds course_lib."""

from autograder import urls

_TEXT = '''\
# Finds course_lib: installed, in a folder above this notebook, or on Colab by installing it. Run this cell first.
import importlib.util
import sys
from pathlib import Path

COURSE_LIB_URL = {url!r}

if importlib.util.find_spec("course_lib") is None:
    above = [folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "course_lib" / "__init__.py").exists()]
    if above:
        sys.path.insert(0, str(above[0]))
    elif "google.colab" in sys.modules:
        import subprocess

        wheel = COURSE_LIB_URL
        if wheel is None:
            from google.colab import files

            print("Please choose the course's wheel, chunked_prefill_course-….whl.")
            wheel = next(iter(files.upload()), None)
        if wheel is None:
            raise RuntimeError("No file was chosen: run this cell again and choose the wheel.")
        # --no-deps leaves Colab's own torch and numpy alone.
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
        importlib.invalidate_caches()
    else:
        raise RuntimeError(
            "course_lib was not found: open this notebook inside the course's folder, "
            "or install the course with `pip install -e .` in that folder."
        )'''


def text() -> str:
    """The cell's source, with the address from which Colab gets course_lib (None: the learner uploads the wheel)."""
    return _TEXT.format(url=urls.COURSE_LIB_URL)


def with_badge(name: str, source: str) -> str:
    """The text of the first cell of notebook `name` with a badge that opens it in Colab, where there is an address."""
    if urls.COLAB_URL is None:
        return source
    title, _, rest = source.partition("\n")
    address = f"{urls.COLAB_URL.rstrip('/')}/{name}/{name}.ipynb"
    badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"
    return f"{title}\n\n{badge}\n{rest}"
