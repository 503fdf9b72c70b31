"""Pure: how long to wait with a new worker when the last ones could not be started, and when to give up."""

from __future__ import annotations

_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

_PAUSE_AFTER_REFUSAL = 1.0

MOST_BOOT_FAILURES = 5


class BootBackoff:
    """The starts of workers that failed in a row."""

    def __init__(self) -> None:
        self.not_before = 0.0  #: when the next worker may be started
        self._failures = 0

    def succeeded(self) -> None:
        """A worker has been built."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """A worker ended before it was built: the next one is started after a pause that grows."""
        self._failures += 1
        self.not_before = now + min(_LONGEST_PAUSE, _PAUSE * 2**self._failures)

    def refused(self, now: float) -> None:
        """The system refused a new process: try again in a while."""
        self.not_before = now + _PAUSE_AFTER_REFUSAL

    @property
    def broken(self) -> bool:
        """Whether no worker could be built again and again."""
        return self._failures >= MOST_BOOT_FAILURES
