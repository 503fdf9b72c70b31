"""Reached: which counts have reached their limits some seconds ago. They are shown as "more than so many"."""

from __future__ import annotations

from collections.abc import Hashable

from taskscheduler.clock import Clock

_STAYS = 5.0  #: seconds

_MOST_NOTED = 500  #: counts


class Reached:
    """Spares counts that take long: those that have reached their limits are not made again for some seconds.

    A page that is live asks for them each second. Counts below their limits are made whenever somebody asks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: dict[Hashable, float] = {}

    def __contains__(self, what: Hashable) -> bool:
        """Whether this count has reached its limit some seconds ago at most."""
        at = self._noted.get(what)
        return at is not None and self._clock.monotonic() - at < _STAYS

    def note(self, what: Hashable) -> None:
        """Notes that this count has reached its limit just now."""
        if len(self._noted) >= _MOST_NOTED:
            self._noted.clear()
        self._noted[what] = self._clock.monotonic()
