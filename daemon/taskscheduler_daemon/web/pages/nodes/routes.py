"""The route of nodes."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from taskscheduler_daemon.presentation.running import as_of_now, boots_of
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.pages.nodes.views import node_view
from taskscheduler_daemon.web.pages.templates import page

PAGE = 200  #: nodes

router = APIRouter(include_in_schema=False)


@router.get("/nodes")
def nodes(request: Request) -> Response:
    """Shows the nodes of the last day, each with its workers and what they run."""
    context = context_of(request)
    found = context.overview.nodes()
    running = context.job_lists.running_on(boots_of(found))
    classes = {job["_id"]: str(job.get("class") or "") for job in running}
    shown = as_of_now(found, running)
    return page(
        context,
        "nodes.html",
        place="nodes",
        nodes=[node_view(node, classes) for node in shown[:PAGE]],
        more=max(0, len(shown) - PAGE),
    )
