"""Decides how `taskscheduler counts` prints how many jobs there are."""

from __future__ import annotations

from collections.abc import Mapping

import click

from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.stats import COUNTED_BY
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import opened
from taskscheduler_daemon.cli.settings import Settings, say
from taskscheduler_daemon.presentation.text import aligned, clean, json_line, json_pretty, tsv

HELP = """Count the jobs per class, or per queue, and status. It looks at all of them.

TSV has one line per name with a column per status; JSON is {name: {status: count}}.
"""


@cli_command("counts", help=HELP)
@click.option("--by", type=click.Choice(list(COUNTED_BY)), default="job", show_default=True, help="What to count by.")
def command(settings: Settings, by: str) -> None:
    with opened(settings) as database:
        counts = database.scheduler.counts(by)
    _print(settings, by, counts)


def _print(settings: Settings, by: str, counts: Mapping[str, Mapping[Status, int]]) -> None:
    form = settings.form()
    named = {name: {status.label: number for status, number in found.items()} for name, found in counts.items()}
    rows = [(by.upper(), *(status.name for status in Status))]
    rows += [(name, *(str(found[status]) for status in Status)) for name, found in counts.items()]
    if form == "json":
        say(json_pretty(named))
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
