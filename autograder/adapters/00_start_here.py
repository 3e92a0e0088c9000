"""Adapters of notebook 00."""

from collections.abc import Callable, Mapping
from typing import Any


def iterations_waited(learner: Mapping[str, Any], payload: dict, ask: Callable[[dict], dict]) -> dict:
    """The number typed in."""
    return {"value": learner["iterations_waited"]}
