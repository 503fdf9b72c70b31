"""What keys do to the screen of `taskscheduler top`, and how it is drawn."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from tests.support.tables import table

from taskscheduler_daemon.cli.top.drawing import REVERSED, draw
from taskscheduler_daemon.cli.top.snapshot import JOBS, NODES, QUEUES, Row, Snapshot, Table
from taskscheduler_daemon.cli.top.state import CANCEL, HELP, OPEN, PAUSE, RESUME, STACK, Command, Screen
from taskscheduler_daemon.cli.top.terminal import names_of

COLUMNS = (("NAME", 0), ("TIME", 6))
FIRST = Row("a", ("Mail 漢字", "9s"), (-9, "Mail"), job="id-a")
SECOND = Row("b", ("Copy", "5s"), (-5, "Copy"), job="id-b")
QUEUE = Row("q", ("mail", "3"), (-3,), queue="mail")
PAUSED = Row("p", ("slow", "1"), (-1,), queue="slow", paused=True)
SNAPSHOT = Snapshot(
    "shop",
    {
        JOBS: Table(COLUMNS, ("time", "name"), (SECOND, FIRST)),
        QUEUES: Table(COLUMNS, ("waiting",), (QUEUE, PAUSED)),
        NODES: Table(COLUMNS, ("name",), ()),
    },
)


@pytest.fixture
def screen() -> Screen:
    return Screen()


def press(screen: Screen, *keys: str) -> Command | None:
    """What the last of these keys asks for."""
    command = None
    for key in keys:
        command = screen.press(key, SNAPSHOT)
    return command


def rows(screen: Screen) -> list[str]:
    return [row.key for row in screen.table(SNAPSHOT).rows]


def test_rows_are_sorted_and_filtered(screen: Screen) -> None:
    assert rows(screen) == ["a", "b"]
    press(screen, "o")
    assert rows(screen) == ["b", "a"]
    press(screen, "/", *"MAIL", "enter")
    assert rows(screen) == ["a"]
    press(screen, "/", "escape")
    assert rows(screen) == ["b", "a"]


def test_the_selection_stays_at_its_job_whatever_the_order(screen: Screen) -> None:
    press(screen, "down")
    assert press(screen, "s") == Command(STACK, "id-b")
    press(screen, "o", "up", "up")
    assert press(screen, "enter") == Command(OPEN, "id-b")
    gone = SNAPSHOT._replace(tables={**SNAPSHOT.tables, JOBS: Table(COLUMNS, ("time", "name"), (FIRST,))})
    assert screen.press("enter", gone) == Command(OPEN, "id-a")


def test_a_job_is_cancelled_only_after_a_yes(screen: Screen) -> None:
    assert press(screen, "x") is None
    assert screen.question == Command(CANCEL, "id-a")
    assert press(screen, "n") is None
    assert press(screen, "y") is None, "nobody asks any more"
    assert press(screen, "x", "y") == Command(CANCEL, "id-a")


def test_a_queue_is_paused_or_resumed(screen: Screen) -> None:
    assert press(screen, "p") == Command(PAUSE, "id-a", None), "the queue of the job"
    assert press(screen, "2", "p") == Command(PAUSE, None, "mail")
    assert press(screen, "down", "p") == Command(RESUME, None, "slow")
    assert press(screen, "x") is None
    assert press(screen, "3", "p", "x", "enter") is None, "nothing is there"


def test_a_page_is_scrolled_and_closed_by_any_other_key(screen: Screen) -> None:
    press(screen, "?")
    assert tuple(screen.details or ()) == HELP
    press(screen, "down", "page down", "up")
    assert (screen.above, screen.quitting) == (len(HELP) - 2, False)
    press(screen, "q")
    assert screen.details is None
    assert not screen.quitting
    press(screen, "q")
    assert screen.quitting


@table("size", [(80, 24), (20, 5), (200, 60)])
@table("keys", [(), ("2",), ("3",), ("?",), ("x",), ("/", "a")])
def test_every_screen_fills_the_terminal_and_no_more(size: tuple[int, int], keys: tuple[str, ...]) -> None:
    screen = Screen()
    press(screen, *keys)
    lines = draw(screen, SNAPSHOT, *size, "the database is away")
    assert len(lines) == size[1]
    assert {cell_len(line.text) for line in lines} == {size[0]}


def test_what_a_job_is_called_steers_no_terminal() -> None:
    screen = Screen(filter="\x1b[2J")
    screen.show(["\x1b[31mred\x07"])
    assert not any("\x1b" in line.text for line in draw(screen, SNAPSHOT, 80, 24))


def test_the_selected_line_is_always_in_sight() -> None:
    many = tuple(Row(str(number), (f"row {number}", ""), (number, ""), job=number) for number in range(100))
    snapshot = SNAPSHOT._replace(tables={**SNAPSHOT.tables, JOBS: Table(COLUMNS, ("time", "name"), many)})
    screen = Screen()
    for _ in range(70):
        screen.press("j", snapshot)
    [selected] = [line.text for line in draw(screen, snapshot, 80, 24) if line.style == REVERSED]
    assert selected.startswith("row 70 ")


def test_keys_have_names() -> None:
    assert names_of("\x1b[A\x1b[Bq\x1b[6~\r\x7f\x01é\x1b") == [
        *("up", "down", "q", "page down", "enter", "backspace", "é", "escape"),
    ]
