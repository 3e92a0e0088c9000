"""The capacity benchmark: its search, its figures, and a tiny run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.capacity import PRECISION, figures, highest_rate
from course_lib.trace import Iteration, RequestInfo, Trace, Work


@pytest.mark.parametrize("limit", [0.02, 0.4, 0.5, 0.77, 3.0, 20.0])
def test_the_search_ends_just_below_the_limit(limit: float):
    found = highest_rate(lambda rate: rate <= limit, start=0.5)
    assert limit / (1 + PRECISION) <= found <= limit


def test_the_search_gives_up_at_both_ends():
    assert highest_rate(lambda rate: False, start=0.5) == 0.0
    with pytest.raises(RuntimeError, match="not the limit"):
        highest_rate(lambda rate: True, start=0.5)


def test_figures_by_hand():
    requests = (RequestInfo("a", 0.0, 4, 2), RequestInfo("b", 0.5, 2, 1))
    trace = Trace(requests, (Iteration(0, 0.0, 1.0, 0.0, (Work("a", 0, 3, False),)),
                             Iteration(1, 1.0, 3.0, 0.0, (Work("a", 3, 1, True), Work("b", 0, 2, True))),
                             Iteration(2, 3.0, 4.5, 0.0, (Work("a", 4, 1, True),))))
    assert figures(trace) == (1.5, 0.25)


def test_a_tiny_run_prints_its_table_and_writes_its_json(repository: Path, tmp_path: Path):
    output = tmp_path / "capacity.json"
    command = [sys.executable, "-m", "benchmarks.capacity", "--num-requests", "32", "--workers", "1",
               "--output", str(output)]
    shown = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout
    assert "openchat_sharegpt4" in shown and "3.7x" in shown
    searches = json.loads(output.read_text())["searches"]
    assert len(searches) == 8
    assert all(one["capacity"] == max((t["rate"] for t in one["trials"] if t["meets"]), default=0) for one in searches)


def test_the_notebooks_table_is_the_kept_run(repository: Path):
    kept = json.loads((repository / "benchmarks" / "results" / "capacity.json").read_text())
    source = (repository / "solutions" / "08_case_studies" / "08_case_studies.py").read_text()
    found = {(one["dataset"], one["slo"], one["policy"]): one["capacity"] for one in kept["searches"]}
    assert kept["num_requests"] == 2048
    for dataset, slo in {key[:2] for key in found}:
        most_tbt, budget = kept["slos"][slo]
        standard, chunked = found[dataset, slo, "standard"], found[dataset, slo, "chunked"]
        start = f"# | {dataset} | {most_tbt:g} s | {budget} |"
        (row,) = [line for line in source.splitlines() if line.startswith(start)]
        assert f"| {standard:.3f}" in row and f"| {chunked:.3f} |" in row
        assert f"{chunked / standard:.1f}" in row
