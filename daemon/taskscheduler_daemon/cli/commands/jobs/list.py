"""taskscheduler list: prints jobs, newest first; live ones by default, and for people a limited number of them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from taskscheduler.model.document import Document
from taskscheduler.model.filters.expression import Filter
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import OpenDatabase, open_database
from taskscheduler_daemon.cli.input.parameters import LIMIT, STATUS
from taskscheduler_daemon.cli.input.selecting import SLOW, WHERE
from taskscheduler_daemon.cli.output.tables import draw_jobs
from taskscheduler_daemon.cli.reading.newest_jobs import newest, query_of, searches
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.job import COLUMNS, record, row
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import json_line, json_list, tsv

_REDRAWN_EVERY = 1.0  #: seconds

_MOST_LINES = 50  #: jobs in a table for people, unless they say otherwise

_OTHER_LINES = 3  #: lines of a terminal that are not jobs

NEWEST_FIRST = "date"

#: sort keys of jobs that come newest first, and stay so among equals
ORDERS: Mapping[str, Callable[[Process], Any]] = {
    NEWEST_FIRST: lambda job: 0,  # noqa: ARG005 - keeps the order
    "queue": lambda job: str(job.options["queue"]),
    "status": lambda job: job.status,
}

HELP = """List jobs, newest first. Without a status or --all, only live jobs.

JSON leaves out data and result; `show` includes them.
"""


@cli_command("list", example="taskscheduler list --status failed --job myapp.Mail", help=HELP)
@WHERE
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
@SLOW
@click.option("--limit", type=LIMIT, help="Show at most this many.  [default: 50 in a table on a terminal, else all]")
@click.option("--order", type=click.Choice(list(ORDERS)), default="date", show_default=True, help="Order of the lines.")
@click.option("--follow", "-f", is_flag=True, help="Redraw the list each second, until Ctrl-C.")
def command(
    settings: Settings,
    where: str | None,
    status: Sequence[Status],
    job: str | None,
    queue: str | None,
    tags: Sequence[str],
    everything: bool,
    slow: bool,
    limit: int | None,
    order: str,
    follow: bool,
) -> None:
    chosen = Filter.parse(where or "")
    query = query_of(status, job, queue, tags, everything or chosen.names("status"))
    if follow and not (settings.terminal and settings.form() == "table"):
        raise click.UsageError("--follow draws on a terminal; in a pipe use: taskscheduler listen")
    if limit is None and settings.terminal and settings.form() == "table":
        limit = _MOST_LINES
    with open_database(settings) as database:
        queries = [query] if where is None else searches(database, query, chosen, slow)
        if follow:
            _follow(settings, database, queries, limit or _MOST_LINES, order)
        else:
            _show(settings, database, queries, limit, order)


def _show(
    settings: Settings, database: OpenDatabase, queries: Sequence[dict[str, Any]], limit: int | None, order: str
) -> None:
    if limit is None:
        jobs = _ordered(database, database.job_lists.every_of(queries), order)
        _print(settings, database, jobs, with_queue=order == "queue")
        return
    documents = newest(database, queries, limit + 1)
    more, documents = len(documents) > limit, documents[:limit]
    _print(settings, database, _ordered(database, documents, order), with_queue=order == "queue")
    if settings.terminal and settings.form() == "table":
        _print_hint(len(documents), more, queries[0])
    elif more:  # a program that counts lines must not take a part for the whole
        remark(f"taskscheduler: only the newest {limit} jobs are listed; there are more")


def _ordered(database: OpenDatabase, documents: Iterable[Document], order: str) -> Iterable[Process]:
    """Returns the jobs as they come, newest first, or in another order."""
    jobs = (Process(database.scheduler, document) for document in documents)
    return jobs if order == NEWEST_FIRST else sorted(jobs, key=ORDERS[order])


def _follow(
    settings: Settings, database: OpenDatabase, queries: Sequence[dict[str, Any]], limit: int, order: str
) -> None:
    pause = threading.Event()
    while True:
        click.clear()
        room = max(1, shutil.get_terminal_size().lines - _OTHER_LINES)
        _show(settings, database, queries, min(limit, room), order)
        pause.wait(_REDRAWN_EVERY)


def _print(settings: Settings, database: OpenDatabase, jobs: Iterable[Process], with_queue: bool) -> None:
    now, form = database.scheduler.store.clock.now(), settings.form()
    if form == "table":
        draw_jobs(settings, list(jobs), now, with_queue)
    elif form == "tsv":
        say(tsv(COLUMNS))
        for job in jobs:
            say(tsv(row(job, now, with_queue)))
    elif form == "json":
        for line in json_list(record(job) for job in jobs):
            say(line)
    else:
        for job in jobs:
            say(job.id_text if form == "id" else json_line(record(job)))


def _print_hint(shown: int, more: bool, query: dict[str, Any]) -> None:
    if shown == 0:
        ended = "; for ended jobs: taskscheduler list --all" if "status" in query else ""
        remark(f"no {'such ' if query else ''}jobs; add one: taskscheduler add NAME '{{\"key\": 1}}'{ended}")
    elif more:
        remark(f"showing the newest {shown}; --limit shows more")
