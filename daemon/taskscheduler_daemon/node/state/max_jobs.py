"""Budget: how many jobs this node may still claim before it ends."""

from __future__ import annotations

import threading

from taskscheduler.clock import NEVER


class Budget:
    """Counts the jobs of `max_jobs`; 0: no limit. Safe to use from many threads."""

    def __init__(self, max_jobs: int) -> None:
        self._left: float = max_jobs or NEVER
        self._lock = threading.Lock()  # the claimer spends, the main loop refunds

    @property
    def left(self) -> float:
        """The number of jobs that may still be claimed."""
        return self._left

    @property
    def is_exhausted(self) -> bool:
        """Whether this node has claimed all the jobs that it may."""
        return self._left <= 0

    def spend(self, count: int) -> None:
        """Counts so many jobs as claimed."""
        with self._lock:
            self._left -= count

    def refund(self, count: int) -> None:
        """Gives so many jobs back: they did not run here."""
        with self._lock:
            self._left += count
