"""The forms of the page of what may run: what they are signed for, and whether one comes from us."""

from __future__ import annotations

from fastapi import HTTPException, Request

from taskscheduler.model.filters.durations import TimeError, parse_duration
from taskscheduler_daemon.web.http.context import WebContext
from taskscheduler_daemon.web.pages import questions
from taskscheduler_daemon.web.pages.questions import Form
from taskscheduler_daemon.web.pages.truncate import line

__all__ = ["GROUP", "LIMIT", "PAUSE", "RESUME", "Form", "checked", "duration", "signed_forms"]

PAUSE, RESUME, LIMIT, GROUP = "pause", "resume", "limit", "group"


def signed_forms() -> dict[str, str]:
    """Returns what the forms that stand on the page itself are signed for."""
    return {name: f"control/{name}" for name in (PAUSE, RESUME, LIMIT, GROUP)}


def checked(request: Request, form: dict[str, str], signed: str) -> WebContext:
    """Returns the context of a form that comes from our page; answers 403 for any other."""
    return questions.checked(request, form, f"control/{signed}")


def duration(text: str) -> float | int:
    """Returns the seconds of a duration; answers 400 for anything else."""
    try:
        return parse_duration(text)
    except TimeError as error:
        raise HTTPException(400, line(error, 300)) from None
