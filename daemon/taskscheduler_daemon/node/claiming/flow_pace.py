"""FlowPace: tells whether jobs of flows follow each other fast on this node."""

from __future__ import annotations

from taskscheduler.clock import Clock

_WINDOW = 0.25  #: seconds over which jobs are counted

_FAST = 200  #: jobs a second

_LOOK_EVERY = 0.2  #: seconds


class FlowPace:
    """Counts the jobs of flows that a node claims as those before them end there.

    While many do, the node hears no messages, as with a backlog: MongoDB reads each write for whoever listens, which
    takes as long as a quarter of its work for these jobs. Instead the node looks every `_LOOK_EVERY` for other jobs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()  #: when the window began
        self._count = 0
        self._look_at = 0.0
        self.is_fast = False

    def claimed(self, count: int) -> None:
        """Counts jobs that were claimed."""
        self._count += count
        self.measure()

    def measure(self) -> None:
        """Closes the window if it is over, and decides then."""
        now = self._clock.monotonic()
        if now >= self._since + _WINDOW:
            self.is_fast = self._count >= _FAST * (now - self._since)
            self._since, self._count = now, 0

    def is_look_due(self) -> bool:
        """Returns whether it is time to look for other jobs; then the next time is one later."""
        now = self._clock.monotonic()
        if not self.is_fast or now < self._look_at:
            return False
        self._look_at = now + _LOOK_EVERY
        return True
