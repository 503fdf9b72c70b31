"""The latest changes, which all clients share: each has a number, and a client keeps the number of its next one."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from itertools import islice
from typing import NamedTuple

from taskscheduler.store.change_feed import token_time
from taskscheduler_daemon.web.live.changes import Change

_NEAR = timedelta(minutes=1)


class Read(NamedTuple):
    """What a client finds behind its number."""

    changes: list[Change]
    number: int  #: of the change that comes next
    lost: bool  #: changes before the first of these are missing


class Ring:
    """Keeps a bounded number of changes. A client that falls behind loses some, and learns of it.

    Not locked. `begin` is the place behind which nothing is missing, `head` the place behind the last change; both are
    tokens, whose order is that of the changes.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._changes: deque[Change] = deque()
        self._first = 0  #: the number of the oldest change that is kept
        self.begin: str | None = None
        self.head: str | None = None

    @property
    def end(self) -> int:
        """The number of the next change."""
        return self._first + len(self._changes)

    def start(self, begin: str | None) -> None:
        """Forgets everything: what comes next begins behind this place, or at one that is not known."""
        self._first = self.end + 1  # nobody's number fits any more
        self._changes.clear()
        self.begin = self.head = begin

    def add(self, change: Change) -> None:
        """Adds the next change."""
        self._changes.append(change)
        self.head = change.token
        while len(self._changes) > self._kept:
            self._first += 1
            self.begin = self._changes.popleft().token

    def number_behind(self, token: str) -> int | None:
        """Returns the number of the first change behind a place; None if changes behind it may be missing."""
        if self.begin is None or token < self.begin or not self._is_near(token):
            return None
        older = sum(change.token <= token for change in self._changes)
        return self._first + older

    def read(self, number: int) -> Read:
        """Returns what has come from this number on."""
        lost = number < self._first
        begin = max(0, number - self._first)
        return Read(list(islice(self._changes, begin, None)), self.end, lost)

    def _is_near(self, token: str) -> bool:
        """Returns whether a place is not far ahead: another process may be faster, but nobody comes from the future."""
        made, head = token_time({"_data": token}), token_time({"_data": self.head})
        return made is not None and (head is None or made - head < _NEAR)
