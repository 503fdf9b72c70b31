"""The web service of what can be done to jobs: to one, and to all that match an expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bson import ObjectId
from fastapi import APIRouter, Request, Response

from taskscheduler.facade.selections import Selection as Selected
from taskscheduler.model.changes import UNCHANGED
from taskscheduler.operations.selections.result import SelectionResult as Done
from taskscheduler_daemon.web.api.job_forms import (
    JobRecord,
    NewSignal,
    Reason,
    Retry,
    RetrySelection,
    Selection,
    SelectionResult,
    SignalRecord,
    Update,
)
from taskscheduler_daemon.web.api.jobs import PATH, data_of, options_of
from taskscheduler_daemon.web.api.parameters import CHECKED, Body, Name, form_of, takes
from taskscheduler_daemon.web.api.records import answer, job_record, stored
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.http.problems import ProblemError, problems

_ONE = PATH + "/{name}"

_MISSING = "no such job"

router = APIRouter(tags=["jobs"], dependencies=CHECKED)

_of_one = problems(404, 409, missing=_MISSING)

_of_many = problems(412)


@router.post(
    _ONE + "/cancel",
    response_model=JobRecord,
    responses=_of_one,
    summary="Cancel a job",
    openapi_extra=takes(Reason, required=False),
)
def cancel_job(request: Request, name: Name, body: Body) -> Response:
    """Cancels a job and the runs that would follow it; one that runs is killed. A job that has ended stays as it is."""
    context, given = context_of(request), form_of(body, Reason)
    job = context.job(name)
    context.scheduler.cancel_job(job.id_text, reason=given.reason)
    return answer(job_record(context.job(name)))


@router.post(
    _ONE + "/retry",
    response_model=JobRecord,
    responses=_of_one,
    summary="Retry a job",
    openapi_extra=takes(Retry, required=False),
)
def retry_job(request: Request, name: Name, body: Body) -> Response:
    """Puts a job that has ended back in the queue, perhaps with other data and options."""
    context, given = context_of(request), form_of(body, Retry)
    options = options_of(given, {"reason", "from_step", "data"})
    reasons = {"reason": given.reason, "from_step": given.from_step}
    job = context.scheduler.retry_job(context.job(name).id_text, _data(given), **reasons, **options)
    return answer(job_record(job))


def _data(given: Retry | Update) -> Any:
    return data_of(given.data) if "data" in given.model_fields_set else UNCHANGED


@router.patch(_ONE, response_model=JobRecord, responses=_of_one, summary="Change a job", openapi_extra=takes(Update))
def update_job(request: Request, name: Name, body: Body) -> Response:
    """Changes a job that has not started, in place; what is left out stays."""
    context, given = context_of(request), form_of(body, Update)
    options = options_of(given, {"data"})
    job = context.scheduler.update_job(context.job(name).id_text, data=_data(given), **options)
    return answer(job_record(job))


@router.post(_ONE + "/run-now", response_model=JobRecord, responses=_of_one, summary="Run a job now")
def run_now(request: Request, name: Name) -> Response:
    """Makes a job due that waits for its time."""
    context = context_of(request)
    return answer(job_record(context.scheduler.update_job(context.job(name).id_text, at=0)))


@router.post(
    _ONE + "/signal",
    response_model=SignalRecord,
    responses=_of_one,
    summary="Signal a job",
    openapi_extra=takes(NewSignal),
)
def signal_job(request: Request, name: Name, body: Body) -> Response:
    """Gives a job a signal that it waits for, or will wait for. The first one of a name holds."""
    context, given = context_of(request), form_of(body, NewSignal)
    signal = context.scheduler.signal(context.job(name).id_text, given.name, data_of(given.value))
    facts = {"name": signal.name, "won": signal.won, "timed_out": signal.timed_out}
    return answer({**facts, "value": stored(signal.value)})


@router.delete(
    _ONE,
    status_code=204,
    response_class=Response,
    responses=problems(404, 409, missing=_MISSING),
    summary="Delete a job",
)
def delete_job(request: Request, name: Name) -> Response:
    """Deletes a job in any status; cancels it first if it has not ended."""
    context = context_of(request)
    context.scheduler.delete_job(context.job(name).id_text)
    return Response(status_code=204)


# -- many jobs --------------------------------------------------------------------------------------------------------


@router.post(
    PATH + ":cancel",
    response_model=SelectionResult,
    responses=_of_many,
    summary="Cancel many jobs",
    openapi_extra=takes(Selection),
)
def cancel_many(request: Request, body: Body) -> Response:
    """Cancels the jobs that match and have not ended, the oldest first."""
    given = form_of(body, Selection)
    return _carried_out(given, _selected(context_of(request), given).cancel)


@router.post(
    PATH + ":retry",
    response_model=SelectionResult,
    responses=_of_many,
    summary="Retry many jobs",
    openapi_extra=takes(RetrySelection),
)
def retry_many(request: Request, body: Body) -> Response:
    """Puts the jobs that match and have ended back in the queue, the oldest first."""
    given = form_of(body, RetrySelection)
    return _carried_out(given, partial(_selected(context_of(request), given).retry, spread=given.spread))


@router.post(
    PATH + ":delete",
    response_model=SelectionResult,
    responses=_of_many,
    summary="Delete many jobs",
    openapi_extra=takes(Selection),
)
def delete_many(request: Request, body: Body) -> Response:
    """Deletes the jobs that match, in any status; cancels them first if they have not ended."""
    given = form_of(body, Selection)
    return _carried_out(given, _selected(context_of(request), given).delete)


def _selected(context: WebContext, given: Selection) -> Selected:
    where: str | Mapping[str, Any] | None = given.q
    if given.ids is not None:
        if given.q is not None or given.everything:
            raise ProblemError(400, "invalid-field", "Give q, ids or everything, not two of them")
        where = {"_id": {"$in": [_id(one) for one in given.ids]}}
    return context.scheduler.select(where, everything=given.everything, slow=given.slow)


def _id(text: str) -> ObjectId:
    if not ObjectId.is_valid(text):
        raise ProblemError(400, "invalid-field", f"ids: {text:.60} is not the id of a job")
    return ObjectId(text)


def _carried_out(given: Selection, verb: Callable[..., Done]) -> Response:
    if given.expected is not None:
        # one more, as a limit must not hide that there are more than expected
        found = verb(dry_run=True, limit=given.expected + 1).total
        if found != given.expected:
            number = f"more than {given.expected}" if found > given.expected else str(found)
            detail = f"{number} jobs are selected, not the expected {given.expected}; nothing was done"
            raise ProblemError(412, "unexpected-count", detail, total=found)
    done = verb(dry_run=given.dry_run, limit=given.limit, reason=given.reason)
    facts = {"total": done.total, "count": done.count, "skipped": done.skipped, "dry_run": done.dry_run}
    return answer({**facts, "reasons": dict(done.reasons), "is_complete": done.total < given.limit})
