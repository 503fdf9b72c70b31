"""The web service of blocked sequences: the same records as `taskscheduler sequences -o json`."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response

from taskscheduler_daemon.presentation.sequence import record
from taskscheduler_daemon.web.api.control_forms import BlockedRecord
from taskscheduler_daemon.web.api.parameters import CHECKED, Name
from taskscheduler_daemon.web.api.records import answer
from taskscheduler_daemon.web.http.bad_input import ECHO
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.problems import problems

_PATH = "/api/v1/sequences"

router = APIRouter(tags=["sequences"], dependencies=CHECKED)


@router.get(
    _PATH,
    response_model=list[BlockedRecord],
    responses=problems(),
    summary="List blocked sequences",
)
def list_blocked(request: Request) -> Response:
    """Returns the sequences that wait since a job has failed, 1000 at most."""
    return answer([record(one) for one in context_of(request).scheduler.sequences.blocked()])


@router.post(
    _PATH + "/{name}/release",
    status_code=204,
    response_class=Response,
    responses=problems(404, missing="no failed job blocks it"),
    summary="Release a sequence",
)
def release(request: Request, name: Name) -> Response:
    """Lets the next job of a sequence run although one has failed."""
    released = context_of(request).scheduler.sequences.release(name)
    if not released:
        raise HTTPException(404, f"No failed job blocks a sequence {name:.{ECHO}}")
    return Response(status_code=204)
