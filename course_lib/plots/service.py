"""How much service each request has had, over time."""

from collections.abc import Mapping, Sequence

from course_lib.plots.picture import Picture
from course_lib.plots.style import curve_look, drawing_style, new_figure, number, number_axis
from course_lib.short import show
from course_lib.validate import check_mapping, check_type, checked_list, checked_numbers


def service_curves(
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    *,
    names: Mapping[str, str] | None = None,
    title: str = "Service that each request has had",
) -> Picture:
    """Draws service over time under several policies side by side, one line a request.

    `curves[policy][request_id]`: (seconds, tokens computed so far) in time order. `names`: request id to legend label.
    ValueError for no policy, no requests or a request without points.
    """
    check_type("curves", curves, Mapping, "a dict from policy to a dict from request id to points")
    check_mapping("names", names or {}, str)
    for policy, lines in curves.items():
        check_type(f"curves[{policy!r}]", lines, Mapping, "a dict from request id to points")
        for request_id, points in lines.items():
            where = f"curves[{policy!r}][{request_id!r}]"
            for point in checked_list(where, points, (tuple, list), "points (seconds, tokens)"):
                if len(checked_numbers(f"a point of {where}", point)) != 2:
                    raise ValueError(f"a point of {where} must be (seconds, tokens), got {show(point)}")
    sizes = {policy: {key: len(points) for key, points in lines.items()} for policy, lines in curves.items()}
    if not sizes or not all(lines and all(lines.values()) for lines in sizes.values()):
        raise ValueError(
            f"each policy needs requests, and each request at least one (seconds, tokens) point, got {sizes} points"
        )
    ids = list(dict.fromkeys(request_id for lines in curves.values() for request_id in lines))
    labels = {request_id: request_id for request_id in ids} | dict(names or {})
    with drawing_style():
        figure = new_figure(3.6, title)
        panels = figure.subplots(1, len(curves), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (policy, lines) in zip(panels, curves.items(), strict=True):
            axes.set_title(policy)
            for request_id, points in lines.items():
                color, line = curve_look(ids.index(request_id))
                seconds, tokens = zip(*points, strict=True)
                axes.plot(seconds, tokens, color=color, linestyle=line, lw=2.2, label=labels[request_id])
        for axes in panels:  # now that all curves are drawn: a limit set before would cut the later panels' off
            number_axis(axes, "time (s)", log=False)
            axes.set_ylim(bottom=0)
        panels[0].set_ylabel("tokens computed")
        handles = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=min(4, len(handles)))
    rows = tuple(
        (policy, labels[request_id], number(points[-1][1]), number(_reached(points)))
        for policy, lines in curves.items()
        for request_id, points in lines.items()
    )
    summary = "; ".join(
        f"{policy}: " + ", ".join(f"{labels[key]} done after {number(_reached(lines[key]))} s" for key in lines)
        for policy, lines in curves.items()
    )
    return Picture(figure, title, summary + ".", ("policy", "request", "tokens computed", "reached after (s)"), rows)


def _reached(points: Sequence[tuple[float, float]]) -> float:
    """When a request had its last service: the first time at its final count."""
    return next(seconds for seconds, tokens in points if tokens == points[-1][1])
