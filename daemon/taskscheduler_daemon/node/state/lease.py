"""Lease: until when this node may claim and run jobs.

A node has stopped its jobs before another one may take them. This is why, for a heartbeat that was sent at S:

- The database stores it at S or later, so another node sees it first at some T after S. It declares this node lost
  after it has seen nothing newer for a whole lease, and only if the stored heartbeat is still that one. Nobody takes a
  job before S + lease.
- This node counts from S too, whenever the answer comes, and its manager kills all jobs at S + SAFE_PART * lease,
  without asking anybody. The rest of the lease is left for the kill.
- A heartbeat that was stored but not answered makes the others wait for longer, and this node not.

Each side measures a duration on its own monotonic clock; no two clocks are compared.

A heartbeat that is late is no lost lease. The next one is planned from S as well, so at most 1 / RENEWALS of the lease
has passed when a database stops to answer. It may stay away for SAFE_PART - 1 / RENEWALS, which is more than half of
the lease, before a job is killed.
"""

from __future__ import annotations

from taskscheduler.clock import NEVER, Clock

RENEWALS = 3  #: per lease, so that two heartbeats in a row may fail

SAFE_PART = 0.9  #: of a lease that was not renewed; then the jobs are killed, before another node may rescue them


class Lease:
    """Counts down the lease of this node, from when its last renewal was sent. Safe to use from many threads."""

    def __init__(self, duration: float, clock: Clock) -> None:
        self.duration = duration  #: seconds without a heartbeat after which other nodes rescue the jobs
        self._clock = clock
        self._safe_until = NEVER  #: before the first renewal there is nothing to lose

    @property
    def renewal_interval(self) -> float:
        """Seconds between two heartbeats."""
        return self.duration / RENEWALS

    @property
    def safe_until(self) -> float:
        """The monotonic time after which this node runs no job unless the lease is renewed."""
        return self._safe_until

    @property
    def is_safe(self) -> bool:
        """Whether jobs may be claimed and run."""
        return self._clock.monotonic() < self._safe_until

    def now(self) -> float:
        """Returns the monotonic time by which this lease is counted."""
        return self._clock.monotonic()

    def renewed(self, sent: float) -> None:
        """Extends the lease, counted from the monotonic time at which the heartbeat was `sent`."""
        self._safe_until = sent + SAFE_PART * self.duration

    def lost(self) -> None:
        """Ends the lease for good: another node has declared this one lost."""
        self._safe_until = float("-inf")
