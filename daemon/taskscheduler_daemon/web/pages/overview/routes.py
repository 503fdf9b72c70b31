"""The route of the overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from taskscheduler.model.failures import Failure
from taskscheduler.model.filters.durations import parse_duration
from taskscheduler.model.filters.keys import KINDS
from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.model.metrics import steps
from taskscheduler.operations.control.known import unknown_classes
from taskscheduler.operations.control.summary import kept_back
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.running import as_of_now, boots_of
from taskscheduler_daemon.presentation.text import local
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.pages.control.reasons import reason_row
from taskscheduler_daemon.web.pages.metrics.views import charts, total_row
from taskscheduler_daemon.web.pages.overview.health import Facts, problems
from taskscheduler_daemon.web.pages.overview.views import (
    HOUR,
    ended_tiles,
    failure_row,
    live_tiles,
    most_urgent,
    node_tile,
    running_row,
)
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.view_models import node_row, program_row, queue_row, service_row, urgent_first

SHOWN = 20  #: services, and programs

RUNNING = 10  #: jobs

MISTAKES, SEARCHED = 5, 20  #: those of most jobs, among those seen last

QUEUES, NODES = 10, 10  #: those that need somebody first

BUSIEST = 8  #: classes

RANGES = ("1h", "6h", "24h", "72h")

_DAY = 24 * 3600

_AT_WORK: Mapping[str, Any] = {"status": {"$in": [int(Status.PROCESSING)]}}

_PROGRAMS: Mapping[str, Any] = {**KINDS["program"], **_AT_WORK}

_JOBS: Mapping[str, Any] = {**_AT_WORK, "$nor": [dict(KINDS["service"]), dict(KINDS["program"])]}

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(request: Request, range_: Annotated[str, Query(alias="range")] = RANGES[0]) -> Response:
    """Shows what is wrong, counts, queues, nodes, services, what runs, and programs that no node runs."""
    context = context_of(request)
    cluster = context.overview
    found = cluster.nodes()
    nodes = as_of_now(found, context.job_lists.running_on(boots_of(found)))
    queues, pauses = cluster.backlogs(), cluster.pauses()
    counts = cluster.counts(sorted(LIVE), queues)
    ended = cluster.ended_within(HOUR)
    mistakes = context.scheduler.failures(since=_DAY, limit=SEARCHED)[:MISTAKES]
    facts = Facts(nodes, queues, unknown_classes(cluster, found), pauses, ended, mistakes)
    paused = {one.name for one in pauses if one.kind == "queue"}
    rows = most_urgent(queue_row(backlog, nodes, paused) for backlog in sorted(queues, key=lambda one: -one.oldest))
    next_due = cluster.next_due() if counts[Status.POSTPONED] else None
    return page(
        context,
        "overview.html",
        place="overview",
        problems=problems(facts),
        tiles=live_tiles(counts, queues, nodes, next_due),
        ended=ended_tiles(ended),
        node_tile=node_tile(nodes),
        reasons=[reason_row(*one) for one in kept_back(cluster, counts, queues, found, pauses).items()],
        queues=rows[:QUEUES],
        more_queues=len(rows) > QUEUES,
        nodes=[node_row(node) for node in urgent_first(nodes)[:NODES]],
        more_nodes=len(nodes) > NODES,
        is_new=not any(counts.values()) and not context.job_lists.recent({}, 1),
        **_history(context, range_),
        **_jobs(context, mistakes),
    )


def _history(context: WebContext, name: str) -> dict[str, Any]:
    """Returns the charts of a range, and the busiest classes."""
    if name not in RANGES:
        raise HTTPException(400, f"range must be one of {', '.join(RANGES)}")
    seconds, metrics = parse_duration(name), context.scheduler.metrics
    since = context.scheduler.store.clock.now() - timedelta(seconds=seconds)
    if seconds >= steps.DAY.seconds:
        since = steps.HOUR.begins(since)  # as its charts do: the minutes before would take longer than all the hours
    return {
        "charts": charts(metrics.points(since=seconds)),
        "busiest": [total_row(row, "job", name) for row in metrics.totals("job", since=since, limit=BUSIEST)],
        "ranges": RANGES,
        "range": name,
    }


def _jobs(context: WebContext, mistakes: Sequence[Failure]) -> dict[str, Any]:
    """Returns what runs and what failed."""
    scheduler = context.scheduler
    now = scheduler.store.clock.now()
    services, programs, running = (
        [Process(scheduler, job) for job in context.job_lists.recent(query, most + 1)]
        for query, most in ((KINDS["service"], SHOWN), (_PROGRAMS, SHOWN), (_JOBS, RUNNING))
    )
    return {
        "services": [service_row(job, now) for job in services[:SHOWN]],
        "more_services": len(services) > SHOWN,
        "programs": [program_row(job, now) for job in programs[:SHOWN]],
        "more_programs": len(programs) > SHOWN,
        "running": [running_row(job, now) for job in running[:RUNNING]],
        "more_running": len(running) > RUNNING,
        "failures": [failure_row(one, now) for one in mistakes],
        "time": local(now),
    }
