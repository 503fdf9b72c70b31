"""Repeats a write through elections, for half a minute, and notes whether an earlier try may have been carried out."""

from __future__ import annotations

from collections.abc import Iterator

from pymongo.errors import PyMongoError

from taskscheduler.clock import Backoff, Clock, Deadline
from taskscheduler.store.driver_errors import is_transient

_PATIENCE = 30.0  #: seconds for which a write is tried again
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  #: seconds between two tries


class EarlierTries:
    """The earlier tries of a write: after a transient `error` they may have been carried out."""

    def __init__(self) -> None:
        self.error: PyMongoError | None = None

    def note(self, error: PyMongoError) -> None:
        """Notes a transient error; raises any other."""
        if not is_transient(error):
            raise error
        self.error = error


def tries(clock: Clock) -> Iterator[EarlierTries]:
    """Yields before each try of one write, with a pause between two; raises the last error when time is up."""
    ends, earlier = clock.monotonic() + _PATIENCE, EarlierTries()
    yield earlier
    deadline, backoff = Deadline(ends - clock.monotonic(), clock), Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
    while True:
        if deadline.passed and earlier.error is not None:
            raise earlier.error
        deadline.pause(backoff.next())
        yield earlier
