"""Draws tables of jobs and of flows: ids are never cut, and notes take the remaining room.

rich.table shrinks columns in proportion and cuts cells only at their end; here the note gives way before the name of
the job, and the name of a job loses its beginning, as the end of a dotted name says most.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from taskscheduler.flow_state import FlowState
from taskscheduler.process import Process
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation import flow as flows
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.job import COLUMNS, look_of, row, state_of
from taskscheduler_daemon.presentation.terminal import say

_GAP = "  "


class Layout(NamedTuple):
    """The columns of a table by their numbers."""

    columns: tuple[str, ...]
    right: tuple[str, ...]  #: numbers and durations
    yielding: tuple[tuple[str, int], ...]  #: what gives way when there is no room, in this order, and its least width
    dotted: tuple[str, ...] = ()  #: names of which the end says most

    def numbers(self, names: Iterable[str]) -> frozenset[int]:
        """Returns the numbers of columns."""
        return frozenset(map(self.columns.index, names))


JOBS = Layout(COLUMNS, ("TRY", "AGE", "WAIT", "RUN"), (("NOTE", 30), ("JOB", 16), ("NOTE", 8)), ("JOB",))

FLOWS = Layout(flows.COLUMNS, ("PROGRESS", "JOBS", "AGE", "TOOK"), (("NOTE", 30), ("NAME", 16), ("NOTE", 8)))


def draw_jobs(settings: Settings, jobs: Iterable[Process], now: datetime, with_queue: bool = False) -> None:
    """Prints the jobs as a table, cut to the width of a terminal; elsewhere nothing is cut."""
    listed = list(jobs)
    rows = [cells_of(job, now, settings.fancy, with_queue) for job in listed]
    _draw(settings, JOBS, rows, [look_of(job).color for job in listed])


def draw_flows(settings: Settings, listed: Sequence[FlowState], now: datetime) -> None:
    """Prints flows in the same way."""
    rows = [[clean(cell) for cell in flows.row(flow, now)] for flow in listed]
    for flow, cells in zip(listed, rows, strict=True):
        cells[FLOWS.columns.index("STATE")] = flows.state_of(flow, settings.fancy)
    _draw(settings, FLOWS, rows, [flows.LOOKS_OF_FLOWS[flow.status].color for flow in listed])


def _draw(settings: Settings, layout: Layout, rows: Sequence[Sequence[str]], colors: Sequence[int]) -> None:
    width = shutil.get_terminal_size().columns if settings.terminal else None
    widths = fit([list(layout.columns), *rows], width, layout)
    more = "…" if settings.fancy else ".."
    say(settings.paint(_GAP.join(padded(layout.columns, widths, more, layout)).rstrip(), bold=True))
    state = layout.columns.index("STATE")
    for cells, color in zip(rows, colors, strict=True):
        line = padded(cells, widths, more, layout)
        line[state] = settings.paint(line[state], color)
        say(_GAP.join(line).rstrip())


def cells_of(job: Process, now: datetime, fancy: bool, with_queue: bool = False) -> list[str]:
    """Returns the printable cells of a job."""
    cells = [clean(cell) for cell in row(job, now, with_queue)]
    cells[COLUMNS.index("STATE")] = state_of(job, fancy)
    return cells


def fit(rows: Sequence[Sequence[str]], width: int | None, layout: Layout = JOBS) -> list[int]:
    """Returns the width of each column: that of its widest cell, unless the note or the name must give way."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - (width or 0)
    for name, least in layout.yielding:
        column = layout.columns.index(name)
        if width is not None and over > 0:
            narrower = max(min(least, widths[column]), widths[column] - over)
            over -= widths[column] - narrower
            widths[column] = narrower
    return widths


def padded(cells: Sequence[str], widths: Sequence[int], more: str, layout: Layout = JOBS) -> list[str]:
    """Returns the cells as wide as their columns; `more` stands where one was cut."""
    dotted, right, sized = layout.numbers(layout.dotted), layout.numbers(layout.right), []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        short = _end(cell, width, more) if column in dotted else start_of(cell, width, more)
        space = " " * (width - cell_len(short))
        sized.append(space + short if column in right else short + space)
    return sized


def start_of(cell: str, width: int, more: str) -> str:
    """Returns the cell or its start, measured as on a terminal, where some characters take two columns."""
    return cell if cell_len(cell) <= width else set_cell_size(cell, width - len(more)) + more


def _end(cell: str, width: int, more: str) -> str:
    return cell if cell_len(cell) <= width else more + set_cell_size(cell[::-1], width - len(more))[::-1]
