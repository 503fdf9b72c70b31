"""taskscheduler retry: puts jobs that have ended back in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from taskscheduler.model.changes import UNCHANGED
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.ids import JobId
from taskscheduler_daemon.cli.input.parameters import AT, DATA
from taskscheduler_daemon.cli.input.selecting import selecting, selects_many
from taskscheduler_daemon.cli.output.batch import apply_to_all
from taskscheduler_daemon.cli.output.selection import print_result
from taskscheduler_daemon.cli.settings import Settings

HELP = """Put jobs that have ended back in the queue: they run once more, with all their retries.

Give ids, or an expression for many. Jobs keep their steps, but for those that --from makes them forget. What --data and
other options change moves to the list of attempts. A run of an interval is retried alone, without the runs that would
follow it. Exit code 5 if no job can be retried, 3 if none was found, 1 if only some were put back.
"""


@cli_command("retry", example='taskscheduler retry --where "status:failed class:Mail" --spread 60s', help=HELP)
@click.argument("job_ids", metavar="[ID...]", nargs=-1)
@selecting(spread=True)
@click.option("--data", type=DATA, default=UNCHANGED, help="Run with these data, as JSON; - reads standard input.")
@click.option("--from", "from_step", metavar="STEP", help="Forget this step of the job and all after it.")
@click.option("--at", type=AT, help="Earliest start: unix time, ISO date with time zone, or from now: 90s, 1h30m.")
@click.option("--priority", type=int, help="Higher numbers run first within a queue.")
@click.option("--queue", metavar="NAME", help="Queue to put them in.")
def command(
    settings: Settings,
    job_ids: Sequence[str],
    where: str | None,
    everything: bool,
    slow: bool,
    data: Any,
    reason: str | None,
    from_step: str | None,
    at: Any,
    priority: int | None,
    queue: str | None,
    **bounds: Any,
) -> int:
    given = {"at": at, "priority": priority, "queue": queue}
    options = {name: value for name, value in given.items() if value is not None}
    if not selects_many(job_ids, where, everything, {"slow": slow, **bounds}):
        given = {"data": data, "reason": reason, "from_step": from_step, **options}
        return apply_to_all(settings, job_ids, partial(_retry, **given))
    if from_step is not None:
        raise click.UsageError("--from names a step of the jobs whose ids you give, not of those of an expression")
    bounds["spread"] = bounds["spread"] or 0
    with open_database(settings) as database:
        selection = database.scheduler.select(where, everything=everything, slow=slow)
        return print_result(settings.form(), selection.retry(data, reason=reason, **bounds, **options))


def _retry(scheduler: Scheduler, job_id: JobId, **given: Any) -> Process:
    return scheduler.retry_job(job_id, **given)
