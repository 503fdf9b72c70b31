"""Draws the screen of `taskscheduler top` as lines of exactly the width of the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import set_cell_size

from taskscheduler_daemon.cli.top.snapshot import TABS, Snapshot, Table
from taskscheduler_daemon.cli.top.state import Screen
from taskscheduler_daemon.presentation.clean import clean

_KEYS = "q quit  ? help  enter show  s stack  x cancel  p pause  o sort  / filter"

PLAIN, BOLD, DIM, REVERSED = "", "\x1b[1m", "\x1b[2m", "\x1b[7m"


class Line(NamedTuple):
    """A line and its style."""

    text: str
    style: str = PLAIN


def draw(screen: Screen, snapshot: Snapshot, width: int, height: int, fault: str = "") -> list[Line]:
    """Returns `height` lines of `width` columns. `fault`: why the snapshot may be old."""
    lines = [Line(snapshot.summary, BOLD), Line(_tabs(screen, snapshot), DIM)]
    room = max(1, height - 4)
    if screen.details is not None:
        lines += [Line(clean(text)) for text in screen.details[screen.above : screen.above + room + 1]]
    else:
        lines += _rows(screen, screen.table(snapshot), width, room)
    lines += [Line("")] * max(0, height - 1 - len(lines))
    lines = [*lines[: height - 1], _foot(screen, fault)]
    return [Line(set_cell_size(line.text, width), line.style) for line in lines[-height:]]


def _tabs(screen: Screen, snapshot: Snapshot) -> str:
    names = [
        f"{'>' if tab == screen.tab else ' '}[{number}] {tab} {len(snapshot.tables[tab].rows)}"
        for number, tab in enumerate(TABS, 1)
    ]
    table = snapshot.tables[screen.tab]
    shown = f"  filter: {clean(screen.filter)}" if screen.filter else ""
    return f"{' '.join(names)}   by {table.sorts[screen.sort_of(table)]}{shown}"


def _rows(screen: Screen, table: Table, width: int, room: int) -> Iterator[Line]:
    yield Line(_cells([name for name, _ in table.columns], table, width), BOLD)
    place = screen.selected(table.rows)
    first = max(0, min(place - room // 2, len(table.rows) - room))
    for number, row in enumerate(table.rows[first : first + room], first):
        yield Line(_cells(row.cells, table, width), REVERSED if number == place else PLAIN)
    if not table.rows:
        yield Line("nothing" if not screen.filter else "nothing with this text", DIM)


def _cells(cells: Sequence[str], table: Table, width: int) -> str:
    fixed = sum(size + 1 for _, size in table.columns if size)
    widths = [size or max(8, width - fixed) for _, size in table.columns]
    return " ".join(set_cell_size(cell, size) for cell, size in zip(cells, widths, strict=True))


def _foot(screen: Screen, fault: str) -> Line:
    if screen.question is not None:
        return Line(f"{screen.question.verb} job {screen.question.job}? y/n", REVERSED)
    if screen.typing:
        return Line(f"/{clean(screen.filter)}_", REVERSED)
    text = fault or screen.message
    return Line(clean(text), REVERSED) if text else Line(_KEYS, DIM)
