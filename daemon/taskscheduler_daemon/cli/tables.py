"""Decides how a table of jobs is drawn: never a cut id, and a note that takes what room is left."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from taskscheduler.handle import Process
from taskscheduler.lifecycle import Status
from taskscheduler_daemon.cli.render import COLUMNS, LOOKS, row, state
from taskscheduler_daemon.cli.settings import Settings, say
from taskscheduler_daemon.cli.text import clean

_STATE = COLUMNS.index("STATE")
_RIGHT = ("TRY", "AGE", "RUN")
_WIDEST = 10_000  #: where the output is no terminal, nothing is cut


def console(settings: Settings) -> Console:
    """A rich console for this output."""
    width = None if settings.terminal else _WIDEST
    return Console(width=width, no_color=not settings.fancy, highlight=False, markup=False, emoji=False)


def style(status: Status, fancy: bool) -> str:
    """The rich style of a status."""
    return f"color({LOOKS[status].color})" if fancy else ""


def draw_jobs(settings: Settings, jobs: Iterable[Process], now: datetime) -> None:
    """Print the jobs as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold" if settings.fancy else "")
    for name in COLUMNS:
        table.add_column(
            name,
            justify="right" if name in _RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis" if settings.fancy else "crop",
            min_width=24 if name == "ID" else None,
            max_width=40 if name == "JOB" and settings.terminal else None,
        )
    for job in jobs:
        cells = [Text(clean(cell)) for cell in row(job, now)]
        cells[_STATE] = Text(state(job.status, settings.fancy), style(job.status, settings.fancy))
        table.add_row(*cells)
    drawn = console(settings)
    with drawn.capture() as captured:
        drawn.print(table)
    for line in captured.get().splitlines():
        say(line.rstrip())
