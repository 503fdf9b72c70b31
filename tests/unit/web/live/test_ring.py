"""The ring of changes: numbers, places, and what a client that comes too late learns."""

from __future__ import annotations

from taskscheduler_daemon.web.live.changes import Change, latest
from taskscheduler_daemon.web.live.ring import Ring


def token(second: int, number: int = 1) -> str:
    return f"82{second:08X}{number:08X}2B"


def change(second: int, job: str = "a", number: int = 1) -> Change:
    return Change(token(second, number), "job", "done", job, None)


def filled(*seconds: int, kept: int = 10) -> Ring:
    ring = Ring(kept)
    ring.start(token(0))
    for second in seconds:
        ring.add(change(second))
    return ring


def test_a_client_reads_what_came_since_its_number() -> None:
    ring = filled(1, 2)
    number = ring.end
    ring.add(change(3))
    assert [one.token for one in ring.read(number).changes] == [token(3)]
    assert ring.read(ring.read(number).number) == ([], ring.end, False)


def test_a_client_that_is_too_slow_loses_the_oldest_and_learns_of_it() -> None:
    ring = filled()
    number = ring.end
    for second in range(1, 14):
        ring.add(change(second))
    found = ring.read(number)
    assert found.lost
    assert [one.token for one in found.changes] == [token(second) for second in range(4, 14)]


def test_a_place_is_found_among_the_kept_changes() -> None:
    ring = filled(1, 2, 3)
    number = ring.number_behind(token(2))
    assert number is not None
    assert [one.token for one in ring.read(number).changes] == [token(3)]
    assert ring.read(ring.number_behind(token(0)) or 0).changes[0].token == token(1)


def test_a_place_before_the_oldest_change_or_far_ahead_is_not_found() -> None:
    ring = filled(*range(1, 20))
    assert ring.number_behind(token(5)) is None
    assert ring.number_behind(token(9)) is not None
    assert ring.number_behind(token(19 + 30)) == ring.end
    assert ring.number_behind(token(19 + 3600)) is None


def test_after_a_gap_all_have_lost_something() -> None:
    ring = filled(1)
    number = ring.end
    ring.start(token(50))
    ring.add(change(51))
    assert ring.read(number).lost
    assert ring.number_behind(token(1)) is None


def test_a_view_that_looks_seldom_gets_the_last_change_of_each_thing() -> None:
    found = [change(1, "a"), change(2, "b"), change(3, "a")]
    assert [one.token for one in latest(found)] == [token(2), token(3)]
