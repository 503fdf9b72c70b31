"""The web service of stacks, `/api/v1/jobs/{id}/stack`: the same record as `taskscheduler stack -o json`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from taskscheduler_daemon.presentation.stack import stack_record
from taskscheduler_daemon.web.api.control_forms import Id
from taskscheduler_daemon.web.api.parameters import CHECKED, Name
from taskscheduler_daemon.web.api.records import answer
from taskscheduler_daemon.web.api.schedule_forms import Date
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.problems import problems

_LONGEST = 60.0  #: seconds

router = APIRouter(tags=["jobs"], dependencies=CHECKED)


class FrameRecord(BaseModel):
    """One call."""

    file: str
    line: int
    function: str
    code: str = Field(description="the line of the source, empty if the node does not have it")


class ThreadRecord(BaseModel):
    """The calls of a thread or a task, the outermost first."""

    name: str
    frames: list[FrameRecord]


class StackRecord(BaseModel):
    """Where a running job is."""

    job: Id
    attempt: int
    node: str
    host: str
    pid: int = Field(description="of the worker")
    at: Date | None
    frozen: bool = Field(description="the worker runs no Python code")
    task: ThreadRecord | None = Field(description="the coroutines of an async job")
    threads: list[ThreadRecord] = Field(description="of the worker, the main one first")


@router.get(
    "/api/v1/jobs/{name}/stack",
    response_model=StackRecord,
    responses=problems(404, 409, 504, missing="no such job"),
    summary="Where a running job is right now",
)
def show_stack(
    request: Request, name: Name, timeout: Annotated[float, Query(ge=0.1, le=_LONGEST, description="seconds")] = 10.0
) -> Response:
    """Asks the node of the job; 409 if no node runs it, 504 if its node does not answer in time."""
    return answer(stack_record(context_of(request).job(name).stack(timeout)))
