"""Prints a plain list in each form of -o: a table, JSON, NDJSON, TSV or ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv


class Item(NamedTuple):
    """One thing in a list."""

    id: str
    cells: Sequence[str]
    record: Mapping[str, Any]


def print_list(settings: Settings, columns: Sequence[str], items: Sequence[Item]) -> None:
    """Prints the items, one a line, as the settings say."""
    form = settings.form()
    if form == "json":
        say_lines(json_pretty([item.record for item in items]))
    elif form == "table":
        header, *lines = aligned([columns, *([clean(cell) for cell in item.cells] for item in items)])
        say(settings.paint(header, bold=True))
        for line in lines:
            say(line)
    elif form == "tsv":
        for cells in (columns, *(item.cells for item in items)):
            say(tsv(cells))
    else:
        for item in items:
            say(clean(item.id) if form == "id" else json_line(item.record))
