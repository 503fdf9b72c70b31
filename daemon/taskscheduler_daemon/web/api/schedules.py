"""The web service of schedules, `/api/v1/schedules`: the same records as `taskscheduler schedule list -o json`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from bson import ObjectId
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from taskscheduler.calendars.schedule import Schedule
from taskscheduler.calendars.timetable import changes_clocks
from taskscheduler.calendars.zones import zone
from taskscheduler.model.process_state import ProcessState
from taskscheduler.store.schedules import STATES
from taskscheduler_daemon.presentation.schedule import local, record
from taskscheduler_daemon.web.api.job_forms import JobRecord
from taskscheduler_daemon.web.api.parameters import CHECKED, Body, Name, check_known, takes
from taskscheduler_daemon.web.api.records import answer, job_record, next_page
from taskscheduler_daemon.web.api.schedule_forms import NewSchedule, NextTime, Pause, ScheduleRecord
from taskscheduler_daemon.web.http.bad_input import check_registered
from taskscheduler_daemon.web.http.bodies import json_object
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.http.problems import problems
from taskscheduler_daemon.web.pages.schedules.actions import hindrance

MOST_LISTED = 1000

MOST_TIMES = 100

_PATH = "/api/v1/schedules"

_ONE = _PATH + "/{name}"

_MISSING = "no such schedule"

router = APIRouter(tags=["schedules"], dependencies=CHECKED)


@router.get(_PATH, response_model=list[ScheduleRecord], responses=problems(), summary="List schedules")
def list_schedules(
    request: Request,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    state: Annotated[str | SkipJsonSchema[None], Query(json_schema_extra={"enum": list(STATES)})] = None,
) -> Response:
    """Returns schedules by their names, those after the name `after`. The header Link has the address of the next page.

    Those whose name is no text, which somebody else must have stored, come first, beyond the limit.
    """
    if state is not None and state not in STATES:
        raise HTTPException(400, f"Malformed state: it must be one of {', '.join(STATES)}")
    context = context_of(request)
    stored, now = context.scheduler.store.schedules, context.scheduler.store.clock.now()
    found = stored.page(limit + 1, after, state=state or "")
    odd = [] if after or state else stored.nameless()
    shown = [*odd, *found[:limit]]
    headers = {}
    if len(found) > limit:
        more = {"after": found[limit - 1]["_id"], "limit": limit, "state": state or None}
        headers = next_page(f"{context.root}{_PATH}", more)
    ids = [last_id for one in shown if (last_id := _last_id(one)) is not None]
    last = {run["_id"]: ProcessState(run) for run in context.job_lists.progress_of(ids)}
    records = [record(Schedule(one, now, last.get(_last_id(one)))) for one in shown]
    return answer(records, headers=headers)


def _last_id(document: Mapping[str, Any]) -> Any:
    last_id = document.get("last_id")
    return last_id if isinstance(last_id, ObjectId) else None


@router.get(
    _ONE,
    response_model=ScheduleRecord,
    responses=problems(404, missing=_MISSING),
    summary="One schedule",
)
def show_schedule(request: Request, name: Name) -> Response:
    """Returns the schedule of this name."""
    return answer(record(context_of(request).scheduler.schedules.get(name)))


@router.put(
    _ONE,
    response_model=ScheduleRecord,
    responses={
        201: {"model": ScheduleRecord, "description": "it is new"},
        **problems(),
    },
    summary="Add or change a schedule",
    openapi_extra=takes(NewSchedule),
)
def put_schedule(request: Request, name: Name, body: Body) -> Response:
    """Adds a schedule that belongs to the database, or changes the one of this name; a paused one stays paused."""
    context, given = context_of(request), json_object(body)
    job, data = given.pop("job", None), given.pop("data", None)
    if not isinstance(job, str) or not job:
        raise HTTPException(400, "Missing job")
    check_registered(context, job)
    if given.pop("name", name) != name:
        raise HTTPException(400, "The name in the body is not the one in the path; leave it out")
    options = {option: _value(option, value) for option, value in given.items()}
    schedule = context.scheduler.schedules.add(name, job, data, **options)
    is_new = schedule.to_dict().get("rev") == 0
    headers = {"Location": f"{context.root}{_PATH}/{quote(name, safe='')}"} if is_new else None
    return answer(record(schedule), 201 if is_new else 200, headers)


def _value(option: str, value: Any) -> Any:
    """Returns the value of an option; JSON has no dates, so they are texts, or as extended JSON writes them."""
    if option not in ("start", "end") or value is None:
        return value
    text = value["$date"] if isinstance(value, dict) and list(value) == ["$date"] else value
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise HTTPException(
            400, f"option {option} must be a date with a time zone such as 2027-06-01T00:00:00Z, not {value!r:.60}"
        ) from None


@router.delete(
    _ONE,
    status_code=204,
    response_class=Response,
    responses=problems(404, 409, missing=_MISSING),
    summary="Delete a schedule",
)
def delete_schedule(request: Request, name: Name) -> Response:
    """Deletes a schedule; its runs stay. One that nodes declare belongs to the code: that is answered with 409."""
    schedules = context_of(request).scheduler.schedules
    if reason := hindrance("delete", schedules.get(name)):
        raise HTTPException(409, reason)
    schedules.delete(name)
    return Response(status_code=204)


@router.post(
    _ONE + "/pause",
    response_model=ScheduleRecord,
    responses=problems(404, missing=_MISSING),
    summary="Pause a schedule",
    openapi_extra=takes(Pause, required=False),
)
def pause_schedule(request: Request, name: Name, body: Body) -> Response:
    """Keeps a schedule from adding runs until it is resumed; runs that were added go on."""
    given = json_object(body) if body else {}
    check_known(given, Pause.model_fields, "field")
    return answer(record(context_of(request).scheduler.schedules.pause(name, given.get("reason"))))


@router.post(
    _ONE + "/resume",
    response_model=ScheduleRecord,
    responses=problems(404, 409, missing=_MISSING),
    summary="Resume a schedule",
)
def resume_schedule(request: Request, name: Name) -> Response:
    """Lets a schedule run again, from its next time on."""
    return answer(record(context_of(request).scheduler.schedules.resume(name)))


@router.post(
    _ONE + "/run",
    status_code=201,
    response_model=JobRecord,
    responses=problems(404, 409, missing=_MISSING),
    summary="Run a schedule now",
)
def run_schedule(request: Request, name: Name) -> Response:
    """Adds one run now, beside the plan, and returns it as a job."""
    context: WebContext = context_of(request)
    run = context.scheduler.schedules.run(name)
    return answer(job_record(run), 201, {"Location": f"{context.root}/api/v1/jobs/{run.id}"})


@router.get(
    _ONE + "/next",
    response_model=list[NextTime],
    responses=problems(404, missing=_MISSING),
    summary="Next times of a schedule",
)
def next_times(request: Request, name: Name, count: Annotated[int, Query(ge=1, le=MOST_TIMES)] = 5) -> Response:
    """Returns the next times, whether it is paused or not; fewer if it ends before."""
    schedule = context_of(request).scheduler.schedules.get(name)
    where = zone(schedule.timezone)
    times = schedule.next_times(count)
    return answer(
        [{"at": at, "local": local(at, schedule.timezone), "clocks_change": changes_clocks(at, where)} for at in times]
    )
