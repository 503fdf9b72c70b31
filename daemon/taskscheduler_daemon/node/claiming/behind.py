"""Behind: the highest priority of the jobs that a node has left behind, as far as it knows."""

from __future__ import annotations

from collections.abc import Sequence

from taskscheduler.clock import NEVER


class Behind:
    """Tells which urgent jobs pass no other that waits for longer. Threads may read it at any time."""

    def __init__(self) -> None:
        self._priority: float = NEVER  #: nothing is known before the first search

    def found(self, priorities: Sequence[int], more: bool) -> None:
        """Notes the priorities of what a search has found, in claim order; `more`: others may wait behind these."""
        if not more:
            self._priority = -NEVER
        elif priorities:
            self._priority = priorities[-1]

    def left(self, priority: int) -> None:
        """Notes that a job of this priority was left to the next search: none that comes later is to pass it."""
        self._priority = max(self._priority, priority)

    def is_passed_by(self, priority: int) -> bool:
        """Whether a job of this priority comes before all that are left behind."""
        return priority > self._priority
