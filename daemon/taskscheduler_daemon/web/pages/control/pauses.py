"""The forms that pause jobs and resume them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from taskscheduler.model.control.pauses import ALL, KINDS, Pause, pause_of_key
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.pages.control.forms import PAUSE, RESUME, Form, checked, duration

router = APIRouter(include_in_schema=False)


@router.post("/control/pause")
def pause(request: Request, form: Form) -> Response:
    """Pauses what the form names."""
    context = checked(request, form, PAUSE)
    kind, name = form.get("kind", ""), form.get("name", "")
    if kind not in KINDS:
        raise HTTPException(400, f"Choose one of {', '.join(KINDS)}")
    if (kind == ALL) == bool(name):
        raise HTTPException(400, "Give a name, or choose all and give none")
    until = duration(form["until"]) if form.get("until") else None
    with refusing_bad_input():
        context.scheduler.pause(**_named(Pause(kind, name or None)), reason=form.get("reason"), until=until)
    return RedirectResponse(f"{context.root}/control?done={PAUSE}", 303)


@router.post("/control/resume")
def resume(request: Request, form: Form) -> Response:
    """Resumes what the form names."""
    context = checked(request, form, RESUME)
    paused = pause_of_key(form.get("key", ""))
    if paused is None:
        raise HTTPException(400, "There is no such pause")
    with refusing_bad_input():
        context.scheduler.resume(**_named(paused))
    return RedirectResponse(f"{context.root}/control?done={RESUME}", 303)


def _named(pause: Pause) -> dict[str, Any]:
    return {} if pause.kind == ALL else {pause.kind: pause.name}
