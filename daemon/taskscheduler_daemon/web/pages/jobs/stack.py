"""The page that shows where a running job is right now."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from taskscheduler_daemon.presentation.clean import clean_lines
from taskscheduler_daemon.presentation.text import local
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.truncate import line

router = APIRouter(include_in_schema=False)


@router.get("/jobs/{identifier}/stack")
def show_stack(request: Request, identifier: str) -> Response:
    """Asks the node of the job, and shows the calls of all threads of its worker."""
    context = context_of(request)
    job = context.job(identifier)
    stack = job.stack()
    return page(
        context,
        "stack.html",
        place="jobs",
        id=job.id_text,
        job=line(job.job, 300),
        at=local(stack.at),
        text="\n".join(clean_lines(str(stack))),
    )
