"""Decides which statuses `taskscheduler edit` may give a job: those that somebody can decide, not those that happen."""

from __future__ import annotations

from collections.abc import Mapping

import click
from bson import ObjectId

from taskscheduler.errors import InvalidStateError
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.commands.cancel import cancel
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.parameters import STATUS
from taskscheduler_daemon.cli.output.batch import Treatment, treat_all
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import remark

HELP = """Give a job another status: `waiting` puts one that has ended back to the queue, `canceled` cancels it.

No other status can be given: a node decides it when it runs the job.
"""

_RUNS = "whoever claims the job runs it, and decides how it ended"

REASONS: Mapping[Status, str] = {
    Status.PROCESSING: "a job cannot be marked as processing: only a node that runs it does so",
    Status.POSTPONED: "a job cannot be marked as postponed: add it with --at, or let it wait: edit ID waiting",
    **{
        status: f"a job cannot be marked as {status.label}: {_RUNS}; retry or cancel it"
        for status in (Status.DONE, Status.FAILED, Status.TIMEOUT)
    },
}


@cli_command("edit", help=HELP)
@click.argument("job_id", metavar="ID")
@click.argument("status", type=STATUS)
def command(settings: Settings, job_id: str, status: Status) -> int:
    if status not in _TREATMENTS:
        remark(f"taskscheduler: {REASONS[status]}")
        return ExitCode.REFUSED
    return treat_all(settings, [job_id], _TREATMENTS[status])


def _cancel_live(scheduler: Scheduler, job_id: ObjectId) -> Process:
    job = cancel(scheduler, job_id)
    if job.status is not Status.CANCELED:
        raise InvalidStateError(f"job {job_id} is {job.status.label}; only a job that has not ended can be cancelled")
    return job


_TREATMENTS: Mapping[Status, Treatment] = {Status.WAITING: Scheduler.retry_job, Status.CANCELED: _cancel_live}
