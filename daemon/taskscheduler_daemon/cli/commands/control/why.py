"""taskscheduler why: says why a job does not run, or how many jobs there are for each reason."""

from __future__ import annotations

from collections.abc import Mapping

import click

from taskscheduler.model.control.reasons import Code, Reason
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.ids import resolve
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.reason import COLUMNS, record, rows, summary_record
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv

HELP = """Say why a job does not run: a code and a sentence. With --summary, count the live jobs of each code.

ID may be the last 5 or more digits of the id of a recent job. Exit code 3 if there is no such job.
"""


@cli_command("why", example="taskscheduler why 6d0ede69", help=HELP)
@click.argument("job_id", metavar="[ID]", required=False)
@click.option("--summary", is_flag=True, allow_from_autoenv=False, help="Count the live jobs of each code.")
def command(settings: Settings, job_id: str | None, summary: bool) -> None:
    if (job_id is None) != summary:
        raise click.UsageError("give the ID of a job, or --summary")
    with open_database(settings) as database:
        if job_id is None:
            _print_counts(settings, database.scheduler.why())
        else:
            _print(settings, database.scheduler.why(resolve(job_id, database.job_lists.recent_ids)))


def _print(settings: Settings, reason: Reason) -> None:
    form = settings.form()
    if form == "table":
        say(f"{settings.paint(reason.code, bold=True)}  {clean(reason.text)}")
    elif form == "tsv":
        say(tsv(("CODE", "TEXT")))
        say(tsv((reason.code, reason.text)))
    elif form == "id":
        say(reason.code)
    else:
        say_lines((json_pretty if form == "json" else json_line)(record(reason)))


def _print_counts(settings: Settings, counts: Mapping[Code, int]) -> None:
    form, found = settings.form(), rows(counts)
    if form == "json":
        say_lines(json_pretty(summary_record(counts)))
    elif form == "table":
        header, *lines = aligned([COLUMNS, *found])
        for line in (settings.paint(header, bold=True), *lines):
            say(line)
    elif form == "tsv":
        for cells in (COLUMNS, *found):
            say(tsv(cells))
    else:
        for code, number in counts.items():
            say(code if form == "id" else json_line({"code": str(code), "jobs": number}))
