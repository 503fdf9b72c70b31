"""taskscheduler failures: prints the mistakes by which jobs have failed, and how many jobs each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from taskscheduler.model.failures import Failure
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.failure import COLUMNS, record, row, row_with_ages
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, plural, tsv

HELP = """List the mistakes by which jobs ended FAILED or TIMEOUT, the most frequent first.

Jobs of the same class with the same type of exception at the same place in their own code are one line.
"""


@cli_command("failures", example="taskscheduler failures --since 2h", help=HELP)
@click.option("--since", type=DURATION, help="Only jobs that failed within this time: 2h, 7d.")
@click.option("--job", metavar="NAME", help="Only jobs of this class.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="Show so many, those seen last."
)
def command(settings: Settings, since: float | None, job: str | None, limit: int) -> None:
    with open_database(settings) as database:
        found = database.scheduler.failures(since, job, limit)
        now = database.scheduler.store.clock.now()
    _print(settings, found, now)
    if len(found) == limit:
        remark(f"taskscheduler: only the {plural(limit, 'mistake')} seen last; --limit shows more")


def _print(settings: Settings, found: Sequence[Failure], now: datetime) -> None:
    form = settings.form()
    if form == "json":
        say_lines(json_pretty([record(one) for one in found]))
    elif form == "tsv":
        for cells in (COLUMNS, *map(row, found)):
            say(tsv(cells))
    elif form == "table":
        rows = [COLUMNS, *(row_with_ages(one, now) for one in found)]
        for line in aligned([[clean(cell) for cell in cells] for cells in rows]):
            say(line)
    else:
        for one in found:
            say(one.fingerprint if form == "id" else json_line(record(one)))
