"""The route of failures, grouped by the mistake behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response

from taskscheduler.model.failures import Failure
from taskscheduler.model.filters.durations import TimeError, parse_duration
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.pages.overview.views import failure_row
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.truncate import line

PAGE = 100  #: mistakes

RANGES = ("1h", "24h", "7d", "30d")

router = APIRouter(include_in_schema=False)


@router.get("/failures")
def failures(request: Request, since: str = "24h", job: Annotated[str, Query(max_length=500)] = "") -> Response:
    """Shows the mistakes by which jobs have failed, those of most jobs first."""
    context = context_of(request)
    now = context.scheduler.store.clock.now()
    try:
        seconds = parse_duration(since)
    except (TimeError, OverflowError) as error:
        raise HTTPException(400, line(error, 300)) from None
    with refusing_bad_input():
        found = context.scheduler.failures(since=seconds, job=job or None, limit=PAGE)
    return page(
        context,
        "failures.html",
        place="failures",
        failures=[failure_row(one, now) for one in found],
        total=_total(found),
        is_cut=len(found) == PAGE,
        ranges=RANGES,
        since=since,
        job=line(job, 300),
    )


def _total(found: Sequence[Failure]) -> str:
    """Returns how many jobs failed by these mistakes, and whether more did than were counted."""
    is_complete = all(one.is_complete for one in found)
    return f"{sum(one.count for one in found)}{'' if is_complete else '+'}"
