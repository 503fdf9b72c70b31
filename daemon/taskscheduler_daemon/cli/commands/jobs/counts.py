"""taskscheduler counts: prints how many jobs there are in each status."""

from __future__ import annotations

import click

from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.stats import COUNTED_BY, counts_of_some
from taskscheduler.store.counts.by_name import MOST, NameCounts
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv

HELP = """Count jobs per class, or per queue, and status.

If there are more than 50 000 jobs, 2000 of each status are counted: of ended ones the newest. In a table, a number with
a + may be greater. --all counts every job, and reads all of them.

TSV has one line per name with a column per status; JSON is {name: {status: count}}.
"""


@cli_command("counts", example="taskscheduler counts --by queue", help=HELP)
@click.option("--by", type=click.Choice(list(COUNTED_BY)), default="job", show_default=True, help="Group the counts.")
@click.option("--all", "everything", is_flag=True, allow_from_autoenv=False, help="Count every job.")
def command(settings: Settings, by: str, everything: bool) -> None:
    with open_database(settings) as database:
        if everything:
            counted = NameCounts(database.scheduler.counts(by))
        else:
            counted = counts_of_some(database.scheduler.store, by)
    _print(settings, by, counted)
    if counted.cut:
        cut = ", ".join(status.label for status in sorted(counted.cut))
        remark(f"taskscheduler: only {MOST} jobs in each of these statuses are counted: {cut}; --all counts every job")


def _print(settings: Settings, by: str, counted: NameCounts) -> None:
    form, counts = settings.form(), counted.found
    named = {name: {status.label: number for status, number in found.items()} for name, found in counts.items()}
    more = counted.cut if form == "table" else frozenset()
    rows = [(by.upper(), *(status.name for status in Status))]
    rows += [(name, *(_number(found[status], status in more) for status in Status)) for name, found in counts.items()]
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


def _number(number: int, may_be_more: bool) -> str:
    return f"{number}+" if number and may_be_more else str(number)
