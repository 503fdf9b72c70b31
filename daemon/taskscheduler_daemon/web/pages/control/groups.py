"""The form that sets the weight of a group."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.pages.control.forms import GROUP, Form, checked
from taskscheduler_daemon.web.pages.truncate import line

router = APIRouter(include_in_schema=False)


@router.post("/control/group")
def set_group(request: Request, form: Form) -> Response:
    """Sets the weight of the group that the form names."""
    context = checked(request, form, GROUP)
    text = form.get("weight", "")
    try:
        weight = float(text)
    except ValueError:
        raise HTTPException(400, f'weight must be a number, not "{line(text)}"') from None
    with refusing_bad_input():
        context.scheduler.groups.set(form.get("name", ""), weight)
    return RedirectResponse(f"{context.root}/control?done={GROUP}", 303)
