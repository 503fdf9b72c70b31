"""taskscheduler pauses: lists what is paused."""

from __future__ import annotations

from collections.abc import Sequence

from taskscheduler.model.control.pauses import Pause
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.pause import COLUMNS, record, row, row_for_people
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv


@cli_command("pauses", example="taskscheduler pauses -o json", help="List what is paused, by whom and why.")
def command(settings: Settings) -> None:
    with open_database(settings) as database:
        found = database.scheduler.pauses()
    _print(settings, found)


def _print(settings: Settings, found: Sequence[Pause]) -> None:
    form = settings.form()
    if form == "json":
        say_lines(json_pretty([record(one) for one in found]))
    elif form == "tsv":
        for cells in (COLUMNS, *map(row, found)):
            say(tsv(cells))
    elif form == "table":
        for line in aligned([[clean(cell) for cell in cells] for cells in (COLUMNS, *map(row_for_people, found))]):
            say(line)
    else:
        for one in found:
            say(clean(one.key) if form == "id" else json_line(record(one)))
