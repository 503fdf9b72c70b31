"""The web service of logs, `/api/v1/jobs/{id}/logs`: the same records as `taskscheduler logs -o json`, in pages."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

from taskscheduler_daemon.presentation.log import record
from taskscheduler_daemon.web.api.parameters import Name
from taskscheduler_daemon.web.http.answers import described_errors, json_answer
from taskscheduler_daemon.web.http.bad_input import ECHO, only_known, refusing_bad_input
from taskscheduler_daemon.web.http.context import context_of

_ORDERS = ("oldest", "newest")

_PARAMETERS = {
    "attempt": "only this attempt",
    "cursor": "the lines after this one, or before it with `order=newest`",
    "order": "`oldest` (default) or `newest` first",
    "limit": "how many lines at most: 1000 by default, up to 10000",
}


class LineRecord(BaseModel):
    """A line of the log of an attempt."""

    time: datetime
    attempt: int
    stream: str
    level: str | None
    logger: str | None
    text: str
    cursor: str


class LogRecords(BaseModel):
    """A page of lines, and the cursor of the next one."""

    lines: list[LineRecord]
    next: str | None


router = APIRouter(tags=["logs"])


@router.get(
    "/api/v1/jobs/{name}/logs",
    response_model=LogRecords,
    responses=described_errors(400, 404, 500, missing="no such job"),
    summary="What a job has logged and printed",
    openapi_extra={
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
            for name, text in _PARAMETERS.items()
        ]
    },
)
def read_logs(request: Request, name: Name) -> Response:
    """Returns lines of a job, of one attempt or of all, from either end."""
    given, context = request.query_params, context_of(request)
    only_known(given, _PARAMETERS)
    order = given.get("order", "oldest")
    if order not in _ORDERS:
        raise HTTPException(400, f'order must be one of {", ".join(_ORDERS)}, not "{order:.{ECHO}}"')
    process = context.job(name)
    with refusing_bad_input():
        page = context.scheduler.logs.page(
            process.id_text,
            number(given.get("attempt"), "attempt"),
            given.get("cursor"),
            number(given.get("limit"), "limit") or 1000,
            order == "newest",
        )
    following = None if page.next is None else str(page.next)
    return json_answer({"lines": [record(line) for line in page.lines], "next": following})


def number(text: str | None, name: str) -> int | None:
    """Returns the number in a parameter, None if it is not given; answers 400 for anything else."""
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 9:
        raise HTTPException(400, f'{name} must be a number, not "{text:.{ECHO}}"')
    return int(text)
