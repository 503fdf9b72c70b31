"""taskscheduler logs: prints what a job has logged and printed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import click

from taskscheduler.model.logs.lines import LogLine
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.ids import resolve
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.log import COLORS, COLUMNS, record, row, shown_lines
from taskscheduler_daemon.presentation.terminal import say
from taskscheduler_daemon.presentation.text import json_line, json_list, tsv

HELP = """Print what a job has logged and printed, the oldest line first.

With -f, go on until the job has ended. With -o ndjson, each line is an object; -o id prints the bare texts.
"""


@cli_command("logs", example="taskscheduler logs -f 6a5f0c1e", help=HELP)
@click.argument("id")
@click.option("-f", "--follow", is_flag=True, help="Wait for more until the job has ended.")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Only this attempt.  [default: all]")
def command(settings: Settings, id: str, follow: bool, attempt: int | None) -> None:
    with open_database(settings) as database:
        lines = database.scheduler.logs.lines(resolve(id, database.job_lists.recent_ids), attempt, follow)
        _print(settings, lines, attempt)


def _print(settings: Settings, lines: Iterable[LogLine], attempt: int | None) -> None:
    form = settings.form()
    if form == "json":
        for text in json_list(record(line) for line in lines):
            say(text)
    elif form == "tsv":
        say(tsv(COLUMNS))
        for line in lines:
            say(tsv(row(line)))
    elif form == "table":
        for number, those in groupby(lines, lambda line: line.attempt):
            if attempt is None:
                say(settings.paint(f"attempt {number}", bold=True))
            _draw(settings, those)
    else:
        for line in lines:
            say(line.text if form == "id" else json_line(record(line)))


def _draw(settings: Settings, lines: Iterable[LogLine]) -> None:
    for line in lines:
        for text in shown_lines(line):
            say(settings.paint(text, COLORS.get(line.level or "")))
