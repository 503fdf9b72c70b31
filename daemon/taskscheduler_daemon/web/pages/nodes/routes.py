"""The routes of nodes."""

from __future__ import annotations

from typing import Annotated, Any

from bson import ObjectId
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from taskscheduler.model.nodes import NodeState, state_of
from taskscheduler.operations.audit.acting import may_act
from taskscheduler_daemon.presentation.running import as_of_now, boots_of
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.pages.nodes.views import counted, node_view
from taskscheduler_daemon.web.pages.questions import REASON, Form, Question, ask, checked
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.view_models import urgent_first

PAGE = 200  #: nodes

MOST_UNFOLDED = 40  #: workers; on a page with more, those of each node are folded away

_WARNING = (
    "It takes no new jobs, finishes those that it has however long they take, and ends. Its services go on elsewhere. "
    "It cannot be called back."
)

_DONE = "The node drains. It ends when its jobs are done."

router = APIRouter(include_in_schema=False)


@router.get("/nodes")
def nodes(request: Request, done: str = "") -> Response:
    """Shows the nodes of the last day, each with its workers and what they run."""
    context = context_of(request)
    found = context.overview.nodes()
    running = context.job_lists.running_on(boots_of(found))
    classes = {job["_id"]: str(job.get("class") or "") for job in running}
    shown = urgent_first(as_of_now(found, running))
    views = [node_view(node, classes) for node in shown[:PAGE]]
    return page(
        context,
        "nodes.html",
        place="nodes",
        nodes=views,
        states=counted(shown),
        folded=sum(len(view["workers"]) for view in views) > MOST_UNFOLDED,
        more=max(0, len(shown) - PAGE),
        may_drain=may_act("node.drain"),
        message=_DONE if done == "drain" else "",
    )


def _one(request: Request, identifier: str) -> dict[str, Any]:
    node = (
        context_of(request).scheduler.store.nodes.find(ObjectId(identifier)) if ObjectId.is_valid(identifier) else None
    )
    if node is None:
        raise HTTPException(404, "There is no such node")
    return node


Named = Annotated[dict[str, Any], Depends(_one)]


@router.get("/nodes/{identifier}/drain")
def confirm(request: Request, node: Named) -> Response:
    """Asks before a node drains."""
    state, view = state_of(node), node_view(node, {})
    return ask(
        request,
        "nodes",
        Question(
            title="Drain this node?",
            subject=view["name"],
            warning=_WARNING,
            hindrance="" if state is NodeState.UP else f"You cannot drain it. It is {state}.",
            fields=(REASON,),
            action=f"nodes/{node['_id']}/drain",
            button="Drain the node",
            back="nodes",
            is_danger=True,
        ),
    )


@router.post("/nodes/{identifier}/drain")
def act(request: Request, node: Named, form: Form) -> Response:
    """Drains a node, then shows all."""
    context = checked(request, form, f"nodes/{node['_id']}/drain")
    with refusing_bad_input():
        context.scheduler.nodes.drain(str(node["_id"]), form.get("reason") or None)
    return RedirectResponse(f"{context.root}/nodes?done=drain", 303)
