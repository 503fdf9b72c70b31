"""BatchCapacity: room for jobs that run in batches. They take no slot but that of their batch."""

from __future__ import annotations

from taskscheduler.model.batches.options import batch_of
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight
from taskscheduler_daemon.node.state.max_jobs import Budget
from taskscheduler_daemon.node.state.speed import Speed

MOST_BYTES = 8 * 1024 * 1024  #: of the jobs of a batch together; a larger job is a batch of its own

_BATCHES_PER_CLAIM = 2  #: while the first one is on its way, the second one gathers

_MOST_PER_CLAIM = 1000


class BatchCapacity:
    """Decides which jobs gather, and how many more a batch may have. Safe to use from many threads."""

    def __init__(self, in_flight: InFlight, budget: Budget, speed: Speed) -> None:
        self._in_flight = in_flight
        self._budget = budget
        self._speed = speed
        self._size = 1  #: of the batches of the job that was claimed last
        self._alone: frozenset[str] = frozenset()  #: classes that turned out not to run in batches here

    def learn_alone(self, name: str) -> None:
        """Notes that the jobs of this class do not run in batches here, as a worker reported."""
        self._alone |= {name}  # a new set: another thread reads it

    def sort(self, attempt: Attempt) -> None:
        """Lets a claimed attempt run by itself if its class does not run in batches here."""
        if attempt.job["class"] in self._alone:
            attempt.gathers = False
        elif (batch := batch_of(attempt.job)) is not None:
            self._size = min(batch.size, max(1, MOST_BYTES // max(1, len(attempt.raw))))

    def most(self, wanted: int, asked: int) -> int:
        """Returns how many jobs to look at and claim at most where so many runs may begin, as a batch has many jobs."""
        return int(max(wanted, min(_BATCHES_PER_CLAIM * self._size, _MOST_PER_CLAIM, self._budget.left - asked)))

    @property
    def is_used(self) -> bool:
        """Whether jobs of batches are in flight."""
        return self._in_flight.gathered > 0

    def wanted(self, missing: int) -> int:
        """Returns how many jobs to claim for a batch in which so many are missing."""
        return int(max(0, min(missing, self._budget.left)))

    def ended(self, is_async: bool, ending: Ending, seconds: float, unstarted: int) -> None:
        """Learns from the end of a batch, which counts as one job; so many of its jobs did not begin."""
        self._budget.refund(unstarted)
        if not is_async and not unstarted and ending is not Ending.UNSTARTED:
            self._speed.learn(seconds)
