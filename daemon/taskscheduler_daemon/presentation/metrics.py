"""How counted attempts look: as rows of a time, a class or a queue, and as records for programs."""

from __future__ import annotations

from typing import Any

from taskscheduler.model.metrics.counts import FINAL_OUTCOMES, REPEATED_OUTCOMES
from taskscheduler.model.metrics.histogram import Histogram
from taskscheduler.model.metrics.points import MetricPoint, MetricRow
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.text import iso

BY = ("time", "job", "queue")  #: what a line is about

QUANTILES = (0.5, 0.95, 0.99)

_SHOWN = (*FINAL_OUTCOMES, "retried", "lost")

_COLUMNS = (*map(str.upper, _SHOWN), "WAIT P50", "WAIT P95", "RUN P50", "RUN P95")


def record(one: MetricPoint | MetricRow) -> dict[str, Any]:
    """Returns a step of time, a class or a queue for programs."""
    first = {"at": one.at, "seconds": one.seconds} if isinstance(one, MetricPoint) else {"name": one.name}
    outcomes = {name: one.outcomes[name] for name in (*FINAL_OUTCOMES, *REPEATED_OUTCOMES)}
    return {**first, **outcomes, "wait": durations(one.wait), "run": durations(one.run)}


def durations(histogram: Histogram) -> dict[str, float | int | None]:
    """Returns how many durations there are, their mean and their quantiles in seconds; None of none."""
    found: dict[str, float | int | None] = {"count": histogram.count, "mean": _rounded(histogram.mean)}
    return found | {f"p{share * 100:.0f}": _rounded(histogram.quantile(share)) for share in QUANTILES}


def _rounded(seconds: float | None) -> float | None:
    """Returns a duration without digits that buckets do not have."""
    return None if seconds is None else round(seconds, 4)


def columns(by: str) -> tuple[str, ...]:
    """Returns the names of the cells."""
    return (by.upper(), *_COLUMNS)


def row(one: MetricPoint | MetricRow) -> tuple[str, ...]:
    """Returns the cells of a step of time, a class or a queue, in the order of `columns`, with seconds."""
    return _cells(one, lambda seconds: f"{seconds:.4g}")


def row_for_people(one: MetricPoint | MetricRow) -> tuple[str, ...]:
    """Returns the same with durations such as 90s and 2ms."""
    return _cells(one, brief)


def _cells(one: MetricPoint | MetricRow, written: Any) -> tuple[str, ...]:
    first = iso(one.at) if isinstance(one, MetricPoint) else one.name
    shares = (0.5, 0.95)
    seconds = [histogram.quantile(share) for histogram in (one.wait, one.run) for share in shares]
    counts = [str(one.outcomes[name]) for name in _SHOWN]
    return (first, *counts, *("" if value is None else written(value) for value in seconds))
