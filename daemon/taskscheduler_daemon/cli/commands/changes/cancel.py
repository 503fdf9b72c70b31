"""taskscheduler cancel: cancels jobs and prints their status."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.ids import JobId
from taskscheduler_daemon.cli.input.selecting import selecting, selects_many
from taskscheduler_daemon.cli.output.batch import apply_to_all
from taskscheduler_daemon.cli.output.selection import print_result
from taskscheduler_daemon.cli.settings import Settings

HELP = """Cancel jobs and the runs that would follow them.

Give ids, or an expression for many. Queued jobs never start; running jobs are killed. A job that has ended keeps its
status. Exit code 3 if no job was found, 1 if some were not found.
"""


@cli_command("cancel", example="taskscheduler cancel 6d0ede69 6d0ede70", help=HELP)
@click.argument("job_ids", metavar="[ID...]", nargs=-1)
@selecting()
def command(
    settings: Settings,
    job_ids: Sequence[str],
    where: str | None,
    everything: bool,
    slow: bool,
    reason: str | None,
    **bounds: Any,
) -> int:
    if not selects_many(job_ids, where, everything, {"slow": slow, **bounds}):
        return apply_to_all(settings, job_ids, partial(cancel, reason=reason))
    with open_database(settings) as database:
        selection = database.scheduler.select(where, everything=everything, slow=slow)
        return print_result(settings.form(), selection.cancel(reason=reason, **bounds))


def cancel(scheduler: Scheduler, job_id: JobId, reason: str | None = None) -> Process:
    """Cancels a job and returns it as it is afterwards."""
    scheduler.cancel_job(job_id, reason=reason)
    return scheduler.get_job(job_id)
