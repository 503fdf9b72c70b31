"""The web service of limits, `/api/v1/limits`: the same records as `taskscheduler limits -o json`."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, Response

from taskscheduler.operations.control.limits import LimitUse, limit_use
from taskscheduler.store.driver_errors import translated
from taskscheduler_daemon.presentation.limit import record
from taskscheduler_daemon.web.api.control_forms import LimitRecord, NewLimit
from taskscheduler_daemon.web.api.parameters import CHECKED, Body, Name, check_known, takes
from taskscheduler_daemon.web.api.records import answer
from taskscheduler_daemon.web.http.bad_input import ECHO
from taskscheduler_daemon.web.http.bodies import json_object
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.problems import problems

_PATH = "/api/v1/limits"

_ONE = _PATH + "/{name}"

_MISSING = "no such limit"

router = APIRouter(tags=["limits"], dependencies=CHECKED)


@router.get(_PATH, response_model=list[LimitRecord], responses=problems(), summary="List limits")
def list_limits(request: Request) -> Response:
    """Returns all limits by their names, each with the jobs that hold a place and how many wait for one."""
    return answer([record(use) for use in context_of(request).scheduler.limits.all()])


@router.get(_ONE, response_model=LimitRecord, responses=problems(404, missing=_MISSING), summary="One limit")
def show_limit(request: Request, name: Name) -> Response:
    """Returns the limit of this name."""
    use = _use(request, name)
    if use is None:
        raise HTTPException(404, f"There is no limit {name:.{ECHO}}")
    return answer(record(use))


def _use(request: Request, name: str) -> LimitUse | None:
    with translated():
        return limit_use(context_of(request).scheduler.store, name)


@router.put(
    _ONE,
    response_model=LimitRecord,
    responses={201: {"model": LimitRecord, "description": "it is new"}, **problems()},
    summary="Set a limit",
    openapi_extra=takes(NewLimit),
)
def put_limit(request: Request, name: Name, body: Body) -> Response:
    """Sets the limit of this name in place of the one before; it holds within half a second, also for waiting jobs."""
    context, given = context_of(request), json_object(body)
    check_known(given, NewLimit.model_fields, "field")
    is_new = _use(request, name) is None
    limit = context.scheduler.limits.set(name, **given)
    use = _use(request, name) or LimitUse(limit, (), 0)  # somebody has deleted it since
    headers = {"Location": f"{context.root}{_PATH}/{quote(name, safe='')}"} if is_new else None
    return answer(record(use), 201 if is_new else 200, headers)


@router.delete(
    _ONE,
    status_code=204,
    response_class=Response,
    responses=problems(404, missing=_MISSING),
    summary="Delete a limit",
)
def delete_limit(request: Request, name: Name) -> Response:
    """Takes a limit away, so that its jobs are not limited any more."""
    deleted = context_of(request).scheduler.limits.delete(name)
    if not deleted:
        raise HTTPException(404, f"There is no limit {name:.{ECHO}}")
    return Response(status_code=204)
