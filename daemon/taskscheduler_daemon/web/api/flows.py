"""The web service of flows, `/api/v1/flows`: the same records as `taskscheduler flow list -o json`.

No answer grows with a flow: its jobs come a page at a time.
"""

from __future__ import annotations

from typing import Annotated, Any

from bson import ObjectId
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from taskscheduler.model.flows.flow import FLOW_STATUSES
from taskscheduler.model.lifecycle import Status
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.presentation.flow import detailed, failed_of, node_record, record, refusal
from taskscheduler_daemon.web.api.flow_forms import FlowDetails, FlowJob, FlowReason, FlowRecord, RetriedFlow
from taskscheduler_daemon.web.api.parameters import CHECKED, Body, Name, check_known, takes
from taskscheduler_daemon.web.api.records import answer, next_page
from taskscheduler_daemon.web.http.bodies import json_object
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.garbage import collector_paused
from taskscheduler_daemon.web.http.problems import problems

MOST_LISTED = 1000

_PATH = "/api/v1/flows"

_ONE = _PATH + "/{name}"

_MISSING = "no such flow"

_STATES = [status.label for status in Status]

router = APIRouter(tags=["flows"], dependencies=CHECKED)

Limit = Annotated[int, Query(ge=1, le=MOST_LISTED)]


@router.get(_PATH, response_model=list[FlowRecord], responses=problems(404), summary="List flows")
def list_flows(
    request: Request,
    limit: Limit = 100,
    status: Annotated[str | SkipJsonSchema[None], Query(json_schema_extra={"enum": list(FLOW_STATUSES)})] = None,
    begins: Annotated[str | SkipJsonSchema[None], Query(alias="name", description="how their names begin")] = None,
    before: Annotated[str | SkipJsonSchema[None], Query(description="the id of a flow")] = None,
) -> Response:
    """Returns flows, the newest first, those added before the flow `before`.

    The header Link has the address of the next page.
    """
    context = context_of(request)
    found = context.scheduler.flows.list(status, limit + 1, name=begins, before=before)
    more = {"status": status, "name": begins, "limit": limit, "before": found[limit - 1].id if found[limit:] else None}
    headers = next_page(f"{context.root}{_PATH}", more) if found[limit:] else {}
    return answer([record(one) for one in found[:limit]], headers=headers)


@router.get(_ONE, response_model=FlowDetails, responses=problems(404, missing=_MISSING), summary="One flow")
def show_flow(request: Request, name: Name) -> Response:
    """Returns the flow with this id, its depth, and the jobs that failed."""
    context = context_of(request)
    with collector_paused():  # it would look at all jobs of the flow, again and again
        return answer(_details(context.scheduler, context.flow_id(name)))


def _details(scheduler: Scheduler, flow_id: ObjectId) -> dict[str, Any]:
    tree = scheduler.flows.outline(flow_id)
    scheduler.flows.describe(failed_of(tree))
    return detailed(tree)


@router.get(
    _ONE + "/jobs",
    response_model=list[FlowJob],
    responses=problems(404, missing=_MISSING),
    summary="Jobs of a flow",
)
def list_jobs(
    request: Request,
    name: Name,
    limit: Limit = 100,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    state: Annotated[str | SkipJsonSchema[None], Query(json_schema_extra={"enum": _STATES})] = None,
) -> Response:
    """Returns jobs of a flow in the order in which they can run. The header Link has the address of the next page."""
    if state is not None and state not in _STATES:
        raise HTTPException(400, f"Malformed state: it must be one of {', '.join(_STATES)}")
    context = context_of(request)
    flow_id = context.flow_id(name)
    with collector_paused():  # as for one flow
        shown, has_more = _jobs(context.scheduler, flow_id, state, slice(skip, skip + limit))
    more = {"state": state, "limit": limit, "skip": skip + limit}
    return answer(shown, headers=next_page(f"{context.root}{_PATH}/{flow_id}/jobs", more) if has_more else {})


def _jobs(scheduler: Scheduler, flow_id: ObjectId, state: str | None, part: slice) -> tuple[list[dict[str, Any]], bool]:
    """Returns a part of the jobs of a flow in this state, and whether there are more."""
    wanted = [node for node in scheduler.flows.outline(flow_id).nodes if state is None or node.status.label == state]
    shown = wanted[part]
    scheduler.flows.describe(shown)
    return [node_record(node) for node in shown], part.stop < len(wanted)


@router.post(
    _ONE + "/cancel",
    response_model=FlowRecord,
    responses=problems(404, 409, missing=_MISSING),
    summary="Cancel a flow",
    openapi_extra=takes(FlowReason, required=False),
)
def cancel_flow(request: Request, name: Name, body: Body) -> Response:
    """Cancels all jobs of a flow that have not ended; 409 if it has ended."""
    flow, reason = context_of(request).flow(name), _reason(body)
    cancelled = flow.cancel(reason)
    if not cancelled:
        raise HTTPException(409, refusal("cancel", flow))
    return answer(record(flow))


@router.post(
    _ONE + "/retry",
    response_model=RetriedFlow,
    responses=problems(404, 409, missing=_MISSING),
    summary="Retry what failed",
    openapi_extra=takes(FlowReason, required=False),
)
def retry_flow(request: Request, name: Name, body: Body) -> Response:
    """Puts the failed jobs of a flow back in the queue, and those that were cancelled because of them."""
    flow, reason = context_of(request).flow(name), _reason(body)
    retried = flow.retry_failed(reason)
    if not retried:
        raise HTTPException(409, refusal("retry", flow))
    return answer({**record(flow), "retried": retried})


def _reason(body: bytes) -> Any:
    given = json_object(body) if body else {}
    check_known(given, FlowReason.model_fields, "field")
    return given.get("reason")
