"""Turns metrics into short plain values for the templates."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from taskscheduler.model.metrics.histogram import Histogram
from taskscheduler.model.metrics.points import MetricPoint, MetricRow
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.web.pages.charts import latency, sums, throughput
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row


def charts(points: Sequence[MetricPoint]) -> Row:
    """Returns the charts of a time, and what they show in words."""
    counted = sums(points)
    return {
        "throughput": throughput(points),
        "wait": latency(points, "wait"),
        "run": latency(points, "run"),
        "step": brief(points[0].seconds) if points else "",
        "said": ", ".join(f"{number} {name}" for name, number in counted.items()),
    }


def total_row(row: MetricRow, by: str, since: str) -> Row:
    """Returns what was counted about a class or queue."""
    ended = row.ended
    return {
        "name": line(row.name, 80),
        "key": urlencode({by: row.name, "since": since}, errors="replace"),
        "done": row.outcomes.get("done", 0),
        "failed": row.failures,
        "part": f"{100 * row.failures / ended:.2g} %" if row.failures and ended else "",
        "retried": row.outcomes.get("retried", 0) or "",
        "run_p50": _quantile(row.run, 0.5),
        "run_p95": _quantile(row.run, 0.95),
        "wait_p95": _quantile(row.wait, 0.95),
    }


def _quantile(histogram: Histogram, share: float) -> str:
    value = histogram.quantile(share)
    return "" if value is None else brief(value)
