"""taskscheduler edit: requeues or cancels a job; nodes set all other statuses."""

from __future__ import annotations

from collections.abc import Mapping

import click

from taskscheduler.errors import InvalidStateError
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.commands.changes.cancel import cancel
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.ids import JobId
from taskscheduler_daemon.cli.input.parameters import STATUS
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.output.batch import Operation, apply_to_all
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import remark

HELP = """Set the status of a job: `waiting` puts a job that has ended back in the queue, `canceled` cancels it.

All other statuses are refused, as the node that runs the job sets them.
"""

REASONS: Mapping[Status, str] = {
    Status.PROCESSING: "a job cannot be marked as processing: the node that runs it sets this status",
    Status.POSTPONED: "a job cannot be marked as postponed: add one with --at, or requeue this one: edit ID waiting",
    **{
        status: f"a job cannot be marked as {status.label}: the node that runs it sets this status; retry or cancel it"
        for status in (Status.DONE, Status.FAILED, Status.TIMEOUT)
    },
}


@cli_command("edit", example="taskscheduler edit 6d0ede69 waiting", help=HELP)
@click.argument("job_id", metavar="ID")
@click.argument("status", type=STATUS)
@REASON
def command(settings: Settings, job_id: str, status: Status) -> int:
    if status not in _OPERATIONS:
        remark(f"taskscheduler: {REASONS[status]}")
        return ExitCode.REFUSED
    return apply_to_all(settings, [job_id], _OPERATIONS[status])


def _cancel_live(scheduler: Scheduler, job_id: JobId) -> Process:
    job = cancel(scheduler, job_id)
    if job.status is not Status.CANCELED:
        raise InvalidStateError(f"job {job_id} is {job.status.label}; only a job that has not ended can be cancelled")
    return job


_OPERATIONS: Mapping[Status, Operation] = {Status.WAITING: Scheduler.retry_job, Status.CANCELED: _cancel_live}
