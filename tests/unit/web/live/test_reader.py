"""How fast a stream is read, and when it goes on at the present."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from taskscheduler.model.document import Document
from taskscheduler.store.change_feed import GAP, Gap, Token
from taskscheduler_daemon.web.live.reader import PacedReader, is_place, is_recent

BEGIN = datetime(2027, 6, 1, tzinfo=UTC)


def token_at(date: datetime) -> Token:
    return {"_data": f"82{int(date.timestamp()):08X}000000012B"}


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.paused = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)

    def pause(self, seconds: float) -> None:
        self.seconds += seconds
        self.paused += seconds


class FakeStream:
    """A change at every call, all of the moment `at`."""

    def __init__(self, at: datetime = BEGIN) -> None:
        self.token: Token | None = token_at(at)
        self.rested = 0

    def next(self) -> Document | Gap | None:
        return {"_id": self.token} if self.token else GAP

    def rest(self) -> None:
        self.rested += 1
        self.token = None


def test_a_second_has_a_bounded_number_of_changes() -> None:
    clock = FakeClock()
    reader = PacedReader(FakeStream(), clock, most=10)
    for _ in range(25):
        reader.next()
    assert clock.paused == 2


def test_a_slow_stream_is_not_held_up() -> None:
    clock = FakeClock()
    reader = PacedReader(FakeStream(), clock, most=10)
    for _ in range(25):
        clock.seconds += 0.2
        reader.next()
    assert clock.paused == 0


def test_a_reader_that_is_far_behind_goes_on_at_the_present() -> None:
    clock = FakeClock()
    stream = FakeStream(BEGIN - timedelta(seconds=11))
    reader = PacedReader(stream, clock, most=10)
    found = [reader.next() for _ in range(11)]
    assert stream.rested == 1
    assert found[-1] is GAP


def test_a_place_is_what_servers_write() -> None:
    assert is_place("82" + "0A" * 20)
    assert not any(map(is_place, ("", "82", "x" * 40, "8" * 1001, "82" + "0a" * 20, "82" + "0A" * 20 + "\n")))


def test_a_stream_begins_at_places_of_the_last_minutes_only() -> None:
    assert is_recent(token_at(BEGIN - timedelta(minutes=4)), BEGIN)
    assert not is_recent(token_at(BEGIN - timedelta(minutes=6)), BEGIN)
    assert not is_recent(token_at(BEGIN + timedelta(minutes=6)), BEGIN)
    assert not is_recent(None, BEGIN)
