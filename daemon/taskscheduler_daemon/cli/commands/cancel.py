"""Decides what `taskscheduler cancel` does to each job."""

from __future__ import annotations

from collections.abc import Sequence

import click
from bson import ObjectId

from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.output.batch import treat_all
from taskscheduler_daemon.cli.settings import Settings

HELP = """Cancel jobs and the runs that would follow them: queued, they never start; running, they are killed.

A job that has ended already keeps its status. Exit code 3 if none was found, 1 if some were not.
"""


@cli_command("cancel", help=HELP)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
def command(settings: Settings, job_ids: Sequence[str]) -> int:
    return treat_all(settings, job_ids, cancel)


def cancel(scheduler: Scheduler, job_id: ObjectId) -> Process:
    """Cancel a job; what it is then."""
    scheduler.cancel_job(job_id)
    return scheduler.get_job(job_id)
