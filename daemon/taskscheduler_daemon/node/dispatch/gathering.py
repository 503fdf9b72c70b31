"""Gatherings: claimed jobs that wait for others of their class and queue, with which they run as one batch.

A gathering takes no slot and holds nothing up. It is sent as soon as it is full, or when its first job has waited
`batch_wait`; before that the claimer looks once for jobs that wait already. Jobs that are not sent are handed back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from taskscheduler.clock import NEVER
from taskscheduler.model.batches.options import BatchOptions, batch_of
from taskscheduler_daemon.node.state.batching import MOST_BYTES
from taskscheduler_daemon.node.state.in_flight import Attempt, Batch

LONGEST_LOOK = 1.0  #: seconds for which a batch waits for the claimer beyond `batch_wait`, if the database hesitates


class Wanted(NamedTuple):
    """Jobs that a gathering could take."""

    name: str  #: of their class
    queue: str
    missing: int


class Gathering:
    """Jobs of one class and queue that will run together."""

    def __init__(self, options: BatchOptions, now: float) -> None:
        self.attempts: list[Attempt] = []
        self.is_looked_for = True  #: whether the claimer has not looked yet for others that wait
        self._options = options
        self._due_at = now + options.wait
        self._bytes = 0

    def takes(self, attempt: Attempt) -> bool:
        """Whether there is room for one more."""
        return not self.attempts or (self.missing > 0 and self._bytes + len(attempt.raw) <= MOST_BYTES)

    def add(self, attempt: Attempt) -> None:
        """Adds an attempt."""
        self.attempts.append(attempt)
        self._bytes += len(attempt.raw)

    @property
    def missing(self) -> int:
        """How many jobs there is room for."""
        return max(0, self._options.size - len(self.attempts))

    @property
    def room(self) -> int:
        """How many jobs to look for: as many as are missing, if they are as large as those that are here."""
        return min(self.missing, (MOST_BYTES - self._bytes) * len(self.attempts) // max(1, self._bytes))

    @property
    def is_full(self) -> bool:
        """Whether it need not wait for more."""
        return not self.missing or self._bytes >= MOST_BYTES

    @property
    def due_at(self) -> float:
        """When it is sent although it is not full."""
        return self._due_at + LONGEST_LOOK if self.is_looked_for else self._due_at


class Gatherings:
    """All gatherings of a node. Only the Dispatcher calls it, under its lock."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Gathering] = {}

    def add(self, attempts: Iterable[Attempt], now: float) -> list[Attempt]:
        """Adds claimed attempts; returns those whose batches have become full, batch by batch."""
        full: list[Attempt] = []
        for attempt in attempts:
            place = attempt.job["class"], str(attempt.job.get("queue", ""))
            gathering = self._open.get(place)
            if gathering is not None and not gathering.takes(attempt):
                full += self._close(place, now)
                gathering = None
            if gathering is None:
                gathering = self._open[place] = Gathering(batch_of(attempt.job) or BatchOptions(1), now)
            attempt.kept = True
            gathering.add(attempt)
            if gathering.is_full:
                full += self._close(place, now)
        return full

    def due(self, now: float) -> list[Attempt]:
        """Removes and returns the attempts of those that have waited long enough."""
        return [one for place in [*self._open] if self._open[place].due_at <= now for one in self._close(place, now)]

    def _close(self, place: tuple[str, str], now: float) -> list[Attempt]:
        attempts = self._open.pop(place).attempts
        batch = Batch(attempts)
        for attempt in attempts:
            attempt.batch, attempt.kept = batch, False
            attempt.seen_at = now  # the manager has not heard of it until now
        return attempts

    def wanted(self) -> list[Wanted]:
        """Returns what they have room for."""
        return [Wanted(*place, gathering.room) for place, gathering in self._open.items()]

    def looked(self) -> None:
        """Notes that the claimer has looked for jobs that wait for those that are open now."""
        for gathering in self._open.values():
            gathering.is_looked_for = False

    def next_due(self) -> float:
        """Returns when to send the next one."""
        return min((gathering.due_at for gathering in self._open.values()), default=NEVER)

    def empty(self) -> list[Attempt]:
        """Removes and returns everything."""
        attempts = [one for gathering in self._open.values() for one in gathering.attempts]
        self._open = {}
        return attempts
