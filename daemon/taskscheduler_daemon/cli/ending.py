"""Decides what `taskscheduler cancel` does when only some of the jobs can be found."""

from __future__ import annotations

from collections.abc import Sequence

import click
from bson import ObjectId

from taskscheduler.errors import JobNotFoundError
from taskscheduler.handle import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import opened
from taskscheduler_daemon.cli.exits import Exit
from taskscheduler_daemon.cli.ids import resolve_all
from taskscheduler_daemon.cli.listing import record
from taskscheduler_daemon.cli.render import LOOKS, state
from taskscheduler_daemon.cli.settings import Settings, remark, say
from taskscheduler_daemon.cli.text import json_line, json_pretty, tsv

HELP = """Cancel jobs and the runs that would follow them: queued, they never start; running, they are killed.

A job that has ended already keeps its status. Exit code 3 if none was found, 1 if some were not.
"""


@cli_command("cancel", help=HELP)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
def command(settings: Settings, job_ids: Sequence[str]) -> int:
    with opened(settings) as database:
        ids = resolve_all(job_ids, database.inspection.recent_ids)
        ended = [job for job in (_cancel(database.scheduler, job_id) for job_id in ids) if job is not None]
    _print(settings, ended)
    if len(ended) == len(ids):
        return Exit.OK
    return Exit.FAILED if ended else Exit.NOT_FOUND


def _cancel(scheduler: Scheduler, job_id: ObjectId) -> Process | None:
    try:
        scheduler.cancel_job(job_id)
        return scheduler.get_job(job_id)
    except JobNotFoundError as error:
        remark(f"taskscheduler: {error}")
        return None


def _print(settings: Settings, jobs: Sequence[Process]) -> None:
    form = settings.form()
    if form == "json":
        say(json_pretty([record(job) for job in jobs]))
        return
    if form == "tsv":
        say(tsv(("ID", "STATE")))
    for job in jobs:
        if form == "table":
            say(f"{job.id}  {settings.paint(state(job.status, settings.fancy), LOOKS[job.status].color)}")
        elif form == "tsv":
            say(tsv((job.id, job.status.label)))
        else:
            say(json_line(record(job)) if form == "ndjson" else str(job.id))
