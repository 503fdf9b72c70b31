"""taskscheduler update: changes a queued job in place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from taskscheduler.model.changes import UNCHANGED
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.input.ids import JobId
from taskscheduler_daemon.cli.input.parameters import AT, DATA
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.output.batch import apply_to_all
from taskscheduler_daemon.cli.settings import Settings

HELP = """Change a job that waits or is postponed, in place; what you do not give stays as it is.

Exit code 5 if the job has started.
"""


@cli_command("update", example="taskscheduler update 6d0ede69 --priority 10 --at 1h", help=HELP)
@click.argument("job_id", metavar="ID")
@click.option("--priority", type=int, help="Higher numbers run first within a queue.")
@click.option(
    "--at", type=AT, help="Earliest start: unix time (0: now), ISO date with time zone, or from now: 90s, 1h."
)
@click.option("--queue", metavar="NAME", help="Queue to put it in.")
@click.option("--data", type=DATA, default=UNCHANGED, help="New data, as JSON; - reads standard input.")
@click.option("--tag", "-t", "tags", multiple=True, allow_from_autoenv=False, help="Tag instead of others; repeatable.")
@click.option("--no-tags", is_flag=True, help="Remove its tags.")
@REASON
def command(settings: Settings, job_id: str, tags: Sequence[str], no_tags: bool, **given: Any) -> int:
    if tags and no_tags:
        raise click.UsageError("give --tag or --no-tags, not both")
    new_tags = list(tags) if tags or no_tags else None
    return apply_to_all(settings, [job_id], partial(_update, tags=new_tags, **given))


def _update(scheduler: Scheduler, job_id: JobId, **given: Any) -> Process:
    return scheduler.update_job(job_id, **given)
