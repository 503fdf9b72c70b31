"""Decides how a table of jobs is drawn: never a cut id, and a note that takes what room is left."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.cells import cell_len, set_cell_size

from taskscheduler.process import Process
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.job import COLUMNS, LOOKS, row, state
from taskscheduler_daemon.presentation.terminal import say
from taskscheduler_daemon.presentation.text import clean

_JOB, _STATE, _NOTE = (COLUMNS.index(name) for name in ("JOB", "STATE", "NOTE"))

_RIGHT = frozenset(COLUMNS.index(name) for name in ("TRY", "AGE", "RUN"))

_GAP = "  "

#: which columns give way when there is no room, in this order, and down to which width
_YIELDING = ((_NOTE, 30), (_JOB, 16), (_NOTE, 8))


def draw_jobs(settings: Settings, jobs: Iterable[Process], now: datetime, with_queue: bool = False) -> None:
    """Print the jobs as a table; cut to the width of the terminal, not at all elsewhere."""
    listed = list(jobs)
    rows = [cells_of(job, now, settings.fancy, with_queue) for job in listed]
    width = shutil.get_terminal_size().columns if settings.terminal else None
    widths = fit([list(COLUMNS), *rows], width)
    more = "…" if settings.fancy else ".."
    say(settings.paint(_line(COLUMNS, widths, more).rstrip(), bold=True))
    for job, cells in zip(listed, rows, strict=True):
        padded = _padded(cells, widths, more)
        padded[_STATE] = settings.paint(padded[_STATE], LOOKS[job.status].color)
        say(_GAP.join(padded).rstrip())


def cells_of(job: Process, now: datetime, fancy: bool, with_queue: bool = False) -> list[str]:
    """The printable cells of a job."""
    cells = [clean(cell) for cell in row(job, now, with_queue)]
    cells[_STATE] = state(job.status, fancy)
    return cells


def fit(rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """The width of each column: as wide as its cells, but that the note and then the job's name give way."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - (width or 0)
    for column, least in _YIELDING:
        if width is not None and over > 0:
            narrower = max(min(least, widths[column]), widths[column] - over)
            over -= widths[column] - narrower
            widths[column] = narrower
    return widths


def _padded(cells: Sequence[str], widths: Sequence[int], more: str) -> list[str]:
    sized = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        # of a name with modules the end says most
        short = _end(cell, width, more) if column == _JOB else _start(cell, width, more)
        space = " " * (width - cell_len(short))
        sized.append(space + short if column in _RIGHT else short + space)
    return sized


def _line(cells: Sequence[str], widths: Sequence[int], more: str) -> str:
    return _GAP.join(_padded(cells, widths, more))


def _start(cell: str, width: int, more: str) -> str:
    """The cell, or its start; measured as on a terminal, where some characters take two columns."""
    return cell if cell_len(cell) <= width else set_cell_size(cell, width - len(more)) + more


def _end(cell: str, width: int, more: str) -> str:
    return cell if cell_len(cell) <= width else more + set_cell_size(cell[::-1], width - len(more))[::-1]
