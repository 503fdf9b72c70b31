"""Decides which refused attempts are written down, so that nobody can fill the audit log with them."""

from __future__ import annotations

from taskscheduler.clock import Clock

EACH, ALL = 20, 100  #: entries for one name, and for all, in one period

PERIOD = 60.0  #: seconds

_MOST_NAMES = 1000


class RefusalLimit:
    """Counts refused attempts by who made them. Not safe for threads: its owner has a lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = 0.0
        self._written: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def admits(self, who: str) -> int | None:
        """Returns how many attempts of this name were left out since its last entry; None if this one is, too."""
        now = self._clock.monotonic()
        if now >= self._until:
            self._until, self._written = now + PERIOD, {}
        written = self._written.get(who, 0)
        if written >= EACH or sum(self._written.values()) >= ALL:
            if who in self._left_out or len(self._left_out) < _MOST_NAMES:
                self._left_out[who] = self._left_out.get(who, 0) + 1
            return None
        self._written[who] = written + 1
        return self._left_out.pop(who, 0)
