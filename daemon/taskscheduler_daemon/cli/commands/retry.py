"""Decides what `taskscheduler retry` says about jobs that run once more."""

from __future__ import annotations

from collections.abc import Sequence

import click

from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.output.batch import treat_all
from taskscheduler_daemon.cli.settings import Settings

HELP = """Put jobs that have ended back to the queue: they run once more, with all their retries.

A run of an interval is tried for itself, without the runs that would follow. Exit code 5 if none can be tried again,
3 if none was found, 1 if some were not done.
"""


@cli_command("retry", help=HELP)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
def command(settings: Settings, job_ids: Sequence[str]) -> int:
    return treat_all(settings, job_ids, Scheduler.retry_job)
