"""Decides what `taskscheduler list` shows: live jobs unless told otherwise, the newest first, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from taskscheduler.handle import Process
from taskscheduler.lifecycle import LIVE, Status
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import Opened, opened
from taskscheduler_daemon.cli.parameters import LIMIT, STATUS
from taskscheduler_daemon.cli.render import COLUMNS, row
from taskscheduler_daemon.cli.settings import Settings, remark, say
from taskscheduler_daemon.cli.tables import draw_jobs
from taskscheduler_daemon.cli.text import json_line, json_pretty, tsv

HELP = """List jobs, the newest first; live ones unless --status or --all says otherwise.

JSON has the stored documents without data and result; `show` has those, too.
"""


@cli_command("list", help=HELP)
@click.option("--status", type=STATUS, multiple=True, help="Only jobs in this status; repeatable.")
@click.option("--job", metavar="NAME", help="Only jobs of this class.")
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--all", "everything", is_flag=True, envvar="TASKSCHEDULER_ALL", help="Jobs in every status.")
@click.option("--limit", type=LIMIT, default="50", show_default=True, help="At most so many.")
def command(
    settings: Settings, status: Sequence[Status], job: str | None, queue: str | None, everything: bool, limit: int
) -> None:
    query = _query(status, job, queue, everything)
    with opened(settings) as database:
        documents = database.inspection.recent(query, limit + 1)
        more, documents = len(documents) > limit, documents[:limit]
        jobs = [Process(database.scheduler, document) for document in documents]
        _print(settings, database, jobs)
    if settings.terminal and settings.form() == "table":
        _say_rest(len(jobs), more, query)


def _query(status: Sequence[Status], job: str | None, queue: str | None, everything: bool) -> dict[str, Any]:
    query: dict[str, Any] = {"class": job, "queue": queue}
    wanted = status or (() if everything else tuple(LIVE))
    if wanted:
        query["status"] = {"$in": sorted(int(one) for one in wanted)}
    return {name: value for name, value in query.items() if value}


def _print(settings: Settings, database: Opened, jobs: Sequence[Process]) -> None:
    now, form = database.scheduler.store.clock.now(), settings.form()
    if form == "table":
        draw_jobs(settings, jobs, now)
    elif form == "tsv":
        say(tsv(COLUMNS))
        for job in jobs:
            say(tsv(row(job, now)))
    elif form == "json":
        say(json_pretty([record(job) for job in jobs]))
    else:
        for job in jobs:
            say(str(job.id) if form == "id" else json_line(record(job)))


def record(job: Process) -> dict[str, Any]:
    """The stored document with the name of its status."""
    return {**job.to_dict(), "state": job.status.label}


def _say_rest(shown: int, more: bool, query: dict[str, Any]) -> None:
    if shown == 0:
        everything = "no such jobs" if query else "no jobs"
        remark(f"{everything}; add one: taskscheduler add NAME '{{\"key\": 1}}'; ended ones: taskscheduler list --all")
    elif more:
        remark(f"only the newest {shown} are shown; --limit shows more")
