"""Draws what nodes have counted: pure, in percent for SVG, so that a chart is as wide as its card without a script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from taskscheduler.model.metrics.points import MetricPoint
from taskscheduler_daemon.presentation.durations import brief

Chart = dict[str, Any]

PARTS = ("done", "canceled", "failed", "timeout")  #: of a bar, from below

_GRID = 3  #: lines at most

_FASTEST, _SLOWEST = 0.001, 1_000_000.0  #: seconds

_LABELS = 4  #: below a chart


def throughput(points: Sequence[MetricPoint]) -> Chart:
    """Returns jobs in each step of time, one bar for each, from below: done, canceled, failed, timeout."""
    top = _round_up(max((point.ended for point in points), default=0))
    columns = [
        {**at, "parts": _bar(point, top), "text": _said(point, _counted(point))} for at, point in _placed(points)
    ]
    grid = [{"y": f"{100 - 100 * part / 2:.1f}", "text": _number(top * part / 2)} for part in (1, 2)]
    is_empty = not any(point.ended for point in points)
    return {"columns": columns, "lines": [], "grid": grid, "labels": _labels(points), "is_empty": is_empty}


def _bar(point: MetricPoint, top: int) -> list[dict[str, str]]:
    parts, below = list[dict[str, str]](), 0
    for name in PARTS:
        if number := point.outcomes.get(name, 0):
            below += number
            parts.append({"name": name, "y": f"{100 - 100 * below / top:.2f}", "height": f"{100 * number / top:.2f}"})
    return parts


def _counted(point: MetricPoint) -> list[str]:
    return [f"{number} {name}" for name in PARTS if (number := point.outcomes.get(name, 0))]


def latency(points: Sequence[MetricPoint], what: str) -> Chart:
    """Returns how long attempts waited or ran, `what` of these, in each step: a line for half and one for 95 % of them.

    The scale is logarithmic.
    """
    shares = {"p50": 0.5, "p95": 0.95}
    found = {name: [getattr(point, what).quantile(share) for point in points] for name, share in shares.items()}
    known = [value for values in found.values() for value in values if value is not None]
    low, high = _decades(known)
    columns = []
    for number, (at, point) in enumerate(_placed(points)):
        said = [f"{name} {brief(value)}" for name in shares if (value := found[name][number]) is not None]
        columns.append({**at, "parts": [], "text": _said(point, said)})
    lines = [{"name": name, "paths": _paths(values, low, high)} for name, values in found.items()]
    grid = _decade_lines(low, high)
    return {"columns": columns, "lines": lines, "grid": grid, "labels": _labels(points), "is_empty": not known}


def _decade_lines(low: int, high: int) -> list[dict[str, str]]:
    decades = range(low + 1, high + 1)
    step = math.ceil(len(decades) / _GRID)
    return [{"y": f"{_height(10.0**one, low, high):.1f}", "text": brief(10.0**one)} for one in decades[::step]]


def _placed(points: Sequence[MetricPoint]) -> Iterable[tuple[dict[str, str], MetricPoint]]:
    width = 100 / max(len(points), 1)
    for number, point in enumerate(points):
        yield {"x": f"{number * width:.3f}", "width": f"{width:.3f}", "bar": f"{width * 0.8:.3f}"}, point


def _said(point: MetricPoint, what: Sequence[str]) -> str:
    return f"{_clock(point.at, point.seconds)}: {', '.join(what) or 'none'}"


def _clock(at: datetime, seconds: int) -> str:
    """Returns when a step of so many seconds began."""
    form = "%H:%M" if seconds < 3600 else "%m-%d %H:%M" if seconds < 86_400 else "%Y-%m-%d"
    return at.astimezone().strftime(form)


def _labels(points: Sequence[MetricPoint]) -> list[dict[str, str]]:
    """Returns some times below a chart, evenly apart."""
    if not points:
        return []
    span = points[-1].at - points[0].at
    seconds = 3600 if span > timedelta(days=1, hours=1) else 60
    chosen = [round(part * (len(points) - 1) / _LABELS) for part in range(_LABELS)]
    return [{"x": f"{100 * number / len(points):.2f}", "text": _clock(points[number].at, seconds)} for number in chosen]


def _round_up(number: int) -> int:
    """Returns the next even number of one or two digits and noughts, so that its half is whole."""
    if number <= 2:
        return 2
    unit = 10 ** max(0, len(str(number)) - 2)
    return int(-(-number // (2 * unit)) * 2 * unit)


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")


def _decades(known: Sequence[float]) -> tuple[int, int]:
    """Returns the powers of ten around these seconds."""
    inside = [min(_SLOWEST, max(_FASTEST, value)) for value in known] or [0.1, 1.0]
    low, high = math.floor(math.log10(min(inside))), math.ceil(math.log10(max(inside)))
    return low, max(high, low + 1)


def _height(seconds: float, low: int, high: int) -> float:
    """Returns how far down a value stands, in percent."""
    inside = min(_SLOWEST, max(_FASTEST, seconds))
    return min(100.0, max(0.0, 100 - 100 * (math.log10(inside) - low) / (high - low)))


def _paths(values: Sequence[float | None], low: int, high: int) -> str:
    """Returns the data of a path in a square of 100, with a gap where nothing is known, and a dot for a lone value."""
    parts, width = list[str](), 100 / max(len(values), 1)
    for number, value in enumerate(values):
        if value is None:
            continue
        x, y = (number + 0.5) * width, _height(value, low, high)
        begins = number == 0 or values[number - 1] is None
        parts.append(f"{'M' if begins else 'L'}{x:.2f} {y:.2f}" + ("h.01" if begins else ""))
    return "".join(parts)


def sums(points: Iterable[MetricPoint]) -> Mapping[str, int]:
    """Returns how many ended in each way."""
    found = dict.fromkeys(PARTS, 0)
    for point in points:
        for name in PARTS:
            found[name] += point.outcomes.get(name, 0)
    return found
