"""Draws the README's pictures from runs of the course's own engine: python tools/readme_pictures.py"""

from pathlib import Path

from course_lib.cost_model import ONE_SECOND
from course_lib.engine import SimulatedExecutor, run
from course_lib.plots import timeline
from course_lib.scheduler import PlannedScheduler, SchedulerConfig
from course_lib.workload import running_example

DOCS = Path(__file__).resolve().parent.parent / "docs"
PLANS = {
    "standard": [{"2": 1}, {"1": 24}, {"1": 1, "2": 1}, {"1": 1, "2": 1}],
    "chunked": [{"1": 8, "2": 1}, {"1": 8, "2": 1}, {"1": 8, "2": 1}, {"1": 1}, {"1": 1}],
}

if __name__ == "__main__":
    traces = {
        name: run(PlannedScheduler(SchedulerConfig(), plans, prologue=[{"2": 8}]), running_example(),
                  SimulatedExecutor(ONE_SECOND)).after(1)
        for name, plans in PLANS.items()
    }
    timeline(traces, title="One server, two sequences").save(DOCS / "running_example.png")
