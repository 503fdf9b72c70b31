"""taskscheduler metrics: prints what nodes have counted, by time, class or queue."""

from __future__ import annotations

from collections.abc import Sequence

import click

from taskscheduler.model.metrics.points import MetricPoint, MetricRow
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.metrics import BY, columns, record, row, row_for_people
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv

HELP = """Show how many attempts ended, how, and how long they waited and ran.

A line is a class, a queue or a step of time: time if --step, --job or --queue is given. Nodes add what they have
counted every 10 seconds. Minutes are kept for 72 hours, hours for 90 days.
"""


@cli_command("metrics", example="taskscheduler metrics --since 24h --by time", help=HELP)
@click.option("--since", type=DURATION, default="1h", show_default=True, help="Count this time up to now: 2h, 7d.")
@click.option("--by", type=click.Choice(list(BY)), help="What a line is about; default: job.")
@click.option("--step", type=DURATION, help="The length of a step of time: 5m, 1h.")
@click.option("--job", metavar="NAME", help="Only jobs of this class.")
@click.option("--queue", metavar="NAME", help="Only jobs in this queue.")
def command(
    settings: Settings, since: float, by: str | None, step: float | None, job: str | None, queue: str | None
) -> None:
    if by is None:
        by = "job" if step is None and job is None and queue is None else "time"
    if step is not None and by != "time":
        raise click.UsageError(f"--step is for --by time, not for --by {by}")
    with open_database(settings) as database:
        metrics = database.scheduler.metrics
        if by == "time":
            _print(settings, by, metrics.points(since, step=step, job=job, queue=queue))
        else:
            _print(settings, by, metrics.totals(by, since, job=job, queue=queue, limit=1000))


def _print(settings: Settings, by: str, found: Sequence[MetricPoint | MetricRow]) -> None:
    form = settings.form()
    if form == "json":
        say_lines(json_pretty([record(one) for one in found]))
    elif form == "ndjson":
        for one in found:
            say(json_line(record(one)))
    elif form == "id":
        for one in found:
            say(clean(row(one)[0]))
    elif form == "tsv":
        for cells in (columns(by), *map(row, found)):
            say(tsv(cells))
    else:
        rows = [columns(by), *map(row_for_people, found)]
        for line in aligned([[clean(cell) for cell in cells] for cells in rows]):
            say(line)
