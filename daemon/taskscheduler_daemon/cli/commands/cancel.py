"""taskscheduler cancel: cancels jobs and prints their status."""

from __future__ import annotations

from collections.abc import Sequence

import click
from bson import ObjectId

from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.output.batch import apply_to_all
from taskscheduler_daemon.cli.settings import Settings

HELP = """Cancel jobs and the runs that would follow them.

Queued jobs never start; running jobs are killed. A job that has ended keeps its status. Exit code 3 if no job was
found, 1 if some were not found.
"""


@cli_command("cancel", help=HELP)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
def command(settings: Settings, job_ids: Sequence[str]) -> int:
    return apply_to_all(settings, job_ids, cancel)


def cancel(scheduler: Scheduler, job_id: ObjectId) -> Process:
    """Cancels a job and returns it as it is afterwards."""
    scheduler.cancel_job(job_id)
    return scheduler.get_job(job_id)
