"""The webservice of JobQueue: `GET /tasks`, `GET /task/{identifier}`, `POST /tasks`, with its bodies and errors.

A task is a job: its identifier is the job's id, its profile the queue, its parameters the data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any

from bson import ObjectId, json_util
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from taskscheduler.errors import InvalidDataError, InvalidJobError, InvalidOptionError
from taskscheduler.model.checks import LONGEST_TAG, MOST_TAGS
from taskscheduler.model.checks import tags as checked_tags
from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.presentation.text import JSON_OPTIONS
from taskscheduler_daemon.web.http.bodies import body_of, json_object
from taskscheduler_daemon.web.http.context import context_of

MOST_TASKS = 1000  #: of a list; the newest that match

MOST_BYTES = 32 * 1024 * 1024  #: of the parameters in a list, about

PROFILE = re.compile(r"[_a-z0-9-]+")

_BAD_PROFILE = "Profile name only allows lowercase alphanumerical, dash and underscore characters"

_ECHO = 200  #: characters of a wrong value that an error repeats

#: the statuses of tasks, and those of jobs that they stand for
STATUSES: Mapping[str, tuple[Status, ...]] = {
    "waiting": (Status.WAITING, Status.POSTPONED),
    "running": (Status.PROCESSING,),
    "finished": (Status.DONE,),
    "failed": (Status.FAILED, Status.CANCELED, Status.TIMEOUT),
}

_NAMES = {status: name for name, several in STATUSES.items() for status in several}

_ACCEPTED = {**{status.label: (status,) for status in Status}, **STATUSES}

_RANK = {name: rank for rank, name in enumerate(STATUSES)}

ORDERS = ("date", "profile", "status")

FILTERS = ("profile", "status", "order", "tags", "tags[]")  #: the last one is how PHP writes a list

_STATUS_MEANS = (
    "waiting: also postponed jobs, solo jobs that wait for another one, and services between two runs; "
    "running: also tracked programs; failed: also jobs that were cancelled or timed out, and stopped services"
)


class Task(BaseModel):
    """A job in the form of JobQueue."""

    identifier: str = Field(pattern="^[0-9a-f]{24}$")
    status: str = Field(json_schema_extra={"enum": list(STATUSES)}, description=_STATUS_MEANS)
    profile: str = Field(description="the queue")
    job: str = Field(description="the registered name")
    date: str = Field(description="when it was added, as in RFC 2822")
    parameters: Any = Field(
        description="the data of the job, in relaxed extended JSON; empty for the record of a program, which has none"
    )
    tags: list[str] = Field(default_factory=list, description="left out if there are none")


Tag = Annotated[str, Field(min_length=1, max_length=LONGEST_TAG)]

_Mapping = Annotated[dict[str, Any], Field(json_schema_extra={"propertyNames": {"pattern": r"^[^\x00]*$"}})]

_NoItems = Annotated[list[Any], Field(max_length=0)]


class NewTask(BaseModel):
    """The body of `POST /tasks`."""

    model_config = ConfigDict(extra="forbid")

    profile: str = Field(pattern="^[_a-z0-9-]+$")
    job: str = Field(min_length=1, description="the registered name of a job; others are refused")
    parameters: _Mapping | _NoItems | None = None
    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS)] | None = None


class Error(BaseModel):
    """The body of an error."""

    message: str
    code: int


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    texts = {
        400: "a wrong value, which the message names",
        404: "no such task",
        408: "the request took too long to arrive",
        413: "too large",
        500: "technical error",
    }
    always = {401: "the token is missing", 403: "a cross-site request"}
    described = {code: texts[code] for code in codes} | always
    return {code: {"model": Error, "description": text} for code, text in sorted(described.items())}


def _choice(*names: str) -> Any:
    return Query(json_schema_extra={"enum": list(names)})


router = APIRouter(tags=["tasks"])

Text = str | SkipJsonSchema[None]

_TAGS = Query(max_length=MOST_TAGS, json_schema_extra={"items": {"type": "string", "minLength": 1}})


@router.get("/tasks", response_model=list[Task], responses=_errors(400, 500), summary="List tasks")
def list_tasks(
    request: Request,
    profile: Annotated[Text, Query(json_schema_extra={"pattern": "^[_a-z0-9-]+$"})] = None,
    status: Annotated[Text, _choice(*_ACCEPTED)] = None,
    order: Annotated[Text, _choice(*ORDERS)] = None,
    tags: Annotated[list[str] | SkipJsonSchema[None], _TAGS] = None,
) -> Response:
    """Returns the newest 1000 tasks that match, with any of the tags, in this order (default: status), then by date.

    With a profile, ended tasks are searched among the newest 500000 of all tasks.
    """
    _only(request.query_params, FILTERS)
    query: dict[str, Any] = {}
    if status is not None:
        query["status"] = {"$in": [int(one) for one in _statuses(status)]}
    if profile is not None:
        query["queue"] = _profile(profile)
    if wanted := [*(tags or ()), *request.query_params.getlist("tags[]")]:
        query["tags"] = {"$in": _tags(wanted)}
    order = _order("status" if order is None else order)
    found = [_task(job) for job in context_of(request).job_lists.newest(query, MOST_TASKS, MOST_BYTES)]
    return _answer([task for _, task in sorted(found, key=lambda dated: _place(order, *dated))])


@router.get("/task/{identifier}", response_model=Task, responses=_errors(400, 404, 500), summary="One task")
def show_task(request: Request, identifier: str) -> Response:
    """Returns the task with this identifier."""
    return _answer(_task(context_of(request).job(identifier).to_dict())[1])


@router.post(
    "/tasks",
    status_code=201,
    response_model=Task,
    responses=_errors(400, 408, 413, 500),
    summary="Add a task",
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": NewTask.model_json_schema()}}}
    },
)
def add_task(request: Request, body: Annotated[bytes, Depends(body_of)]) -> Response:
    """Adds a job that the modules of --jobs register."""
    context, given = context_of(request), json_object(body)
    name, profile = _needed(given, "job"), _profile(_needed(given, "profile"))
    parameters, tags = _parameters(given.get("parameters")), _tags(given.get("tags"))
    _only(given, NewTask.model_fields)
    if name not in context.jobs:
        raise HTTPException(400, f'Job "{name:.{_ECHO}}" is not registered by the modules of --jobs')
    try:
        added = context.scheduler.add_job(name, parameters, queue=profile, tags=tags)
    except (InvalidDataError, InvalidJobError, InvalidOptionError) as error:
        raise HTTPException(400, str(error)) from error
    return _answer(_task(added.to_dict())[1], 201)


def _only(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuses unknown names, as a filter with a wrong name would list everything."""
    for name in given:
        if name not in known:
            raise HTTPException(400, f'Unknown "{name:.{_ECHO}}"; known are {", ".join(known)}')


def _needed(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise HTTPException(400, f"Missing {name}")
    return value


def _profile(name: str) -> str:
    if not PROFILE.fullmatch(name):
        raise HTTPException(400, _BAD_PROFILE)
    return name


def _parameters(value: Any) -> dict[str, Any]:
    if value is None or value == []:  # PHP encodes an empty array of parameters so
        return {}
    if not isinstance(value, dict):
        raise HTTPException(400, "Malformed parameters")
    return value


def _tags(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise HTTPException(400, "Malformed tags")
    if not all(isinstance(tag, str) for tag in value):
        raise HTTPException(400, "Tag value must be a string")
    try:
        return list(checked_tags("tags", value))
    except InvalidOptionError as error:
        raise HTTPException(400, str(error)) from error


def _statuses(name: str) -> tuple[Status, ...]:
    if name not in _ACCEPTED:
        raise HTTPException(400, f'Status "{name:.{_ECHO}}" does not exists')
    return _ACCEPTED[name]


def _order(name: str) -> str:
    if name not in ORDERS:
        raise HTTPException(400, f'Impossible to order by "{name:.{_ECHO}}"')
    return name


def _place(order: str, date: datetime, task: Mapping[str, Any]) -> tuple[Any, ...]:
    first = {"date": "", "profile": task["profile"], "status": _RANK.get(task["status"], len(_RANK))}[order]
    return first, date, task["identifier"]


def _task(job: Mapping[str, Any]) -> tuple[datetime, dict[str, Any]]:
    """Returns when a stored job was added, and the job as a task."""
    job_id: ObjectId = job["_id"]
    created = job.get("created")
    date = (created if isinstance(created, datetime) else job_id.generation_time).astimezone(UTC)
    data = job.get("data")
    return date, {
        "identifier": str(job_id),
        "status": _NAMES.get(Status(job.get("status", -1)), "unreadable"),
        "profile": job.get("queue", ""),
        "job": job.get("class", ""),
        "date": format_datetime(date),
        "parameters": {} if data is None else data,
        **({"tags": job["tags"]} if "tags" in job else {}),
    }


def _answer(value: Any, code: int = 200) -> Response:
    text = json_util.dumps(value, json_options=JSON_OPTIONS)
    return Response(text, code, media_type="application/json")
