"""taskscheduler migrate: moves an older database to this version, or shows what that would change."""

from __future__ import annotations

from collections.abc import Iterable

import click

from taskscheduler.model.migration.steps import StepReport
from taskscheduler.operations.migration.migrate import migrate
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_migration
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.migration import COLUMNS, line, record, row, verdict
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import json_line, json_pretty, tsv

HELP = """Move an older database to this version, while nodes of both versions run.

Steps that older nodes would miss wait until none of those runs. The command may be stopped at any time and run again:
it does what is left to do. Exit code 1 if anything is left.
"""


@cli_command("migrate", example="taskscheduler migrate --dry-run", help=HELP)
@click.option("--dry-run", is_flag=True, help="Change nothing; only print what is to be done.")
@click.option("--all-indexes", is_flag=True, help="Also make the indexes of capabilities that nobody has used yet.")
def command(settings: Settings, dry_run: bool, all_indexes: bool) -> int:
    with open_migration(settings, all_indexes) as store:
        reports = _print(settings, store.plan() if dry_run else migrate(store))
    return ExitCode.OK if all(report.is_settled for report in reports) else ExitCode.FAILED


def _print(settings: Settings, steps: Iterable[StepReport]) -> list[StepReport]:
    """Prints the steps as they are done, and returns them."""
    form, reports = settings.form(), list[StepReport]()
    if form == "tsv":
        say(tsv(COLUMNS))
    for report in steps:
        reports.append(report)
        if form == "tsv":
            say(tsv(row(report)))
        elif form == "ndjson":
            say(json_line(record(report)))
        elif form == "id":
            say(report.step.name)
        elif form == "table":
            say(clean(line(report)))
    if form == "json":
        say_lines(json_pretty([record(report) for report in reports]))
    elif form == "table":
        for text in verdict(reports):
            say(clean(text))
    return reports
