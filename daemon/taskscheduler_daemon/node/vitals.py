"""Vitals: whether the main loop turns, whether the node is ready for jobs, and how its workers are used."""

from __future__ import annotations

from taskscheduler.clock import NEVER, Clock, Deadline
from taskscheduler.store import Store
from taskscheduler_daemon.monitoring.families import Value
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.parts import SessionParts
from taskscheduler_daemon.system.signal_pipe import SignalPipe

_LOOK_EVERY = 0.01


class Vitals:
    """What is asked of a session from outside. Safe to use from any thread."""

    def __init__(
        self, store: Store, options: NodeOptions, parts: SessionParts, signals: SignalPipe, clock: Clock
    ) -> None:
        self.store = store
        self._name = options.name
        self._parts = parts
        self._signals = signals
        self._clock = clock
        self._turns = 0
        self._is_over = False
        self.is_stopping = False  #: whether the session was asked to end, or ends
        self.is_draining = False

    def turned(self) -> None:
        """Notes a turn of the main loop."""
        self._turns += 1

    def stops(self) -> None:
        """Notes that the session ends, so that its main loop does not turn any more."""
        self.is_stopping = self._is_over = True

    def is_turning(self, seconds: float) -> bool:
        """Wakes the main loop and returns whether it turns within so many seconds; True of a session that ends."""
        before, deadline = self._turns, Deadline(seconds, self._clock)
        self._signals.wake()
        while self._turns == before and not self._is_over:
            if deadline.passed:
                return False
            deadline.pause(_LOOK_EVERY)
        return True

    def faults(self) -> list[str]:
        """Returns why the node is not ready to run jobs; nothing if it is."""
        parts, found = self._parts, list[str]()
        if self.is_stopping:
            found.append("the node stops")
        if parts.lease.safe_until == NEVER:
            found.append("the node is not registered yet")
        elif not parts.lease.is_safe:
            found.append("the database has not taken a heartbeat of the node for most of its lease")
        if not parts.watchdog.is_answering:
            found.append("the worker manager does not answer")
        elif not parts.capacity.slots:
            found.append("the worker manager has no workers")
        return found

    def workers(self) -> tuple[int, int]:
        """Returns how many workers run jobs, and how many workers there are."""
        return self._parts.status.workers_by_use()

    def values(self) -> list[Value]:
        """Returns how the workers of the node are used."""
        busy, total = self.workers()
        return [
            Value("workers", (self._name, "busy"), busy),
            Value("workers", (self._name, "idle"), total - busy),
            Value("workers_max", (self._name,), self._parts.capacity.slots),
        ]
