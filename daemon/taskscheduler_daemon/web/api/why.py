"""The web service of reasons, `/api/v1/why`: the same records as `taskscheduler why -o json`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from taskscheduler_daemon.presentation.reason import record, summary_record
from taskscheduler_daemon.web.api.control_forms import ReasonRecord
from taskscheduler_daemon.web.api.parameters import CHECKED, Name
from taskscheduler_daemon.web.api.records import answer
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.problems import problems

_PATH = "/api/v1/why"

router = APIRouter(tags=["why"], dependencies=CHECKED)


@router.get(_PATH, response_model=dict[str, int], responses=problems(), summary="Count live jobs by reason")
def count_reasons(request: Request) -> Response:
    """Returns how many live jobs there are of each code, up to 1001; a code of no job is left out."""
    return answer(summary_record(context_of(request).scheduler.why()))


@router.get(
    _PATH + "/{name}",
    response_model=ReasonRecord,
    responses=problems(404, missing="no such job"),
    summary="Why a job does not run",
)
def show_reason(request: Request, name: Name) -> Response:
    """Returns why the job with this id does not run: a code, a sentence and what the sentence says."""
    return answer(record(context_of(request).job(name).why()))
