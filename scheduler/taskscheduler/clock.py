"""Tells the time, waits, and spaces tries: monotonic time for deadlines, aware UTC for dates.

No other module asks the system for the time.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import BuiltinFunctionType
from typing import Protocol

NEVER = float("inf")


class Clock(Protocol):
    """What the rest of the library may know about time."""

    def monotonic(self) -> float:
        """Returns seconds that only ever grow; for deadlines and intervals."""
        ...

    def now(self) -> datetime:
        """Returns the current time as an aware UTC date."""
        ...

    def pause(self, seconds: float) -> None:
        """Waits for so many seconds."""
        ...


def _monotonic() -> Callable[[], float]:
    """Returns the function that reads the system's clock, also where a test that freezes time has replaced it.

    With a clock that stands still no wait would ever end.
    """
    if isinstance(time.monotonic, BuiltinFunctionType):
        return time.monotonic
    return partial(time.clock_gettime, time.CLOCK_MONOTONIC)


class SystemClock:
    """The clock of this host."""

    monotonic = staticmethod(_monotonic())  # read some thirty times on the way of a job

    def now(self) -> datetime:
        return datetime.now(UTC)

    def pause(self, seconds: float) -> None:
        threading.Event().wait(max(0.0, seconds))


class ServerClock:
    """The database server's time, carried forward with this host's monotonic clock.

    A job is due by the server's clock, so a host whose wall clock is wrong by an hour must not add it an hour early.
    """

    def __init__(self, clock: Clock, server_now: datetime) -> None:
        self._clock = clock
        self.synchronize(server_now, clock.monotonic())

    def synchronize(self, server_now: datetime, read_at: float) -> None:
        """Takes over what the server's clock said at this monotonic time: clocks drift apart. From any thread."""
        self._read = server_now, read_at
        self._ahead = server_now.timestamp() - read_at

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def now(self) -> datetime:
        server_now, read_at = self._read
        return server_now + timedelta(seconds=self._clock.monotonic() - read_at)

    def at(self, monotonic: float) -> float:
        """Returns the server's time at a monotonic time of this host, as a unix time: for the end of every job."""
        return self._ahead + monotonic

    def pause(self, seconds: float) -> None:
        self._clock.pause(seconds)


SYSTEM_CLOCK: Clock = SystemClock()


class Deadline:
    """A point in monotonic time; `None` seconds means there is none."""

    def __init__(self, seconds: float | None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._ends = None if seconds is None else clock.monotonic() + seconds

    def left(self, at_most: float) -> float:
        """Returns the seconds until the deadline: never negative, never more than `at_most`."""
        left = at_most if self._ends is None else min(at_most, self._ends - self._clock.monotonic())
        return max(0.0, left)

    def pause(self, at_most: float) -> None:
        """Waits for so many seconds, or until the deadline if that comes first."""
        self._clock.pause(self.left(at_most))

    @property
    def passed(self) -> bool:
        return self._ends is not None and self._clock.monotonic() >= self._ends


class Backoff:
    """Pauses between tries that fail in a row: each is `factor` times the one before, up to the longest.

    With `jitter` 0.2 a pause is between 80 % and 100 % of its length, so that processes which failed together do not
    try again together.
    """

    def __init__(self, first: float, longest: float, factor: float = 2.0, jitter: float = 0.0) -> None:
        self._first = self._pause = first
        self._longest = longest
        self._factor = factor
        self._jitter = jitter

    def next(self) -> float:
        """Returns the seconds to wait before the next try."""
        pause = self._pause
        self._pause = min(self._longest, pause * self._factor)
        return pause * (1 - self._jitter * random.random()) if self._jitter else pause

    def reset(self) -> None:
        """Starts with the first pause again, after a try that succeeded."""
        self._pause = self._first
