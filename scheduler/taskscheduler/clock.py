"""The only place that asks the system for the time: monotonic for deadlines, aware UTC for dates."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

NEVER = float("inf")


class Clock(Protocol):
    """What the rest of the library may know about time."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; for deadlines and intervals."""
        ...

    def now(self) -> datetime:
        """The current time as an aware UTC date."""
        ...


class SystemClock:
    """The clock of this host."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)


class ServerClock:
    """The database server's time, carried forward with this host's monotonic clock.

    A job is due by the server's clock, so a host whose wall clock is wrong by an hour must not add it an hour early.
    """

    def __init__(self, clock: Clock, server_now: datetime) -> None:
        self._clock = clock
        self._server_now = server_now
        self._read_at = clock.monotonic()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def now(self) -> datetime:
        return self._server_now + timedelta(seconds=self._clock.monotonic() - self._read_at)


SYSTEM_CLOCK: Clock = SystemClock()


class Deadline:
    """A point in monotonic time; `None` seconds means there is none."""

    def __init__(self, seconds: float | None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._ends = None if seconds is None else clock.monotonic() + seconds

    def left(self, at_most: float) -> float:
        """Seconds until the deadline, never negative, never more than `at_most`."""
        if self._ends is None:
            return at_most
        return min(at_most, max(0.0, self._ends - self._clock.monotonic()))

    @property
    def passed(self) -> bool:
        return self._ends is not None and self._clock.monotonic() >= self._ends
