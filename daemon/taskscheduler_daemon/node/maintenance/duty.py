"""Duty: something that every node does for the cluster now and then."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod

from taskscheduler.clock import NEVER
from taskscheduler_daemon.node.state.lease import Lease

POLL = 2.0  #: seconds

#: seconds between two looks at the database while nobody follows the wake-up messages
CHECK_WHEN_BUSY = 0.4


class Duty(ABC):
    """One task of the maintainer. Any node may run it at any time: every write is safe to repeat and to race."""

    def __init__(self, lease: Lease, polls: float = 1) -> None:
        """It runs every so many polls; a poll is short enough to extend locks within a lease."""
        self.poll = min(POLL, lease.duration / 6)
        self._polls = polls
        self._next_at = NEVER

    @property
    def interval(self) -> float:
        """Seconds until the next run, a quarter more or less so that nodes do not march in step."""
        return self.poll * self._polls * random.uniform(0.75, 1.25)

    @property
    def next_at(self) -> float:
        """The monotonic time of the next run, if the last one found out that the interval is too long."""
        return self._next_at

    @abstractmethod
    def run(self) -> None:
        """Does it once. Raises StoreError."""

    def stop(self) -> None:  # noqa: B027 - most duties are short
        """Ends a run early. Called from another thread."""


class DueDuty(Duty):
    """A duty that notes when the next thing is due, and may be asked to look sooner."""

    def __init__(self, lease: Lease, wake: threading.Event) -> None:
        """`wake` is set for the maintainer, which then asks when this is due."""
        super().__init__(lease)
        self._wake = wake
        self._asked = threading.Event()

    def look_soon(self) -> None:
        """Looks soon: something was added or changed that may be due first. Safe to use from any thread."""
        self._asked.set()
        self._wake.set()

    @property
    def next_at(self) -> float:
        """When the next known thing is due."""
        return float("-inf") if self._asked.is_set() else self._next_at
