"""The webservice of JobQueue: `GET /tasks`, `GET /task/{identifier}`, `POST /tasks`, with its bodies and errors.

A task is a job: its identifier is the job's id, its profile the queue, its parameters the data.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any

from bson import ObjectId
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from taskscheduler.model.checks import LONGEST_TAG, MOST_TAGS
from taskscheduler.model.checks import tags as checked_tags
from taskscheduler.model.filters.expression import Filter, all_of
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import is_count, status_of
from taskscheduler.operations.selections.batches import Selected
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.job_lists import JobLists
from taskscheduler_daemon.web.http.answers import described_errors, json_answer, json_bytes
from taskscheduler_daemon.web.http.bad_input import ECHO, check_registered, only_known, refusing_bad_input
from taskscheduler_daemon.web.http.bodies import body_of, json_object
from taskscheduler_daemon.web.http.context import context_of

MOST_TASKS = 1000  #: of a list; the newest that match

MOST_BYTES = 32 * 1024 * 1024  #: of a list, about

_PART = 64 * 1024  #: bytes of an answer that are sent at once

PROFILE = re.compile(r"[_a-z0-9-]+")

_BAD_PROFILE = "Profile name only allows lowercase alphanumerical, dash and underscore characters"

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

FILTERS = ("where", "slow", "profile", "status", "order", "tags", "tags[]")  #: the last one is how PHP writes a list

_STATUS_MEANS = (
    "waiting: also postponed jobs, solo jobs that wait for another one, and services between two runs; "
    "running: also tracked programs; failed: also jobs that were cancelled or timed out, and stopped services"
)

_IDENTIFIER_IS = "24 hexadecimal digits; extended JSON for a job that somebody else has stored under another id"


class Task(BaseModel):
    """A job in the form of JobQueue."""

    identifier: str = Field(description=_IDENTIFIER_IS)
    status: str = Field(json_schema_extra={"enum": list(STATUSES)}, description=_STATUS_MEANS)
    profile: str = Field(description="the queue")
    job: str = Field(description="the registered name")
    date: str = Field(description="when it was added, as in RFC 2822")
    parameters: Any = Field(
        description="the data of the job, in relaxed extended JSON; empty for the record of a program, which has none"
    )
    tags: list[str] = Field(default_factory=list, description="left out if there are none")
    batched: int | SkipJsonSchema[None] = Field(
        default=None, description="how many jobs it ran together with, itself included; left out if it ran by itself"
    )


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


def _choice(*names: str) -> Any:
    return Query(json_schema_extra={"enum": list(names)})


router = APIRouter(tags=["tasks"])

Text = str | SkipJsonSchema[None]

_TAGS = Query(max_length=MOST_TAGS, json_schema_extra={"items": {"type": "string", "minLength": 1}})


@router.get("/tasks", response_model=list[Task], responses=described_errors(400, 500), summary="List tasks")
def list_tasks(
    request: Request,
    where: Annotated[Text, Query(description="an expression such as `status:failed class:Mail created:>-2h`")] = None,
    slow: Annotated[bool, Query(description="search also if all jobs have to be read; only for `where`")] = False,
    profile: Annotated[Text, Query(json_schema_extra={"pattern": "^[_a-z0-9-]+$"})] = None,
    status: Annotated[Text, _choice(*_ACCEPTED)] = None,
    order: Annotated[Text, _choice(*ORDERS)] = None,
    tags: Annotated[list[str] | SkipJsonSchema[None], _TAGS] = None,
) -> Response:
    """Returns the newest 1000 tasks that match, with any of the tags, in this order (default: status), then by date.

    With a profile, ended tasks are searched among the newest 500000 of all tasks.
    """
    only_known(request.query_params, FILTERS)
    query: dict[str, Any] = {}
    if status is not None:
        query["status"] = {"$in": [int(one) for one in _statuses(status)]}
    if profile is not None:
        query["queue"] = _profile(profile)
    if wanted := [*(tags or ()), *request.query_params.getlist("tags[]")]:
        query["tags"] = {"$in": _tags(wanted)}
    order = _order("status" if order is None else order)
    context = context_of(request)
    queries = [query] if where is None else _searches(context.scheduler.store, query, where, slow)
    return _in_parts(_newest(context.job_lists, queries, order))


def _searches(store: Store, query: Mapping[str, Any], where: str, slow: bool) -> list[dict[str, Any]]:
    """Returns the queries that find the jobs of an expression by indexes; answers 400 if it is wrong or none does."""
    with refusing_bad_input(), translated():
        chosen = Filter.parse(where)
        asked = all_of([dict(query), chosen.query(store.clock.now())])
        return Selected(asked, slow, repr(str(chosen))).searches(store)


@router.get("/task/{identifier}", response_model=Task, responses=described_errors(400, 404, 500), summary="One task")
def show_task(request: Request, identifier: str) -> Response:
    """Returns the task with this identifier."""
    return json_answer(task_of(context_of(request).job(identifier).to_dict()))


@router.post(
    "/tasks",
    status_code=201,
    response_model=Task,
    responses=described_errors(400, 408, 413, 500),
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
    only_known(given, NewTask.model_fields)
    check_registered(context, name)
    with refusing_bad_input():
        added = context.scheduler.add_job(name, parameters, queue=profile, tags=tags)
    return json_answer(task_of(added.to_dict()), 201)


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
    with refusing_bad_input():
        return list(checked_tags("tags", value))


def _statuses(name: str) -> tuple[Status, ...]:
    if name not in _ACCEPTED:
        raise HTTPException(400, f'Status "{name:.{ECHO}}" does not exists')
    return _ACCEPTED[name]


def _order(name: str) -> str:
    if name not in ORDERS:
        raise HTTPException(400, f'Impossible to order by "{name:.{ECHO}}"')
    return name


def _place(order: str, date: datetime, task: Mapping[str, Any]) -> tuple[Any, ...]:
    first = {"date": "", "profile": task["profile"], "status": _RANK.get(task["status"], len(_RANK))}[order]
    return first, date, task["identifier"]


def _task(job: Mapping[str, Any]) -> tuple[datetime, dict[str, Any]]:
    """Returns when a stored job was added, and the job as a task."""
    date = _added(job)
    data = job.get("data")
    return date, {
        "identifier": id_text(job["_id"]),
        "status": _NAMES.get(status_of(job), "unreadable"),
        "profile": str(job.get("queue", "")),
        "job": str(job.get("class", "")),
        "date": format_datetime(date),
        "parameters": {} if data is None else data,
        **({"tags": job["tags"]} if "tags" in job else {}),
        **({"batched": job["batched"]} if is_count(job.get("batched")) else {}),
    }


def _added(job: Mapping[str, Any]) -> datetime:
    """Returns when a job was added, as far as that is known."""
    created, job_id = job.get("created"), job["_id"]
    if not isinstance(created, datetime):
        created = job_id.generation_time if isinstance(job_id, ObjectId) else datetime.fromtimestamp(0, UTC)
    return created.astimezone(UTC)


def task_of(job: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a stored job as a task."""
    return _task(job)[1]


def _newest(lists: JobLists, queries: Sequence[Mapping[str, Any]], order: str) -> bytes:
    """Returns the newest tasks that match as a list in JSON. Each is decoded alone: that takes 20 times its size."""
    found: list[tuple[tuple[Any, ...], bytes]] = []
    size = 0
    for job in lists.newest(queries, MOST_TASKS):
        date, task = _task(job)
        found.append((_place(order, date, task), json_bytes(task)))
        size += len(found[-1][1])
        if size >= MOST_BYTES:
            break
    return b"[%s]" % b", ".join(text for _, text in sorted(found))


def _in_parts(body: bytes) -> Response:
    """Answers a list. A part is sent when the one before it has been taken: then a slow reader is known to be one."""

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), _PART):
            yield body[start : start + _PART]

    return StreamingResponse(parts(), media_type="application/json", headers={"Content-Length": str(len(body))})
