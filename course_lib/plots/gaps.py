"""The distribution of the gaps between tokens."""

import math
from collections.abc import Mapping, Sequence
from types import NoneType

from course_lib.plots.picture import Picture
from course_lib.plots.style import curve_look, drawing_style, new_figure, number, number_axis
from course_lib.validate import check_mapping, check_type, checked_list, checked_numbers


def gap_distribution(
    gaps: Mapping[str, Sequence[float]],
    *,
    statistics: Mapping[str, Mapping[str, float]] | None = None,
    log_x: bool = True,
    title: str = "How long between two tokens",
) -> Picture:
    """Draws which share of the gaps between tokens is at most so long, one curve a policy.

    `gaps`: policy to gaps in seconds; drawn in ms. `statistics`: policy to {"median", "p99", "max"} in seconds, else
    taken by the nearest-rank rule. ValueError for no policy, a policy without gaps, or a gap of 0 with `log_x`.
    """
    check_type("gaps", gaps, Mapping, "a dict from policy to its gaps")
    check_type("statistics", statistics, (Mapping, NoneType), "a dict from policy to its statistics, or None")
    for policy, values in gaps.items():
        if checked_list(f"gaps[{policy!r}]", values, (int, float), "numbers"):
            checked_numbers(f"gaps[{policy!r}]", values)
    sizes = {policy: len(values) for policy, values in gaps.items()}
    if not sizes or not all(sizes.values()):
        raise ValueError(f"every policy needs at least one gap, got {sizes} gaps; leave out policies without any")
    if log_x and min(min(values) for values in gaps.values()) <= 0:
        raise ValueError("a gap of 0 s or less has no place on a log axis; use log_x=False")
    for policy, given in (statistics or {}).items():
        check_type(f"statistics[{policy!r}]", given, Mapping, 'a dict with "median", "p99" and "max"')
        if policy not in gaps:
            raise ValueError(
                f"statistics names the policy {policy!r}, but the policies are {list(gaps)}; use one of those"
            )
    marks = {policy: dict((statistics or {}).get(policy) or _nearest_ranks(values)) for policy, values in gaps.items()}
    for policy, values in marks.items():
        if set(values) != {"median", "p99", "max"}:
            raise ValueError(f'statistics[{policy!r}] needs exactly "median", "p99" and "max", got {list(values)}')
        check_mapping(f"statistics[{policy!r}]", values, float)
    with drawing_style():
        figure = new_figure(3.9, title)
        axes = figure.subplots()
        for order, (policy, values) in enumerate(gaps.items()):
            color, line = curve_look(order)
            in_ms = sorted(1000 * value for value in values)
            shares = [(rank + 1) / len(in_ms) for rank in range(len(in_ms))]
            axes.step([in_ms[0], *in_ms], [0, *shares], where="post", color=color, linestyle=line, label=policy, lw=2)
            for name, marker, size in (("median", "o", 8), ("p99", "D", 11), ("max", "s", 8)):
                at = 1000 * marks[policy][name]
                share = sum(value <= at * (1 + 1e-9) for value in in_ms) / len(in_ms)
                axes.plot(at, share, marker, color=color, markeredgecolor="black", markersize=size, zorder=3)
        for name, marker in (("median", "o"), ("P99", "D"), ("max", "s")):
            axes.plot([], [], marker, color="white", markeredgecolor="black", label=name)
        axes.set_ylim(0, 1.06)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        axes.set_ylabel("share of gaps up to this long")
        number_axis(axes, "gap between consecutive tokens (ms)", log_x)
        figure.legend(loc="outside lower center", ncols=3)
    rows = tuple(
        (policy, str(len(values)), *(number(1000 * marks[policy][name]) for name in ("median", "p99", "max")))
        for policy, values in gaps.items()
    )
    summary = "; ".join(f"{row[0]}: median {row[2]} ms, P99 {row[3]} ms, longest {row[4]} ms" for row in rows) + "."
    return Picture(figure, title, summary, ("policy", "gaps", "median (ms)", "P99 (ms)", "max (ms)"), rows)


def _nearest_ranks(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    rank = {"median": 0.5, "p99": 0.99, "max": 1.0}
    return {name: ordered[math.ceil(share * len(ordered)) - 1] for name, share in rank.items()}
