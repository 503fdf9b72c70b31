"""The web service of reasons, `/api/v1/why`: the same records as `taskscheduler why -o json`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from taskscheduler_daemon.presentation.reason import record, summary_record
from taskscheduler_daemon.web.api.control_forms import ReasonRecord
from taskscheduler_daemon.web.api.parameters import Name
from taskscheduler_daemon.web.http.answers import described_errors, json_answer
from taskscheduler_daemon.web.http.bad_input import only_known
from taskscheduler_daemon.web.http.context import context_of

_PATH = "/api/v1/why"

router = APIRouter(tags=["why"])


@router.get(
    _PATH, response_model=dict[str, int], responses=described_errors(400, 500), summary="Count live jobs by reason"
)
def count_reasons(request: Request) -> Response:
    """Returns how many live jobs there are of each code, up to 1001; a code of no job is left out."""
    only_known(request.query_params, ())
    return json_answer(summary_record(context_of(request).scheduler.why()))


@router.get(
    _PATH + "/{name}",
    response_model=ReasonRecord,
    responses=described_errors(404, 500, missing="no such job"),
    summary="Why a job does not run",
)
def show_reason(request: Request, name: Name) -> Response:
    """Returns why the job with this id does not run: a code, a sentence and what the sentence says."""
    return json_answer(record(context_of(request).job(name).why()))
