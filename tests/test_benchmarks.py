"""The benchmarks run, fail where work did not happen, and their page is what their results give."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import grading, readme
from benchmarks.engine import Bench, by_figure, figures, lengths, median_step
from benchmarks.measure import interleaved, ratio, summary
from benchmarks.simulator import simulate
from course_lib.device import DeviceProfile, choose_device
from course_lib.model import ModelConfig


def run_quick(repository: Path, name: str, output: Path) -> dict:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--output", str(output)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
    return json.loads(output.read_text())


def test_a_tiny_engine_run_compares_every_token(repository: Path, tmp_path: Path) -> None:
    result = run_quick(repository, "engine", tmp_path / "engine.json")
    assert result["device"] and result["versions"]["transformers"] and result["date"]
    against = {(row["what"], row["against"]) for row in result["ratios"]}
    assert {("prefill 64", "forward"), ("prefill 64", "limit"), ("decode 1", "generate"), ("decode 8", "limit"),
            ("makespan 128", "continuous batching"), ("P99 TBT 128", "continuous batching"),
            ("longest TBT 128", "standard")} <= against
    # Two rounds: three prefills, twice 1 and 8 sequences of 6 tokens, and the mixed workload.
    assert result["tokens_compared"] <= 2 * (3 + 2 * 9 * 6 + 6 * 8 + 2 * 4)
    assert result["tokens_compared"] > result["rounds"] * 100
    assert all(one["min"] > 0 for one in result["seconds"].values())


def test_other_tokens_or_missing_ones_end_the_engine_s_run() -> None:
    config = ModelConfig(64, 32, 1, 2, 1, 48, max_position_embeddings=512)
    profile = choose_device("cpu")
    bench = Bench(DeviceProfile("tiny", profile.device, profile.dtype, config, long_prompt=300), 6, quick=True)
    bench.served["x"] = {"a": [1, 2, 3]}
    with pytest.raises(SystemExit, match="not the same requests or numbers of tokens"):
        bench.compare("x", {"a": [1, 2]}, {"a": [5]})
    with pytest.raises(SystemExit, match="token 1: 2 and 9, whose logits differ by"):
        bench.compare("x", {"a": [1, 9, 3]}, {"a": [5]})
    bench.compare("x", {"a": [1, 2, 3]}, {"a": [5]})
    with pytest.raises(SystemExit, match="3 steps were timed instead of 4"):
        median_step([1.0, 2.0, 3.0], 4)
    assert lengths({"a": [1, 2], "b": []}) == {"a": 2, "b": 0}


def test_figures_by_hand() -> None:
    times = {"a": [2.0, 3.0, 7.0], "b": [2.5, 3.0]}
    assert figures(1.0, times) == {"makespan": 6.0, "P99 TBT": 4.0, "longest TBT": 4.0}
    assert median_step([0.0, 9.0, 10.0, 12.0, 13.0], 5) == 1.0


def test_rounds_are_interleaved_and_the_first_is_not_counted() -> None:
    calls = []

    def variant(name: str):
        return lambda: calls.append(name) or len(calls)

    found = interleaved({"a": variant("a"), "b": variant("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert found == {"a": [3, 5], "b": [4, 6]}
    summaries = {"a": summary([1.0, 2.0, 4.0]), "b": summary([2.0, 2.0, 2.0])}
    assert ratio(summaries, "a", "b") == 1.0


def test_the_faster_of_generate_s_caches_counts() -> None:
    found = {f"decode {batch}, generate with {cache} cache": [seconds] for batch in (1, 8)
             for cache, seconds in (("dynamic", 2.0), ("static", 1.0))}
    assert by_figure(found)["decode 8, generate"]["median"] == 1.0


def test_a_tiny_simulator_run(repository: Path, tmp_path: Path) -> None:
    rows = run_quick(repository, "simulator", tmp_path / "simulator.json")["rows"]
    assert [row["num_requests"] for row in rows] == [10, 20]
    assert all(row["num_iterations"] > 0 and row["mean_batch"] >= 1 for row in rows)


def calls_per_scheduled_request(num_requests: int) -> float:
    """Function calls of a simulated run, for each request in each iteration: a count, not a time."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        trace, _ = simulate(num_requests)
    finally:
        sys.setprofile(None)
    return count / sum(len(iteration.work) for iteration in trace.iterations)


def test_the_simulator_s_work_grows_with_the_requests_and_no_faster() -> None:
    simulate(1)  # what is loaded once is not counted
    few, many = calls_per_scheduled_request(40), calls_per_scheduled_request(400)
    assert 0.8 < many / few < 1.1


def test_the_page_is_what_the_results_give(repository: Path) -> None:
    page = (repository / "benchmarks" / "README.md").read_text()
    assert page == readme.render(repository / "benchmarks" / "results"), "run `python -m benchmarks.readme`"
    for title in ("The engine, on a CPU", "The simulated executor", "Start-up", "Capacity on the simulated Yi-34B"):
        assert f"## {title}" in page


def test_the_parts_of_grading_add_up(tmp_path: Path, bubblewrap: str) -> None:
    course = grading.copy_of_the_course(tmp_path / "course")
    submissions = grading.write_submissions(tmp_path / "submissions", "00_start_here", 1)
    found = grading.parts(course, submissions, argparse.Namespace(jobs=1))
    assert list(grading.marks(course, "00_start_here")) == ["student_000"]
    inside = {name: seconds for name, seconds in found.items() if name not in ("start-up, once", "whole")}
    assert set(inside) == {*grading.INSIDE, "bookkeeping"} and min(inside.values()) >= 0
    assert sum(inside.values()) == pytest.approx(found["whole"])
