"""The web service that waits: `GET /api/v1/jobs/{id}/wait` answers when the job has ended, or when time is up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from taskscheduler.clock import Deadline
from taskscheduler.errors import DatabaseUnavailableError
from taskscheduler.process import Process
from taskscheduler_daemon.web.api.job_forms import JobRecord
from taskscheduler_daemon.web.api.jobs import PATH
from taskscheduler_daemon.web.api.parameters import CHECKED, Name
from taskscheduler_daemon.web.api.records import answer, job_record
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.http.problems import ProblemError, problems
from taskscheduler_daemon.web.live.changes import JOB, Change
from taskscheduler_daemon.web.live.feed import FeedClosedError, TooManySubscribersError

LONGEST_WAIT = 60.0  #: seconds

_LOOK = 5.0  #: seconds after which the job is read again, whatever the stream says

router = APIRouter(tags=["jobs"], dependencies=CHECKED)


@dataclass(frozen=True, slots=True)
class _OfJob:
    id: str

    def holds(self, change: Change) -> bool:
        """Whether it is a change of status of the job."""
        return change.kind == JOB and change.id == self.id and change.event != "progress"


@router.get(
    PATH + "/{name}/wait",
    response_model=JobRecord,
    responses={202: {"model": JobRecord, "description": "it has not ended yet"}, **problems(404)},
    summary="Wait for a job",
)
async def wait_for_job(
    request: Request, name: Name, timeout: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="seconds")] = 30.0
) -> Response:
    """Answers with the job as soon as it has ended; with 202 and the job as it is then if it has not after `timeout`.

    Whoever loses the connection asks again. So many clients may wait at once; another one is answered with 503.
    """
    context = context_of(request)
    job = await _job(context, name)
    if not job.status.is_final and timeout > 0:
        try:
            job = await _ended(request, context, job, timeout)
        except TooManySubscribersError:
            raise ProblemError(
                503, "too-many-waiters", "Too many clients wait at once; ask for the job instead"
            ) from None
        except FeedClosedError:
            raise ProblemError(503, "stopping", "This server stops; ask again") from None
    return answer(job_record(job), 200 if job.status.is_final else 202)


async def _job(context: WebContext, name: str) -> Process:
    return await run_in_threadpool(context.job, name)


async def _ended(request: Request, context: WebContext, job: Process, timeout: float) -> Process:
    """Returns the job when it has ended, time is up, or nobody waits any more."""
    deadline = Deadline(timeout)
    with context.feed.subscribe(wanted=_OfJob(job.id_text)) as changes:
        while not (deadline.passed or await request.is_disconnected()):
            await changes.next(deadline.left(_LOOK))
            try:
                job = await _job(context, job.id_text)
            except DatabaseUnavailableError:
                continue  # an election takes some seconds; the deadline goes on
            if job.status.is_final:
                break
    return job
