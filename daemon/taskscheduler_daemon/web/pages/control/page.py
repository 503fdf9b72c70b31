"""The page of what may run: pauses, limits with who holds their places, groups, and blocked sequences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from taskscheduler.model.control.pauses import KINDS, Pause
from taskscheduler.operations.control.groups import groups
from taskscheduler.operations.control.sequences import blocked_sequences
from taskscheduler.store.driver_errors import translated
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.pages.control.actions import ACTIONS, ControlAction, done_text
from taskscheduler_daemon.web.pages.control.forms import LIMIT, Form, checked, duration, signed_forms
from taskscheduler_daemon.web.pages.control.rows import group_row, limit_form, limit_row, pause_row, sequence_row
from taskscheduler_daemon.web.pages.questions import Question, ask, signed_page
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row, queue_row

SHOWN = 50  #: blocked sequences, and groups without a weight

QUEUE = "queue"

_NUMBERS = {"concurrency": int, "rate": float, "burst": int}

router = APIRouter(include_in_schema=False)


@router.get("/control")
def show(
    request: Request, name: str = "", group: str = "", kind: str = "queue", pause: str = "", done: str = ""
) -> Response:
    """Shows what is set and what is blocked, and the forms for the limit of this name and for this group."""
    context = context_of(request)
    paused = context.scheduler.pauses()
    uses = context.scheduler.limits.all()
    with translated():
        shared = groups(context.scheduler.store, SHOWN)
        blocked = blocked_sequences(context.scheduler.store, SHOWN + 1)
    now = context.scheduler.store.clock.now()
    known = next((use.limit for use in uses if use.name == name), None)
    return signed_page(
        request,
        "control.html",
        signed_forms(),
        place="control",
        pauses=[pause_row(one) for one in paused],
        kinds=KINDS,
        kind=kind,
        pause=line(pause, 500),
        queues=_queues(context, paused),
        limits=[limit_row(use, now) for use in uses],
        form=limit_form(name, known),
        changes=known is not None,
        groups=[group_row(use) for use in shared],
        more_groups=sum(use.group.at is None for use in shared) == SHOWN,
        group=line(group, 200),
        weight=next((f"{use.weight:g}" for use in shared if use.name == group), ""),
        sequences=[sequence_row(one, now) for one in blocked[:SHOWN]],
        more_sequences=len(blocked) > SHOWN,
        message=done_text(done),
    )


def _queues(context: WebContext, paused: Iterable[Pause]) -> list[Row]:
    """Returns the queues in which jobs wait, and whether somebody has paused them."""
    names = {one.name for one in paused if one.kind == QUEUE}
    nodes = context.overview.nodes()
    return [{**queue_row(one, nodes, names), "key": _pausing(one.queue)} for one in context.overview.backlogs()]


def _pausing(queue: str) -> str:
    return urlencode({"kind": QUEUE, "pause": queue}, errors="replace")


@router.post("/control/limit")
def set_limit(request: Request, form: Form) -> Response:
    """Sets the limit that the form names."""
    context = checked(request, form, LIMIT)
    values = {name: _number(name, form[name]) for name in _NUMBERS if form.get(name)}
    if form.get("per"):
        values["per"] = duration(form["per"])
    with refusing_bad_input():
        context.scheduler.limits.set(form.get("name", ""), **values)
    return RedirectResponse(f"{context.root}/control?done=limit", 303)


def _number(name: str, text: str) -> Any:
    try:
        return _NUMBERS[name](text)
    except ValueError:
        raise HTTPException(400, f'{name} must be a number, not "{line(text)}"') from None


def _action(kind: str, action: str) -> ControlAction:
    """Returns the action in the path."""
    if (kind, action) not in ACTIONS:
        raise HTTPException(404, "There is no such page")
    return ACTIONS[kind, action]


Wanted = Annotated[ControlAction, Depends(_action)]


@router.get("/control/{kind}/{action}")
def confirm(request: Request, wanted: Wanted, name: str) -> Response:
    """Asks before an action."""
    return ask(
        request,
        "control",
        Question(
            title=f"{wanted.name.capitalize()} this {wanted.kind}?",
            subject=line(name, 200),
            warning=wanted.warning,
            hidden={"name": name},
            action=f"control/{wanted.kind}/{wanted.name}",
            button=f"{wanted.name.capitalize()} the {wanted.kind}",
            back="control",
            is_danger=wanted.name == "delete",
            signed=f"control/{_signed(wanted, name)}",
        ),
    )


def _signed(action: ControlAction, name: str) -> str:
    return f"{action.kind}/{action.name} {name}"


@router.post("/control/{kind}/{action}")
def act(request: Request, wanted: Wanted, form: Form) -> Response:
    """Takes a confirmed action."""
    name = form.get("name", "")
    context = checked(request, form, _signed(wanted, name))
    with refusing_bad_input():
        if not wanted.take(context.scheduler, name):
            raise HTTPException(409, wanted.missing)
    return RedirectResponse(f"{context.root}/control?done={wanted.name}", 303)
