"""The back-off between worker starts that failed, and the number of failures after which the manager gives up."""

from __future__ import annotations

_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  #: seconds

_PAUSE_AFTER_REFUSAL = 1.0  #: seconds

MOST_BOOT_FAILURES = 5


class BootBackoff:
    """Back-off between worker starts that failed in a row."""

    def __init__(self) -> None:
        self.not_before = 0.0  #: when the next worker may be started
        self._failures = 0

    def succeeded(self) -> None:
        """Notes that a worker has been built."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """Notes that a worker ended before it was built: each failure doubles the pause before the next start."""
        self._failures += 1
        self.not_before = now + min(_LONGEST_PAUSE, _PAUSE * 2**self._failures)

    def refused(self, now: float) -> None:
        """Notes that the system refused a new process: the next start is tried after a fixed pause."""
        self.not_before = now + _PAUSE_AFTER_REFUSAL

    @property
    def broken(self) -> bool:
        """Whether so many starts in a row failed that the manager gives up."""
        return self._failures >= MOST_BOOT_FAILURES
