"""taskscheduler list: prints jobs, newest first; live ones by default, and a limited number of them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.process import Process
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import OpenDatabase, open_database
from taskscheduler_daemon.cli.input.parameters import LARGEST_LIMIT, LIMIT, STATUS
from taskscheduler_daemon.cli.output.tables import draw_jobs
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.job import COLUMNS, record, row
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import json_line, json_pretty, tsv

_REDRAWN_EVERY = 1.0  #: seconds

_MOST_LINES = 50  #: jobs in a table for people, unless they say otherwise

_OTHER_LINES = 3  #: lines of a terminal that are not jobs

#: sort keys of jobs that come newest first, and stay so among equals
ORDERS: Mapping[str, Callable[[Process], Any]] = {
    "date": lambda job: 0,  # noqa: ARG005 - keeps the order
    "queue": lambda job: job.options["queue"],
    "status": lambda job: job.status,
}

HELP = """List jobs, newest first. Without --status or --all, only live jobs.

JSON has the stored documents without data and result; `show` includes them.
"""


@cli_command("list", help=HELP)
@click.option("--status", type=STATUS, multiple=True, help="Only jobs in this status; repeatable.")
@click.option("--job", metavar="NAME", help="Only jobs of this class.")
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option(
    "--tag",
    "-t",
    "tags",
    multiple=True,
    envvar="TASKSCHEDULER_TAG",
    help="Only jobs with one of these tags; repeatable.",
)
@click.option("--all", "everything", is_flag=True, envvar="TASKSCHEDULER_ALL", help="Jobs in every status.")
@click.option("--limit", type=LIMIT, help="Show at most this many.  [default: 50 in a table on a terminal, else 10000]")
@click.option("--order", type=click.Choice(list(ORDERS)), default="date", show_default=True, help="Order of the lines.")
@click.option("--follow", "-f", is_flag=True, help="Redraw the list each second, until Ctrl-C.")
def command(
    settings: Settings,
    status: Sequence[Status],
    job: str | None,
    queue: str | None,
    tags: Sequence[str],
    everything: bool,
    limit: int | None,
    order: str,
    follow: bool,
) -> None:
    query = _query(status, job, queue, tags, everything)
    if follow and not (settings.terminal and settings.form() == "table"):
        raise click.UsageError("--follow draws on a terminal; in a pipe use: taskscheduler listen")
    people = settings.terminal and settings.form() == "table"
    limit = limit or (_MOST_LINES if people else LARGEST_LIMIT)
    with open_database(settings) as database:
        if follow:
            _follow(settings, database, query, limit, order)
        else:
            _show(settings, database, query, limit, order)


def _show(settings: Settings, database: OpenDatabase, query: dict[str, Any], limit: int, order: str) -> None:
    documents = database.job_lists.recent(query, limit + 1)
    more, documents = len(documents) > limit, documents[:limit]
    jobs = sorted((Process(database.scheduler, document) for document in documents), key=ORDERS[order])
    _print(settings, database, jobs, with_queue=order == "queue")
    if settings.terminal and settings.form() == "table":
        _print_hint(len(jobs), more, query)
    elif more:  # a program that counts lines must not take a part for the whole
        remark(f"taskscheduler: only the newest {limit} jobs are listed; there are more")


def _follow(settings: Settings, database: OpenDatabase, query: dict[str, Any], limit: int, order: str) -> None:
    pause = threading.Event()
    while True:
        click.clear()
        room = max(1, shutil.get_terminal_size().lines - _OTHER_LINES)
        _show(settings, database, query, min(limit, room), order)
        pause.wait(_REDRAWN_EVERY)


def _query(
    status: Sequence[Status], job: str | None, queue: str | None, tags: Sequence[str], everything: bool
) -> dict[str, Any]:
    query: dict[str, Any] = {"class": job, "queue": queue, "tags": {"$in": list(tags)} if tags else None}
    wanted = status or (() if everything else tuple(LIVE))
    if wanted:
        query["status"] = {"$in": sorted(int(one) for one in wanted)}
    return {name: value for name, value in query.items() if value is not None}


def _print(settings: Settings, database: OpenDatabase, jobs: Sequence[Process], with_queue: bool) -> None:
    now, form = database.scheduler.store.clock.now(), settings.form()
    if form == "table":
        draw_jobs(settings, jobs, now, with_queue)
    elif form == "tsv":
        say(tsv(COLUMNS))
        for job in jobs:
            say(tsv(row(job, now, with_queue)))
    elif form == "json":
        say_lines(json_pretty([record(job) for job in jobs]))
    else:
        for job in jobs:
            say(str(job.id) if form == "id" else json_line(record(job)))


def _print_hint(shown: int, more: bool, query: dict[str, Any]) -> None:
    if shown == 0:
        ended = "; for ended jobs: taskscheduler list --all" if "status" in query else ""
        remark(f"no {'such ' if query else ''}jobs; add one: taskscheduler add NAME '{{\"key\": 1}}'{ended}")
    elif more:
        remark(f"showing the newest {shown}; --limit shows more")
