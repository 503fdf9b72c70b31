"""The forms of the page of what may run: what they are signed for, and whether one comes from us."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Request

from taskscheduler.model.filters.durations import TimeError, parse_duration
from taskscheduler_daemon.web.http.bodies import form_of
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.http.csrf import COOKIE, FIELD
from taskscheduler_daemon.web.pages.truncate import line

PAUSE, RESUME, LIMIT, GROUP = "pause", "resume", "limit", "group"

Form = Annotated[dict[str, str], Depends(form_of)]


def tokens(context: WebContext, cookie: str) -> dict[str, str]:
    """Returns the hidden fields of the forms that stand on the page itself."""
    return {name: context.csrf.field(cookie, f"control/{name}") for name in (PAUSE, RESUME, LIMIT, GROUP)}


def checked(request: Request, form: dict[str, str], signed: str) -> WebContext:
    """Returns the context of a form that comes from our page; answers 403 for any other."""
    context = context_of(request)
    if not context.csrf.matches(request.cookies.get(COOKIE), f"control/{signed}", form.get(FIELD, "")):
        raise HTTPException(403, "This form is no longer valid; go back, reload the page and try again")
    return context


def duration(text: str) -> float | int:
    """Returns the seconds of a duration; answers 400 for anything else."""
    try:
        return parse_duration(text)
    except TimeError as error:
        raise HTTPException(400, line(error, 300)) from None
