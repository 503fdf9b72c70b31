"""The web service of groups, `/api/v1/groups`: the same records as `taskscheduler groups -o json`."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, Response

from taskscheduler.operations.control.groups import GroupUse, group_use
from taskscheduler.store.driver_errors import translated
from taskscheduler_daemon.presentation.group import record
from taskscheduler_daemon.web.api.control_forms import GroupRecord, NewGroup
from taskscheduler_daemon.web.api.parameters import CHECKED, Body, Name, check_known, takes
from taskscheduler_daemon.web.api.records import answer
from taskscheduler_daemon.web.http.bad_input import ECHO
from taskscheduler_daemon.web.http.bodies import json_object
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.problems import problems

_PATH = "/api/v1/groups"

_ONE = _PATH + "/{name}"

router = APIRouter(tags=["groups"], dependencies=CHECKED)


@router.get(_PATH, response_model=list[GroupRecord], responses=problems(), summary="List groups")
def list_groups(request: Request) -> Response:
    """Returns the groups that have a weight or waiting jobs by their names, each with how many jobs wait."""
    return answer([record(use) for use in context_of(request).scheduler.groups.all()])


@router.get(_ONE, response_model=GroupRecord, responses=problems(404, missing="no such group"), summary="One group")
def show_group(request: Request, name: Name) -> Response:
    """Returns the group of this name, if it has a weight or waiting jobs."""
    use = _use(request, name)
    if use is None:
        raise HTTPException(404, f"Group {name:.{ECHO}} has neither a weight nor waiting jobs")
    return answer(record(use))


def _use(request: Request, name: str) -> GroupUse | None:
    with translated():
        return group_use(context_of(request).scheduler.store, name)


@router.put(
    _ONE,
    response_model=GroupRecord,
    responses={201: {"model": GroupRecord, "description": "it is new"}, **problems()},
    summary="Set the weight of a group",
    openapi_extra=takes(NewGroup),
)
def put_group(request: Request, name: Name, body: Body) -> Response:
    """Sets the weight of a group, in place of the one before; it holds within a second."""
    context, given = context_of(request), json_object(body)
    check_known(given, NewGroup.model_fields, "field")
    is_new = _use(request, name) is None
    group = context.scheduler.groups.set(name, **{"weight": None, **given})
    use = _use(request, name) or GroupUse(group, 0)  # somebody has deleted it since
    headers = {"Location": f"{context.root}{_PATH}/{quote(name, safe='')}"} if is_new else None
    return answer(record(use), 201 if is_new else 200, headers)


@router.delete(
    _ONE,
    status_code=204,
    response_class=Response,
    responses=problems(404, missing="it has no weight"),
    summary="Delete the weight of a group",
)
def delete_group(request: Request, name: Name) -> Response:
    """Takes the weight of a group away, so that it has weight 1."""
    deleted = context_of(request).scheduler.groups.delete(name)
    if not deleted:
        raise HTTPException(404, f"Group {name:.{ECHO}} has no weight")
    return Response(status_code=204)
