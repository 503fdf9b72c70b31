"""The web service of jobs, `/api/v1/jobs`: lists, one job, and a job that is added."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from bson import ObjectId, json_util
from bson.errors import BSONError
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.filters.expression import Filter
from taskscheduler.operations.history import history
from taskscheduler.process import Process
from taskscheduler_daemon.web.api.idempotency import LONGEST_KEY, once_by_key
from taskscheduler_daemon.web.api.job_forms import (
    AddedJob,
    Attempt,
    JobCount,
    JobDetails,
    JobList,
    JobResult,
    NewJob,
    StatusChange,
)
from taskscheduler_daemon.web.api.parameters import CHECKED, Body, Name, check_known, form_of, takes
from taskscheduler_daemon.web.api.records import (
    FIELDS,
    answer,
    attempt_record,
    error,
    job_details,
    job_record,
    plain,
    stored,
)
from taskscheduler_daemon.web.http.bad_input import check_registered
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.http.problems import ProblemError, problems

MOST_LISTED = 1000

PATH = "/api/v1/jobs"

_MISSING = "no such job"

_DATES = ("at", "start_by")

router = APIRouter(tags=["jobs"], dependencies=CHECKED)

Text = str | SkipJsonSchema[None]

Expression = Annotated[
    Text, Query(description="an expression such as `status:failed class:Mail created:>-2h`", max_length=10_000)
]


@router.get(
    PATH,
    response_model=JobList,
    response_model_exclude_unset=True,
    responses=problems(),
    summary="List jobs",
)
def list_jobs(
    request: Request,
    q: Expression = None,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    cursor: Annotated[Text, Query(description="where the page begins: take it from `next`")] = None,
    fields: Annotated[Text, Query(description=f"some of: {', '.join(FIELDS)}; with commas")] = None,
) -> Response:
    """Returns a page of jobs, the newest first. `next`, also in the header Link, is the address of the next page.

    A page searches 5000 jobs at most. So it may have few jobs, or none, and still a next page.
    """
    context, wanted = context_of(request), _fields(fields)
    page = context.job_pages.page(_query(context, q), _place(cursor), limit)
    jobs = [job_record(Process(context.scheduler, job), wanted) for job in page.jobs]
    if page.next is None:
        return answer({"jobs": jobs, "next": None})
    given = {"q": q, "limit": limit, "fields": fields, "cursor": str(page.next)}
    more = urlencode({name: value for name, value in given.items() if value is not None}, errors="replace")
    following = f"{context.root}{PATH}?{more}"
    return answer({"jobs": jobs, "next": following}, headers={"Link": f'<{following}>; rel="next"'})


def _query(context: WebContext, q: str | None) -> dict[str, Any]:
    return Filter.parse(q or "").query(context.scheduler.store.clock.now())


def _place(cursor: str | None) -> ObjectId | None:
    if cursor is None:
        return None
    if not ObjectId.is_valid(cursor):
        raise ProblemError(400, "invalid-cursor", "The cursor is not one of this service: take it from `next`")
    return ObjectId(cursor)


def _fields(given: str | None) -> tuple[str, ...]:
    if given is None:
        return FIELDS
    wanted = [name.strip() for name in given.split(",")]
    check_known(wanted, FIELDS, "field")
    return tuple(dict.fromkeys(("id", *wanted)))


@router.get(
    PATH + "/count",
    response_model=JobCount,
    responses=problems(),
    summary="Count jobs",
)
def count_jobs(request: Request, q: Expression = None) -> Response:
    """Counts the jobs that match among the newest 5000 that an index leads to."""
    context = context_of(request)
    found = context.job_pages.count(_query(context, q))
    return answer({"count": found.found, "is_complete": found.is_complete})


@router.get(
    PATH + "/{name}",
    response_model=JobDetails,
    responses=problems(404, missing=_MISSING),
    summary="One job",
)
def show_job(request: Request, name: Name) -> Response:
    """Returns everything about the job with this id."""
    return answer(job_details(context_of(request).job(name)))


@router.get(
    PATH + "/{name}/attempts",
    response_model=list[Attempt],
    responses=problems(404, missing=_MISSING),
    summary="Attempts of a job",
)
def list_attempts(request: Request, name: Name) -> Response:
    """Returns the newest 20 attempts of a job, the oldest first."""
    return answer([attempt_record(one) for one in context_of(request).job(name).attempts])


@router.get(
    PATH + "/{name}/history",
    response_model=list[StatusChange],
    responses=problems(404, missing=_MISSING),
    summary="History of a job",
)
def list_history(request: Request, name: Name) -> Response:
    """Returns the newest 100 changes of status that the event log still has, the oldest first."""
    context = context_of(request)
    found = history(context.scheduler.store, context.job(name).id)
    fields = ("at", "attempt", "node")
    return answer([{"status": one.status.label, **{name: getattr(one, name) for name in fields}} for one in found])


@router.get(
    PATH + "/{name}/result",
    response_model=JobResult,
    responses=problems(404, missing=_MISSING),
    summary="Result of a job",
)
def show_result(request: Request, name: Name) -> Response:
    """Returns the result of a job, or its error; both are null as long as it has not ended."""
    job = context_of(request).job(name)
    ended = {"result": stored(job.result_value), "error": error(job.error)}
    return answer({"id": job.id_text, "status": job.status.label, **ended})


Key = Annotated[
    Text,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=LONGEST_KEY,
        pattern=r"^[\x20-\x7e]*$",
        description="within 24 hours, the same request with the same key gives the same answer, and one job",
    ),
]


@router.post(
    PATH,
    status_code=201,
    response_model=AddedJob,
    responses=problems(409, 422),
    summary="Add a job",
    openapi_extra=takes(NewJob),
)
def add_job(request: Request, body: Body, key: Key = None) -> Response:
    """Adds a job that the modules of --jobs register."""
    context, given = context_of(request), form_of(body, NewJob)
    check_registered(context, given.job)
    options = options_of(given, {"job", "data", "once"})

    def added(session: Any = None) -> dict[str, Any]:
        add = context.scheduler.add_job_once if given.once else context.scheduler.add_job
        process = add(given.job, data_of(given.data), options, session=session)
        return {**plain(job_record(process)), "outcome": process.outcome or "created"}

    if key is None:
        record, is_repeated = added(), False
    else:
        record, is_repeated = once_by_key(context.scheduler.store, key, body, added)
    location = f"{context.root}{PATH}/{quote(record['id'], safe='')}"
    return answer(record, 201, {"Location": location, **({"Idempotency-Replayed": "true"} if is_repeated else {})})


def options_of(form: Any, but: set[str]) -> dict[str, Any]:
    """Returns the options that a body gives, with dates in the place of their texts."""
    given = form.model_dump(exclude_unset=True, exclude=but)
    options = {name: value for name, value in given.items() if value is not None}
    return {name: _date(name, value) if name in _DATES else value for name, value in options.items()}


def _date(option: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise InvalidOptionError(
            f"option {option} must be a date with a time zone such as 2027-06-01T00:00:00Z, or a unix time, "
            f"not {value!r:.60}"
        ) from None


def data_of(value: Any) -> Any:
    """Returns data that were sent in JSON, with the types that extended JSON names."""
    if isinstance(value, list):
        return [data_of(one) for one in value]
    if not isinstance(value, dict):
        return value
    inner = {name: data_of(one) for name, one in value.items()}
    try:
        return json_util.object_hook(inner)
    except (ArithmeticError, BSONError, LookupError, TypeError, ValueError) as wrong:
        raise ProblemError(400, "invalid-data", f"The data are no extended JSON: {wrong!s:.200}") from None
