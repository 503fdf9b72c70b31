"""The routes of the pages of schedules: the list, one schedule, and its actions after a confirmation.

A schedule is named by a parameter, not by the path: its name may have slashes, or be `..`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse

from taskscheduler.calendars.schedule import Schedule
from taskscheduler.errors import InvalidOptionError, ScheduleNotFoundError
from taskscheduler.model.job_ids import id_of
from taskscheduler.process import Process
from taskscheduler.store.schedules import STATES
from taskscheduler_daemon.web.http.bad_input import refusing_bad_input
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.pages.questions import REASON, Form, Question, ask, checked
from taskscheduler_daemon.web.pages.schedules.actions import ACTIONS, ScheduleAction, done_text, hindrance
from taskscheduler_daemon.web.pages.schedules.views import LATEST, key_of, schedule_page, schedule_row
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.truncate import line

PAGE = 50  #: schedules on one page of the list

_MOST_COUNTED = 1000

router = APIRouter(include_in_schema=False)


def schedule_of(
    request: Request, name: str | None = None, odd: Annotated[str | None, Query(alias="id")] = None
) -> Schedule:
    """Returns the schedule of this name, or the one with this `id`, which is no text."""
    schedules = context_of(request).scheduler.schedules
    if name is not None:
        return schedules.get(name)
    try:
        return schedules.get(id_of(odd or ""))
    except InvalidOptionError:
        raise ScheduleNotFoundError(odd) from None


Named = Annotated[Schedule, Depends(schedule_of)]


@router.get("/schedules")
def list_schedules(request: Request, name: str = "", state: str = "", after: str = "", done: str = "") -> Response:
    """Shows schedules by their names, a page at a time."""
    if state and state not in STATES:
        raise HTTPException(400, f'There is no state "{line(state)}" to look for')
    context = context_of(request)
    stored, now = context.scheduler.store.schedules, context.scheduler.store.clock.now()
    found = stored.page(PAGE + 1, after, name, state)
    odd = [] if after or name or state else stored.nameless()
    shown = [Schedule(document, now) for document in [*odd, *found[:PAGE]]]
    filters = {key: value for key, value in (("name", name), ("state", state)) if value}
    return page(
        context,
        "schedules.html",
        place="schedules",
        schedules=[schedule_row(one, runs, now) for one, runs in zip(shown, _runs(context, shown), strict=True)],
        counts={one: stored.count(one, _MOST_COUNTED) for one in STATES},
        name=line(name, 300),
        state=state,
        states=list(STATES),
        filtered=bool(filters),
        message=done_text(done),
        more=_address(context, {**filters, "after": shown[-1].name}) if len(found) > PAGE else None,
        first=_address(context, filters) if after else None,
    )


def _runs(context: WebContext, schedules: Sequence[Schedule]) -> list[list[Process]]:
    """Returns the latest runs of each of these schedules."""
    found = context.job_lists.runs([schedule.to_dict()["_id"] for schedule in schedules], LATEST)
    return [[Process(context.scheduler, run) for run in runs] for runs in found]


def _address(context: WebContext, query: dict[str, str]) -> str:
    return f"{context.root}/schedules" + (f"?{urlencode(query, errors='replace')}" if query else "")


@router.get("/schedule")
def show_schedule(request: Request, schedule: Named, done: str = "") -> Response:
    """Shows everything about one schedule."""
    context = context_of(request)
    (runs,) = _runs(context, [schedule])
    view = schedule_page(schedule, runs, context.scheduler.store.clock.now())
    return page(context, "schedule.html", place="schedules", schedule=view, message=done_text(done))


def action_of(name: str) -> ScheduleAction:
    """Returns the action in the path."""
    if name not in ACTIONS:
        raise HTTPException(404, "There is no such page")
    return ACTIONS[name]


@router.get("/schedule/{action}")
def confirm(request: Request, action: str, schedule: Named) -> Response:
    """Asks before an action."""
    context, wanted, key = context_of(request), action_of(action), key_of(schedule)
    row, kept = schedule_row(schedule, [], context.scheduler.store.clock.now()), hindrance(action, schedule)
    return ask(
        request,
        "schedules",
        Question(
            title="Run this schedule now?" if action == "run" else f"{wanted.label.capitalize()} this schedule?",
            subject=row["name"],
            status=row["state"],
            details=tuple(one for one in (row["reason"], row["words"]) if one),
            warning=wanted.warning,
            hindrance=f"You cannot {wanted.label} it. {kept}" if kept else "",
            fields=(REASON,) if action == "pause" else (),
            action=f"schedule/{action}?{key}",
            button="Run it now" if action == "run" else f"{wanted.label.capitalize()} the schedule",
            back=f"schedule?{key}",
            is_danger=action == "delete",
        ),
    )


@router.post("/schedule/{action}")
def act(request: Request, action: str, schedule: Named, form: Form) -> Response:
    """Takes a confirmed action, then shows the schedule, or the list if it is deleted."""
    context, wanted = context_of(request), action_of(action)
    checked(request, form, f"schedule/{action}?{key_of(schedule)}")
    if reason := hindrance(action, schedule):
        raise HTTPException(409, reason)
    with refusing_bad_input():
        _take(context, wanted, schedule, form.get("reason"))
    where = f"{context.root}/schedules?" if action == "delete" else f"{context.root}/schedule?{key_of(schedule)}&"
    return RedirectResponse(f"{where}done={action}", 303)


def _take(context: WebContext, action: ScheduleAction, schedule: Schedule, reason: str | None) -> None:
    schedules, name = context.scheduler.schedules, schedule.to_dict()["_id"]
    if action.name == "run":
        schedules.run(name)
    elif action.name == "pause":
        schedules.pause(name, reason or None)
    elif action.name == "resume":
        schedules.resume(name)
    else:
        schedules.delete(name)
