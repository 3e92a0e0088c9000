"""Pictures of schedules and measurements. Each function returns a `Picture`: figure, summary, small table."""

from course_lib.plots.bars import chunk_bars
from course_lib.plots.dashboard import decision_dashboard
from course_lib.plots.gaps import gap_distribution
from course_lib.plots.grid import cache_grid
from course_lib.plots.picture import Picture
from course_lib.plots.service import service_curves
from course_lib.plots.timelines import timeline
from course_lib.plots.trade_offs import trade_off

__all__ = ["Picture", "cache_grid", "chunk_bars", "decision_dashboard", "gap_distribution", "service_curves",
           "timeline", "trade_off"]
