"""The routes of the pages of flows: the list, one flow with its graph, and its actions after a confirmation."""

from __future__ import annotations

from typing import Annotated

from bson import ObjectId
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse

from taskscheduler.flow_state import FlowState, RunningFlow
from taskscheduler.model.flows.flow import FLOW_STATUSES
from taskscheduler_daemon.presentation.flow import hindrance, refusal
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.http.garbage import collector_paused
from taskscheduler_daemon.web.pages.flows.actions import ACTIONS, FlowAction, done_text
from taskscheduler_daemon.web.pages.flows.graph import draw
from taskscheduler_daemon.web.pages.flows.views import (
    flow_page,
    flow_row,
    graph_view,
    job_row,
    links_of,
    listed,
    to_describe,
)
from taskscheduler_daemon.web.pages.questions import Field, Form, Question, ask, checked
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.truncate import line

PAGE = 50  #: flows on one page of the list

RELOAD = 5  #: seconds

router = APIRouter(include_in_schema=False)


@router.get("/flows")
def list_flows(request: Request, name: str = "", status: str = "", before: str = "") -> Response:
    """Shows the newest flows that match, a page at a time."""
    if status and status not in FLOW_STATUSES:
        raise HTTPException(400, f'There is no status "{line(status)}" of a flow')
    if before and not ObjectId.is_valid(before):
        raise HTTPException(400, f'"{line(before)}" is not the id of a flow')
    context = context_of(request)
    with refusing_bad_input():
        found = context.scheduler.flows.list(status or None, PAGE + 1, name=name or None, before=before or None)
    now, filters = context.scheduler.store.clock.now(), {"name": name, "status": status}
    shown = found[:PAGE]
    older = links_of({**filters, "before": str(shown[-1].id)}) if len(found) > PAGE else ""
    return page(
        context,
        "flows.html",
        place="flows",
        flows=[flow_row(one, now) for one in shown],
        name=line(name, 300),
        status=status,
        statuses=list(FLOW_STATUSES),
        filtered=bool(name or status),
        older=older,
        newest=f"?{links_of(filters)}" if before else "",
    )


@router.get("/flows/{identifier}")
def show_flow(
    request: Request,
    identifier: str,
    step: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    live: Annotated[int, Query(ge=0, le=1)] = 0,
    done: str = "",
) -> Response:
    """Shows a flow, its graph and its most important jobs. With `live` the browser loads it again and again."""
    context = context_of(request)
    flow_id = context.flow_id(identifier)
    with collector_paused():  # it would look at all jobs of the flow, which takes as long as all the rest
        return _flow_page(context, flow_id, step, bool(live), done)


def _flow_page(context: WebContext, flow_id: ObjectId, step: int | None, live: bool, done: str) -> Response:
    flows, now = context.scheduler.flows, context.scheduler.store.clock.now()
    tree = flows.outline(flow_id)
    graph, rows, flow = draw(tree, step), listed(tree), FlowState(tree.flow)
    flows.describe(to_describe(graph, rows))
    return page(
        context,
        "flow.html",
        place="flows",
        flow=flow_page(flow, now),
        graph=graph_view(graph, flow, context.scheduler, now),
        jobs=[job_row(node, context.scheduler, now) for node in rows],
        stored=len(tree.nodes),
        live=live and not flow.has_ended,
        reload=RELOAD,
        toggled=links_of({"step": step, "live": 0 if live else 1}),
        message=done_text(done),
    )


def action_of(name: str) -> FlowAction:
    """Returns the action in the path."""
    if name not in ACTIONS:
        raise HTTPException(404, "There is no such page")
    return ACTIONS[name]


@router.get("/flows/{identifier}/{name}")
def confirm(request: Request, identifier: str, name: str) -> Response:
    """Asks before an action."""
    context, action = context_of(request), action_of(name)
    flow = context.flow(identifier)
    row, kept = flow_row(flow, context.scheduler.store.clock.now()), hindrance(name, flow)
    return ask(
        request,
        "flows",
        Question(
            title=f"{action.label.capitalize()}{' this flow' if name == 'cancel' else ''}?",
            subject=row["name"],
            status=row["status"],
            details=(row["jobs"],),
            warning=action.warning,
            hindrance=f"You cannot {action.label}. {kept}" if kept else "",
            fields=(Field("reason", "Why? It is stored in the jobs."),),
            action=f"flows/{flow.id}/{name}",
            button=action.button,
            back=f"flows/{flow.id}",
            is_danger=name == "cancel",
        ),
    )


@router.post("/flows/{identifier}/{name}")
def act(request: Request, identifier: str, name: str, form: Form) -> Response:
    """Takes a confirmed action, then shows the flow."""
    context, action = context_of(request), action_of(name)
    flow = context.flow(identifier)
    checked(request, form, f"flows/{flow.id}/{name}")
    with refusing_bad_input():
        taken = _take(action, flow, form.get("reason") or None)
    if not taken:
        raise HTTPException(409, refusal(name, flow))
    return RedirectResponse(f"{context.root}/flows/{flow.id}?done={name}", 303)


def _take(action: FlowAction, flow: RunningFlow, reason: str | None) -> bool:
    return flow.cancel(reason) if action.name == "cancel" else flow.retry_failed(reason) > 0
