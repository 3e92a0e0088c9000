"""Progress bars as plain text. A bar that is a widget shows an error when the notebook is opened again later."""

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

import tqdm as progress_bars

Item = TypeVar("Item")


def tqdm(items: Iterable[Item], **options: Any) -> Iterable[Item]:
    """`tqdm.tqdm(items, **options)`, written where `print` writes: Jupyter shows stderr like an error.

    For loops that print nothing themselves: what they print would stand in the middle of the bar.
    """
    return progress_bars.tqdm(items, file=sys.stdout, **{"ncols": 80} | options)
