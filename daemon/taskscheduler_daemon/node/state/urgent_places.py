"""UrgentPlaces: how many jobs to claim beyond the room since they come before those that are claimed ahead."""

from __future__ import annotations

from collections.abc import Iterable

from bson import ObjectId

from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.max_jobs import Budget
from taskscheduler_daemon.node.state.speed import Speed

_PART = 8  #: one in so many jobs that are claimed ahead; at least as many as there are slots

_FAR = 4000  #: jobs that are left of the budget: more than the claimer asks for meanwhile


class UrgentPlaces:
    """Counts the urgent jobs that are in flight. One thread at a time takes places."""

    def __init__(self, in_flight: InFlight, lease: Lease, budget: Budget, speed: Speed) -> None:
        self._in_flight = in_flight
        self._lease = lease
        self._budget = budget
        self._speed = speed
        self._taken: frozenset[bytes] = frozenset()

    def take(self, ids: Iterable[bytes]) -> None:
        """Notes that these jobs are claimed; the places of those that are not in flight any more become free."""
        self._taken = self._held().union(ids)

    def _held(self) -> frozenset[bytes]:
        return frozenset(job_id for job_id in self._taken if self._in_flight.get(job_id) is not None)

    def holds(self, job_id: ObjectId) -> bool:
        """Whether an attempt at this job is in flight."""
        return self._in_flight.get(job_id.binary) is not None

    def free(self, slots: int) -> int:
        """Returns how many more urgent jobs to claim on a node with so many slots.

        None while nothing is claimed ahead, as a job is not to wait here for a long one, nor near the end of the
        budget, which the claimer spends at the same time. A worker may find out that a job is async, so beside async
        attempts there are only as many places as slots.
        """
        ahead = self._speed.ahead(slots)
        if not ahead or not self._lease.is_safe or self._in_flight.closed or self._budget.left < _FAR:
            return 0
        most = slots if self._in_flight.async_count else max(slots, ahead // _PART)
        return max(0, most - len(self._held()))
