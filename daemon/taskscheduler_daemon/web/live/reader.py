"""Reads a stream no faster than its readers need, so that live pages do not slow down what they show."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Protocol

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.store.change_feed import Gap, Token, token_time

MOST_BEHIND = timedelta(seconds=10)  #: of a stream; then it goes on at the present, and says that changes are lost

_OLDEST_START = timedelta(minutes=5)  #: before now, for a stream that begins where a client has left

_PLACE = re.compile(r"[0-9A-F]{18,1000}")


class Stream(Protocol):
    """The stream, as ChangeFeed is one."""

    @property
    def token(self) -> Token | None:
        """The place behind the last change."""
        ...

    def next(self) -> Document | Gap | None:
        """Returns the next change; None if none came in time, GAP if some may be missing."""
        ...

    def rest(self) -> None:
        """Gives up the place; `next` goes on at the present, with GAP."""
        ...


class PacedReader:
    """Reads at most so many changes in a second, and leaves out what it can never read in time.

    A cluster makes tens of thousands of changes in a second; reading them all would take a core here, and a look-up
    of each on the server.
    """

    def __init__(self, stream: Stream, clock: Clock, most: int) -> None:
        self._stream = stream
        self._clock = clock
        self._most = most
        self._second = clock.monotonic()
        self._count = 0

    @property
    def token(self) -> str | None:
        """The place behind the last change, as a text."""
        data = (self._stream.token or {}).get("_data")
        return data if isinstance(data, str) else None

    def next(self) -> Document | Gap | None:
        """Returns the next change; None if none came in time, GAP if some are missing."""
        if self._count >= self._most:
            self._pause()
        event = self._stream.next()
        self._count += isinstance(event, dict)
        return event

    def _pause(self) -> None:
        left = self._second + 1 - self._clock.monotonic()
        if left > 0:
            self._clock.pause(left)
        now = self._clock.now()
        if now - (token_time(self._stream.token) or now) > MOST_BEHIND:
            self._stream.rest()
        self._second, self._count = self._clock.monotonic(), 0


def is_place(text: str) -> bool:
    """Returns whether a text from a client may be a token of a server."""
    return _PLACE.fullmatch(text) is not None


def is_recent(token: Token | None, now: datetime) -> bool:
    """Returns whether a token is of the last minutes; behind an older one the server would read its whole history."""
    made = token_time(token)
    return made is not None and abs(now - made) < _OLDEST_START
