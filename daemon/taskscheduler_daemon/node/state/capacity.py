"""Capacity: how many more to claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskscheduler_daemon.node.state.in_flight import Attempt

_AHEAD_SECONDS = 0.1  #: claimed work that has not started takes at most so long

_FIRST_BATCH = 1000  #: the most to claim ahead before the real rate is known

_MOST_AHEAD = 3000


class Crowd:
    """Counts the async attempts of a node against what its workers can run at once."""

    def __init__(self) -> None:
        self.held = 0
        self.names: set[str] = set()  #: classes that turned out to be async
        self._slots = 0
        self._each = 0  #: how many run in one worker; 0: they are not told from others

    def set_limits(self, slots: int, each: int) -> None:
        self._slots, self._each = slots, each

    def takes(self, attempt: Attempt) -> bool:
        """Whether an attempt is to run beside others."""
        if not self._each or attempt.forced or "service" in attempt.job:
            return False
        return "async" in attempt.job or attempt.job["class"] in self.names

    def workers(self) -> int:
        """How many workers these keep busy. The only slot of a node counts as free: others get their turn, too."""
        return min(self._most, -(-self.held // self._each)) if self.held and self._slots > 1 else 0

    def left(self) -> int:
        """How many more could ever run here beside these."""
        return self._most * self._each - self.held

    def room(self, others: int) -> int:
        """How many more to claim while so many other attempts are here, each of which takes a slot."""
        workers = min(self._most, max(0, self._slots - others))
        return max(0, workers * self._each - self.held)

    @property
    def _most(self) -> int:
        """Of two or more workers, one is left to the other jobs."""
        return max(1, self._slots - 1)
