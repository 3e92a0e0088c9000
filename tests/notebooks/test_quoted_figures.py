"""Figures that the text quotes from the notebooks' own simulated runs: computed again, and looked for in the sentence."""

import contextlib
import io
import re
from collections.abc import Callable
from functools import partial
from statistics import mean
from typing import Any

import pytest

from autograder import exercises, solutions, sources
from autograder.course import Course

Namespace = dict[str, Any]


def text_of(notebook: str, course: Course) -> str:
    """All markdown of a notebook, each run of white space as one blank."""
    cells = sources.read(notebook, course).cells
    return re.sub(r"\s+", " ", " ".join(cell.source for cell in cells if cell.cell_type == "markdown"))


def source_of(notebook: str, starts_with: str, course: Course) -> str:
    """The one cell that begins with these words."""
    [source] = [cell.source for cell in sources.read(notebook, course).cells if cell.source.startswith(starts_with)]
    return source


def run_cell(notebook: str, starts_with: str, namespace: Namespace, course: Course) -> str:
    """What that cell prints."""
    with contextlib.redirect_stdout(printed := io.StringIO()):
        exec(source_of(notebook, starts_with, course), namespace)
    return printed.getvalue()


def interleaving(here: Namespace, cell: Callable[[str], str]) -> list[str]:
    """Notebook 03: three orders on the CPU's clock."""
    here["standard_order"] = ["D21", "P11", "P12", "P13", "D22", "D23"]
    interleaved_waits = []
    for here["order_three"] in (["P11", "D21", "P12", "D22", "P13", "D23"], ["D21", "P11", "D22", "P12", "D23", "P13"]):
        rows = re.findall(r"^(\w+) +\d +(\d+) +(\d+) +\d+$", cell("long_prompt = [0] * 2048"), re.MULTILINE)
        first = {name: int(milliseconds) for name, milliseconds, _ in rows}
        waits = {name: int(milliseconds) for name, _, milliseconds in rows}
        assert first["interleaved"] - first["standard"] < 10 and first["standard"] // 100 == 4
        assert waits["interleaved"] < waits["standard"] / 2 and first["hybrid"] == min(first.values())
        interleaved_waits.append(waits["interleaved"])
    assert interleaved_waits[1] < interleaved_waits[0]  # what the text says of an order that begins with D21
    return ["sequence 1 less than 10 ms of about 400", "Sequence 2's longest wait is less than half of what it was",
            "The hybrid order gives sequence 1 its first token soonest"]


def decoder_idle_time(here: Namespace, cell: Callable[[str], str]) -> list[str]:
    """Notebook 05: why chunks raise throughput on the large GPU's clock."""
    clock = here["YI_34B"]

    def traced(policy: str, num_chats: int = 3):
        return here["simulate"](clock, policy, document_tokens=2048, budget=512, num_chats=num_chats)

    def ends(policy: str, num_chats: int = 3) -> float:
        return 1000 * traced(policy, num_chats).iterations[-1].end

    def document_seconds(policy: str) -> list[float]:
        return [step.end - step.start for step in traced(policy).iterations
                if any(work.request_id == "document" and work.start_pos < 2048 for work in step.work)]

    chunks, whole = document_seconds("stall-free"), document_seconds("Orca-style")
    assert len(chunks) == 5 and len(whole) == 1
    prompts = 1000 * (3 * clock([(0, 32)]) - clock([(0, 32)] * 3))
    return [f"there it is done {ends('prefill-first') - ends('stall-free'):.0f} ms sooner than prefill-first",
            f"gains {ends('prefill-first') - ends('Orca-style'):.0f} ms.",
            f"differ by {ends('prefill-first', 1) - ends('stall-free', 1):.0f} ms, the part that is about the document",
            f"{prompts:.0f} of these have nothing to do with the document",
            f"They bring the other {ends('Orca-style') - ends('stall-free'):.0f} ms.",
            f"five iterations together take {1000 * (sum(chunks) - sum(whole)):.0f} ms longer",
            f"would have taken {1000 * clock([(40, 1)] * 3):.0f} ms", f"up to about {clock.ridge:.0f} tokens"]


def chunk_size(here: Namespace, cell: Callable[[str], str]) -> list[str]:
    """Notebook 06: the sweep of a server, and the knob."""
    executor = here["SimulatedExecutor"](clock := here["YI_34B"])
    rows = {row.budget: row for row in here["sweep"](here["documents_and_chats"], here["server"],
                                                     [128, 256, 512, 2048, 8192], executor)}

    def loss(small: int, large: int) -> float:
        return 100 * (1 - rows[small].throughput / rows[large].throughput)

    assert round(loss(256, 512), -1) == 10 and 30 < loss(128, 256) < 36 and 40 < loss(128, 8192) < 50
    [standard] = here["sweep"](here["documents_and_chats"], here["standard_server"], [8192], executor)
    assert standard.max_tbt > 60
    cell("def knob_requests()")
    knob = here["sweep"](here["knob_requests"], here["example_scheduler"], [128, 256, 512, 1024, 4096], executor)
    widths = [row.max_tbt for row in knob]
    assert 0.72 < widths[0] / widths[1] < 0.78 and all(0.45 < widths[i] / widths[i + 1] < 0.65 for i in (1, 2))
    assert knob[3].throughput == max(row.throughput for row in knob)
    published = {name: 1000 * seconds for name, seconds, *_ in here["residuals"]()}
    name, *_, error = max(here["residuals"](), key=lambda row: abs(row[3]))
    assert name == "table-2: 4 decode steps"
    chunked = max(published[f"figure-9: prompt of {length} in chunks of 512"]
                  / published[f"figure-9: prompt of {length} whole"] for length in (2047, 4095, 8191, 16383))
    return [f"One decode step takes {published['figure-2: 1 decode step']:.1f} ms, a prompt of 128 tokens "
            f"{published['figure-2: prompt of 128']:.1f} ms, one of 512 tokens "
            f"{published['figure-2: prompt of 512']:.1f} ms",
            f"at four decode steps: {published[name]:.1f} ms in one of the published runs, "
            f"{published['figure-2: 4 decode steps']:.1f} ms in another",
            f"In the artifact's files it is at most {100 * (chunked - 1):.0f}% for chunks of 512",
            f"throughput falls by {loss(2048, 8192):.0f}% at 2,048 and by {loss(512, 8192):.0f}% at 512",
            f"for {1000 * (rows[256].p99_tbt - rows[128].p99_tbt):.0f} ms. Below some {clock.ridge:.0f} tokens",
            f"512 prompt tokens take {1000 * clock([(0, 512)]):.0f} ms on this clock",
            f"latency falls by a factor of {rows[8192].p99_tbt / rows[512].p99_tbt:.0f} and throughput by a tenth",
            f"one that reads the weights: {1000 * (clock.base + clock.read_weights):.0f} ms",
            "From 256 on: half of it makes the box only a quarter narrower", "some chats freeze for over a minute"]


def fairness(here: Namespace, cell: Callable[[str], str]) -> list[str]:
    """Notebook 07: who waits under three kinds of fairness."""
    here.update(guess_tokens=0, service_curves=lambda *_, **__: None)
    printed = cell("# picture: cumulative service")
    units, tokens = map(int, re.search(r"document +(\d+) units +(\d+) tokens", printed).groups())
    chat = int(re.search(r"chat 1 +\d+ units +(\d+) tokens", printed)[1])
    unit_fair, token_fair, time_fair = (re.findall(r"done at (\S+) s", part) for part in printed.split("-fair: until")[1:])
    unit_gap, _, time_gap = re.findall(r"waits (\d+) ms", printed)
    assert unit_fair[1:] == time_fair[1:] and len(set(unit_fair[1:])) == 1
    return [f"Why {tokens / chat:.0f} and not 64? The document's last {units - 16} of {units} units are decode steps",
            f"{tokens:,} to {chat}.", f"the chats end at the same time, {unit_fair[1]} s",
            f"{time_gap} ms on average instead of {unit_gap} ms",
            f"Token-fair ends them at {token_fair[1]} s and the whole run later, at {token_fair[0]} s instead of "
            f"{unit_fair[1]} s"]


def case_studies(here: Namespace, cell: Callable[[str], str]) -> list[str]:
    """Notebook 08: the plan of case A, on its day and on others."""
    run, clock = here["run"], here["YI_34B"]
    plan = here["recommend"](here["documents_and_chats"], clock, here["SLO_A"])
    assert str(plan) == "stall-free 1024/128"
    trace = run(here["make_scheduler"](plan), here["documents_and_chats"](), here["SimulatedExecutor"](clock))
    days = [partial(here["documents_and_chats"], seed) for seed in range(1, 7)]
    broken = [day for day in days if not here["meets"](here["evaluate"](plan, day, clock), here["SLO_A"])]
    assert len(broken) == 4 and all(here["recommend"](day, clock, here["SLO_A"]) is None for day in broken)

    def gaps(workload: Callable) -> list[float]:
        served = run(here["make_scheduler"](here["TODAY_A"]), workload(), here["SimulatedExecutor"](clock))
        return [gap for request in served.requests for gap in here["tbt"](served, request.request_id)]

    whole, cut = gaps(here["documents_and_chats"]), gaps(here["segmented"])
    p99s = [here["nearest_rank"](some, 0.99) for some in (whole, cut)]
    assert 0.45 < p99s[1] / p99s[0] < 0.55 and max(cut) > 0.9 * max(whole) and mean(cut) < mean(whole)
    exec(source_of("08_case_studies", "def trial(", Course()).partition("\nfor ")[0], here)
    with contextlib.redirect_stdout(printed := io.StringIO()):
        here["trial"]("stall-free", 512, 0.8)
    p99 = int(re.search(r"P99 TBT +(\d+) ms", printed.getvalue())[1])
    ridges = f"from {clock.ridge:.0f} to {here['NEW_SERVER'].ridge:.0f} tokens"
    assert ridges in exercises.checks_module("08_case_studies").CHOICES["new_ridge"]["C"][1]
    return [f"the P99 stops at some {p99} ms", ridges,
            f"the printed {max(step.num_tokens for step in trace.iterations)} tokens", "On four of the six days it breaks",
            f"there are {len(cut) - len(whole)} more gaps to dilute it"]


@pytest.mark.parametrize(("name", "quotes"), [
    ("03_interleaving", interleaving), ("05_decoder_idle_time", decoder_idle_time), ("06_chunk_size", chunk_size),
    ("07_complexity_and_fairness", fairness), ("08_case_studies", case_studies)])
def test_the_text_quotes_what_the_runs_give(name: str, quotes: Callable, course: Course) -> None:
    namespace = solutions.namespace(name, course=course)
    text = text_of(name, course)
    sentences = quotes(namespace, lambda starts_with: run_cell(name, starts_with, namespace, course))
    assert [sentence for sentence in sentences if sentence not in text] == []
