"""ManagerWatchdog: kills the worker manager if it hangs, or does not stop in time."""

from __future__ import annotations

import logging

from taskscheduler.clock import NEVER, Clock
from taskscheduler_daemon.system.kill import kill_tree

logger = logging.getLogger(__name__)

SILENCE = 3.0  #: seconds; the manager sends its inventory every second


class ManagerWatchdog:
    """Notes when the manager last sent something, since when it has not answered, and by when it must have stopped."""

    def __init__(self, pid: int, lease: float, clock: Clock) -> None:
        """`lease` is in seconds: as long may the manager take to answer, or `SILENCE` if that is longer."""
        self.pid = pid
        self.patience = max(lease, SILENCE)
        self._clock = clock
        self._heard_at = float("-inf")
        self._asked_at = NEVER
        self._kill_at = NEVER

    def heard(self, now: float) -> None:
        """Notes that the manager has sent something."""
        self._heard_at, self._asked_at = now, NEVER

    def asked(self) -> None:
        """Notes that the manager was sent something that it answers. Counts only once it has sent anything."""
        if self._heard_at > float("-inf"):
            self._asked_at = min(self._asked_at, self._clock.monotonic())

    @property
    def is_answering(self) -> bool:
        """Whether the manager can be trusted to mention all attempts that it holds."""
        return self._asked_at == NEVER and self._clock.monotonic() - self._heard_at <= self.patience

    def kill_within(self, seconds: float) -> None:
        """Gives the manager so many seconds to end, unless it has less time already."""
        self._kill_at = min(self._kill_at, self._clock.monotonic() + seconds)

    def kill_after(self, seconds: float) -> None:
        """Gives the manager so many seconds to end, in place of any time it had before."""
        self._kill_at = self._clock.monotonic() + seconds

    def until_kill(self, at_most: float) -> float:
        """Returns the seconds that are left to the manager, at most so many."""
        return max(0.0, min(at_most, self._kill_at - self._clock.monotonic()))

    def check(self, heard_at: float | None = None) -> None:
        """Kills the manager and its workers if its time is over or it hangs: then its jobs can be handed back.

        `heard_at`: when it has just sent something.
        """
        if heard_at is not None:
            self.heard(heard_at)
        now = self._clock.monotonic()
        if now >= self._kill_at or now - self._asked_at > self.patience:
            logger.error("the worker manager does not answer or does not end; killing it", extra={"manager": self.pid})
            self._kill_at = self._asked_at = NEVER
            self.kill()

    def kill(self) -> None:
        """Kills the manager and everything below it."""
        kill_tree(self.pid)
