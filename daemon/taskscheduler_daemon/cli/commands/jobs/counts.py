"""taskscheduler counts: prints how many jobs there are in each status."""

from __future__ import annotations

from collections.abc import Mapping

import click

from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.stats import COUNTED_BY
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv

HELP = """Count jobs per class, or per queue, and status. This reads all jobs.

TSV has one line per name with a column per status; JSON is {name: {status: count}}.
"""


@cli_command("counts", example="taskscheduler counts --by queue", help=HELP)
@click.option("--by", type=click.Choice(list(COUNTED_BY)), default="job", show_default=True, help="Group the counts.")
def command(settings: Settings, by: str) -> None:
    with open_database(settings) as database:
        counts = database.scheduler.counts(by)
    _print(settings, by, counts)


def _print(settings: Settings, by: str, counts: Mapping[str, Mapping[Status, int]]) -> None:
    form = settings.form()
    named = {name: {status.label: number for status, number in found.items()} for name, found in counts.items()}
    rows = [(by.upper(), *(status.name for status in Status))]
    rows += [(name, *(str(found[status]) for status in Status)) for name, found in counts.items()]
    if form == "json":
        say_lines(json_pretty(named))
    elif form == "ndjson":
        for name, found in named.items():
            say(json_line({by: name, **found}))
    elif form == "id":
        for name in named:
            say(clean(name))
    else:
        cells = [[clean(cell) for cell in row] for row in rows]
        for line in aligned(cells) if form == "table" else map(tsv, rows):
            say(line)
