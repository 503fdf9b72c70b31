"""Draws a table of jobs: ids are never cut, and notes take the remaining room.

rich.table shrinks columns in proportion and cuts cells only at their end; here the note gives way before the name of
the job, and a name loses its beginning, as the end of a dotted name says most.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.cells import cell_len, set_cell_size

from taskscheduler.process import Process
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.job import COLUMNS, look_of, row, state_of
from taskscheduler_daemon.presentation.terminal import say

_JOB, _STATE, _NOTE = (COLUMNS.index(name) for name in ("JOB", "STATE", "NOTE"))

_RIGHT = frozenset(COLUMNS.index(name) for name in ("TRY", "AGE", "WAIT", "RUN"))

_GAP = "  "

#: the columns that give way when there is no room, in this order, and their least width
_YIELDING = ((_NOTE, 30), (_JOB, 16), (_NOTE, 8))


def draw_jobs(settings: Settings, jobs: Iterable[Process], now: datetime, with_queue: bool = False) -> None:
    """Prints the jobs as a table, cut to the width of a terminal; elsewhere nothing is cut."""
    listed = list(jobs)
    rows = [cells_of(job, now, settings.fancy, with_queue) for job in listed]
    width = shutil.get_terminal_size().columns if settings.terminal else None
    widths = fit([list(COLUMNS), *rows], width)
    more = "…" if settings.fancy else ".."
    say(settings.paint(_line(COLUMNS, widths, more).rstrip(), bold=True))
    for job, cells in zip(listed, rows, strict=True):
        line = padded(cells, widths, more)
        line[_STATE] = settings.paint(line[_STATE], look_of(job).color)
        say(_GAP.join(line).rstrip())


def cells_of(job: Process, now: datetime, fancy: bool, with_queue: bool = False) -> list[str]:
    """Returns the printable cells of a job."""
    cells = [clean(cell) for cell in row(job, now, with_queue)]
    cells[_STATE] = state_of(job, fancy)
    return cells


def fit(rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Returns the width of each column: that of its widest cell, unless the note or the name must give way."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - (width or 0)
    for column, least in _YIELDING:
        if width is not None and over > 0:
            narrower = max(min(least, widths[column]), widths[column] - over)
            over -= widths[column] - narrower
            widths[column] = narrower
    return widths


def padded(cells: Sequence[str], widths: Sequence[int], more: str) -> list[str]:
    """Returns the cells as wide as their columns; `more` stands where one was cut."""
    sized = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        short = _end(cell, width, more) if column == _JOB else _start(cell, width, more)
        space = " " * (width - cell_len(short))
        sized.append(space + short if column in _RIGHT else short + space)
    return sized


def _line(cells: Sequence[str], widths: Sequence[int], more: str) -> str:
    return _GAP.join(padded(cells, widths, more))


def _start(cell: str, width: int, more: str) -> str:
    """Returns the cell or its start, measured as on a terminal, where some characters take two columns."""
    return cell if cell_len(cell) <= width else set_cell_size(cell, width - len(more)) + more


def _end(cell: str, width: int, more: str) -> str:
    return cell if cell_len(cell) <= width else more + set_cell_size(cell[::-1], width - len(more))[::-1]
