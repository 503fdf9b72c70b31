"""taskscheduler retry: puts jobs that have ended back in the queue."""

from __future__ import annotations

from collections.abc import Sequence

import click

from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.output.batch import apply_to_all
from taskscheduler_daemon.cli.settings import Settings

HELP = """Put jobs that have ended back in the queue: they run once more, with all their retries.

A run of an interval is retried alone, without the runs that would follow it. Exit code 5 if no job can be retried, 3 if
none was found, 1 if only some were put back.
"""


@cli_command("retry", help=HELP)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
def command(settings: Settings, job_ids: Sequence[str]) -> int:
    return apply_to_all(settings, job_ids, Scheduler.retry_job)
