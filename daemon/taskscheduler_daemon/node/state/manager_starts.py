"""ManagerStarts: how soon a node starts its next manager, and when it gives up."""

from __future__ import annotations

from taskscheduler_daemon.node.state.session_end import SessionEnd

_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  #: seconds, so that a fault that repeats does not burn a core

MOST_FAILURES = 5


class ManagerStarts:
    """Counts the managers in a row whose process ended before they were built."""

    def __init__(self) -> None:
        self._failures = 0

    def ended(self, end: SessionEnd) -> None:
        """Notes why a session ended."""
        self._failures = self._failures + 1 if end is SessionEnd.MANAGER_NOT_BUILT else 0

    @property
    def pause(self) -> float:
        """The seconds before the next start: each failure doubles them."""
        return min(_LONGEST_PAUSE, _PAUSE * float(2**self._failures))

    @property
    def broken(self) -> bool:
        """Whether so many starts in a row failed that the node gives up."""
        return self._failures >= MOST_FAILURES
