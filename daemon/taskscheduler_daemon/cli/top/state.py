"""What the screen of `taskscheduler top` shows, and what each key does to it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskscheduler_daemon.cli.top.snapshot import JOBS, TABS, Row, Snapshot, Table

CANCEL, PAUSE, RESUME, OPEN, STACK = "cancel", "pause", "resume", "open", "stack"

HELP = (
    "1 2 3 tab   jobs, queues, nodes",
    "up down     select a line; also j and k, page up and page down",
    "enter       show the job of the line",
    "s           show where the job is right now",
    "x           cancel the job, after a question",
    "p           pause the queue of the line, or resume it",
    "o           sort by something else",
    "/           show only lines with a text; an empty one shows all",
    "q           quit; also Ctrl-C",
)

_PAGE = 10  #: lines


class Command(NamedTuple):
    """What is to be done in the database."""

    verb: str
    job: Any = None  #: id
    queue: str | None = None


@dataclass
class Screen:
    """What is shown."""

    tab: str = JOBS
    sorted_by: dict[str, int] = field(default_factory=dict)  #: number of the sort, by tab
    filter: str = ""
    typing: bool = False  #: whether keys go to the filter
    question: Command | None = None  #: asks whether to do that
    message: str = ""
    details: Sequence[str] | None = None  #: a page over the table
    above: int = 0  #: lines of it that are scrolled away
    quitting: bool = False
    _selected: str = ""

    def table(self, snapshot: Snapshot) -> Table:
        """Returns the table of the tab with its rows as they are shown: filtered and sorted."""
        table = snapshot.tables[self.tab]
        wanted = self.filter.lower()
        rows = [row for row in table.rows if not wanted or any(wanted in cell.lower() for cell in row.cells)]
        number = self.sort_of(table)
        if self.tab in ("jobs", "queues"):
            rows.sort(key=lambda row: row.order[number])
        return table._replace(rows=tuple(rows))

    def sort_of(self, table: Table) -> int:
        """Returns the number of what a table is sorted by."""
        return self.sorted_by.get(self.tab, 0) % len(table.sorts)

    def selected(self, rows: Sequence[Row]) -> int:
        """Returns the number of the selected row; the first one if that is gone."""
        return next((number for number, row in enumerate(rows) if row.key == self._selected), 0)

    def press(self, key: str, snapshot: Snapshot) -> Command | None:
        """Handles a key; returns what is to be done."""
        self.message = ""
        if self.typing:
            self._type(key)
            return None
        if self.question is not None:
            asked, self.question = self.question, None
            return asked if key in ("y", "Y") else None
        if self.details is not None:
            self._scroll(key)
            return None
        if key == "q":
            self.quitting = True
        elif key in ("1", "2", "3"):
            self.tab = TABS[int(key) - 1]
        elif key == "tab":
            self.tab = TABS[(TABS.index(self.tab) + 1) % len(TABS)]
        elif key == "/":
            self.typing = True
        elif key == "o":
            self.sorted_by[self.tab] = self.sorted_by.get(self.tab, 0) + 1
        elif key in ("?", "h"):
            self.show(HELP)
        else:
            return self._on_row(key, snapshot)
        return None

    def show(self, lines: Sequence[str]) -> None:
        """Shows a page over the table."""
        self.details, self.above = lines, 0

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            self.typing = False
            self.filter = self.filter if key == "enter" else ""
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1:
            self.filter += key

    def _scroll(self, key: str) -> None:
        moves = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -_PAGE, "page down": _PAGE}
        if key in moves and self.details is not None:
            self.above = max(0, min(self.above + moves[key], len(self.details) - 1))
        else:
            self.details = None

    def _on_row(self, key: str, snapshot: Snapshot) -> Command | None:
        rows = self.table(snapshot).rows
        if not rows:
            return None
        place = self.selected(rows)
        moves = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -_PAGE, "page down": _PAGE}
        if key in moves:
            self._selected = rows[max(0, min(place + moves[key], len(rows) - 1))].key
            return None
        row = rows[place]
        if key == "p" and (row.queue is not None or row.job is not None):
            return Command(RESUME if row.paused else PAUSE, row.job, row.queue)
        if row.job is None:
            return None
        if key == "x":
            self.question = Command(CANCEL, row.job)
        return {"enter": Command(OPEN, row.job), "s": Command(STACK, row.job)}.get(key)
