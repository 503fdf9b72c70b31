"""`/metrics`, as Prometheus reads them: the state of the cluster."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler_daemon.monitoring.cluster_gauges import ClusterGauges
from taskscheduler_daemon.monitoring.exposition import NEEDS, build_info, exposition, is_installed
from taskscheduler_daemon.web.http.context import context_of

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
def scrape(request: Request) -> Response:
    """Answers a scrape: what every node tells of the cluster, too; nothing about this process."""
    if not is_installed():
        raise HTTPException(501, f"/metrics needs {NEEDS}")
    context, state = context_of(request), request.app.state
    if not hasattr(state, "gauges"):
        state.gauges = ClusterGauges(SYSTEM_CLOCK)
    values = state.gauges.values(context.scheduler.store)
    found = exposition([build_info(), *values], request.headers.get("accept", ""))
    return Response(found.body, media_type=found.content_type)
