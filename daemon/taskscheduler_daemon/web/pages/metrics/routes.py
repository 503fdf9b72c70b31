"""The route of metrics."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response

from taskscheduler.model.filters.durations import parse_duration
from taskscheduler.operations.metrics import BY, Asked, Which, metric_rows
from taskscheduler.store.driver_errors import translated
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.pages.metrics.views import charts, total_row
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.truncate import line

RANGES = ("1h", "6h", "24h", "72h", "30d", "90d")

PAGE = 50  #: classes, and queues

Name = Annotated[str, Query(max_length=500)]

router = APIRouter(include_in_schema=False)


@router.get("/history")
def metrics(request: Request, since: str = "24h", job: Name = "", queue: Name = "") -> Response:
    """Shows throughput and times of a range, and what was counted for each class and queue."""
    if since not in RANGES:
        raise HTTPException(400, f'since must be one of {", ".join(RANGES)}, not "{line(since, 40)}"')
    context, seconds = context_of(request), parse_duration(since)
    with refusing_bad_input(), translated():
        points = context.scheduler.metrics.points(since=seconds, job=job or None, queue=queue or None)
        # the tables are about the same time as the charts, which begin with a whole step
        which, asked = Which(job or None, queue or None), Asked(points[0].at)
        rows = metric_rows(context.scheduler.store, asked, which, BY)
    return page(
        context,
        "metrics.html",
        place="metrics",
        charts=charts(points),
        rows={by: [total_row(row, by, since) for row in found[:PAGE]] for by, found in rows.items()},
        ranges=RANGES,
        since=since,
        job=line(job, 300),
        queue=line(queue, 300),
    )
