"""Prints the jobs of a flow as a tree, with what each of them waits for and what went wrong."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime

from rich.cells import cell_len

from taskscheduler.operations.flows.tree import FlowNode, FlowTree
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.output.tables import start_of
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.flow import before, folded, mentioned, node_news, waits
from taskscheduler_daemon.presentation.flow_outline import EVERYTHING, FANCY, FOLDED, PLAIN, Outline, Row
from taskscheduler_daemon.presentation.job import glyph, look_of, run_time

_WIDEST = (60, 40, 10, 9)  #: of what stands on the left, of the class, of the status and of the time

_GAP = "  "


class TreeLines:
    """Words the lines of one flow."""

    def __init__(self, settings: Settings, scheduler: Scheduler, now: datetime) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._now = now

    def lines(self, rows: Sequence[Row]) -> list[str]:
        """Returns the lines, cut to the width of a terminal; elsewhere nothing is cut."""
        shown = [row.node for row in rows if row.node is not None]
        others = [one for node in shown for one in mentioned(node)]
        self._scheduler.flows.describe([*shown, *others])
        cells = [None if row.node is None else self._cells(row.prefix, row.node) for row in rows]
        known = [found for found in cells if found is not None]
        widths = [
            min(most, max(map(cell_len, column)))
            for most, column in zip(_WIDEST, zip(*known, strict=True), strict=False)
        ]
        width = shutil.get_terminal_size().columns if self._settings.terminal else None
        return [
            self._folded(row) if found is None or row.node is None else self._line(row.node, found, widths, width)
            for row, found in zip(rows, cells, strict=True)
        ]

    def _cells(self, prefix: str, node: FlowNode) -> tuple[str, ...]:
        """Returns the job on the left, its class, its status, its time and a note."""
        job = Process(self._scheduler, node.document)
        sign = glyph(job.status, self._settings.fancy)
        notes = (node_news(node, job, self._now), before(node) if self._needs_before(node) else "")
        left = f"{prefix}{sign} {clean(node.label)}"
        return left, clean(job.job), job.status.label, run_time(job, self._now), clean("; ".join(filter(None, notes)))

    def _needs_before(self, node: FlowNode) -> bool:
        """Whether the tree does not say what a job comes after: it does for one that comes after a single job."""
        return len(node.before) > 1 or waits(node)

    def _line(self, node: FlowNode, cells: Sequence[str], widths: Sequence[int], width: int | None) -> str:
        more = "…" if self._settings.fancy else ".."
        *parts, note = cells
        left, job, status, time = (
            part if width is None else start_of(part, most, more) for part, most in zip(parts, widths, strict=True)
        )
        job_space, left_space, time_space = (
            " " * max(0, most - cell_len(part))
            for part, most in zip((job, left, time), (widths[1], widths[0], widths[3]), strict=True)
        )
        color = look_of(Process(self._scheduler, node.document)).color
        used = sum(widths) + len(_GAP) * 4
        rest = note if width is None else start_of(note, max(8, width - used), more)
        painted = self._settings.paint(status.ljust(widths[2]), color)
        return _GAP.join([left + left_space, job + job_space, painted, time_space + time, rest]).rstrip()

    def _folded(self, row: Row) -> str:
        return row.prefix + self._settings.paint(f"... {folded(row.folded)}", dim=True)


def tree_lines(
    settings: Settings, scheduler: Scheduler, tree: FlowTree, now: datetime, everything: bool = False
) -> list[str]:
    """Returns the lines of a flow, folded unless `everything` is wanted."""
    outline = Outline(tree, EVERYTHING if everything else FOLDED, FANCY if settings.fancy else PLAIN)
    return TreeLines(settings, scheduler, now).lines(outline.rows())
