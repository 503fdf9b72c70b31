"""The web service of logs, `/api/v1/jobs/{id}/logs`: the same records as `taskscheduler logs -o json`, in pages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

from taskscheduler_daemon.presentation.log import record
from taskscheduler_daemon.web.api.parameters import CHECKED, Name
from taskscheduler_daemon.web.http.answers import json_answer
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.problems import problems

MOST_LINES = 10_000

MOST_ATTEMPT = 2**31 - 1


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


router = APIRouter(tags=["logs"], dependencies=CHECKED)


@router.get(
    "/api/v1/jobs/{name}/logs",
    response_model=LogRecords,
    responses=problems(404, missing="no such job"),
    summary="What a job has logged and printed",
)
def read_logs(
    request: Request,
    name: Name,
    attempt: Annotated[
        int | SkipJsonSchema[None], Query(ge=1, le=MOST_ATTEMPT, description="only this attempt")
    ] = None,
    cursor: Annotated[
        str | SkipJsonSchema[None], Query(description="the lines after this one, or before it with `order=newest`")
    ] = None,
    order: Annotated[Literal["oldest", "newest"], Query(description="which lines come first")] = "oldest",
    limit: Annotated[int, Query(ge=1, le=MOST_LINES, description="how many lines at most")] = 1000,
) -> Response:
    """Returns lines of a job, of one attempt or of all, from either end."""
    context = context_of(request)
    job = context.job(name)
    page = context.scheduler.logs.page(job.id_text, attempt, cursor, limit, order == "newest")
    following = None if page.next is None else str(page.next)
    return json_answer({"lines": [record(line) for line in page.lines], "next": following})
