"""Heartbeat: the thread that renews the lease, in time even if the database hesitates."""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from typing import Protocol

from taskscheduler.clock import Clock
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.status import NodeStatus
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)

_LONGEST_RETRY = 0.5  #: seconds between a heartbeat that failed and the next one

_LATE = 4  #: an answer counts as late after this part of the time between two heartbeats

_EXACT = 0.25  #: seconds within which an answer tells the server's time well enough

_OFTEN = 2  #: how much more often than usual the node beats for a lease after a failure or a late answer


class LeaseHolder(Protocol):
    """Works under the lease. Called from the thread of the heartbeat."""

    def lease_renewed(self, lapsed: bool) -> None:
        """The lease was extended; `lapsed`: after a time without it."""
        ...

    def drain(self) -> None:
        """Somebody has asked this node to drain; called with each heartbeat from then on."""
        ...

    def lease_lost(self) -> None:
        """Another node has declared this one lost."""
        ...


class BeatPlan:
    """Plans when the next heartbeat is sent."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.due = float("-inf")  #: the monotonic time of the next heartbeat
        self._often_until = float("-inf")  #: a database that has just hesitated may do so again

    def answered(self, sent: float, now: float) -> None:
        """Plans the next one from when this one was sent, since the lease counts from then as well."""
        interval = self._lease.renewal_interval
        if now - sent > interval / _LATE:
            self._hesitated(now)
        self.due = sent + (interval / _OFTEN if sent < self._often_until else interval)

    def failed(self, now: float) -> None:
        """Plans another try soon."""
        self._hesitated(now)
        self.due = now + min(_LONGEST_RETRY, self._lease.duration / 10)

    def _hesitated(self, now: float) -> None:
        self._often_until = now + self._lease.duration


class Heartbeat:
    """Renews the lease of this node until it is stopped or has lost it."""

    def __init__(
        self,
        store: Store,
        node: NodeIdentity,
        lease: Lease,
        status: NodeStatus,
        holder: LeaseHolder,
        clock: Clock,
        threads: SessionThreads,
    ) -> None:
        self._store = store
        self._boot = node.boot
        self._lease = lease
        self._plan = BeatPlan(lease)
        self._status = status
        self._holder = holder
        self._clock = clock
        self._threads = threads
        self._stopped = threading.Event()
        self._early = threading.Event()  #: do not wait for the next beat
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Registers the node, then beats from a thread. Raises StoreError."""
        sent = self._clock.monotonic()
        self._store.nodes.register(self._boot, self._status.at_start())
        self._renewed(sent)
        self._thread = self._threads.start("heart", self._loop)

    def beat_now(self) -> None:
        """Beats at once: the status of the node has changed."""
        self._early.set()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._early.set()
        join(self._thread)

    def _loop(self) -> None:
        while True:
            self._early.wait(max(0.0, self._plan.due - self._clock.monotonic()))
            self._early.clear()
            if self._stopped.is_set():
                return
            try:
                if not self._beat():
                    return
            except StoreError as error:
                logger.warning("heartbeat failed", extra={"reason": str(error)[:200]})
                self._plan.failed(self._clock.monotonic())

    def _beat(self) -> bool:
        """Returns whether the lease is still ours."""
        sent = self._clock.monotonic()
        answer = self._store.nodes.beat(self._boot, self._status.all())
        if answer is None:
            self._lease.lost()
            self._holder.lease_lost()
            return False
        self._set_clock(answer.at, sent)
        self._renewed(sent)
        if answer.drains:
            self._holder.drain()
        return True

    def _set_clock(self, server_now: datetime, sent: float) -> None:
        """Takes over the server's time from an answer that came soon: it read its clock halfway."""
        answered = self._clock.monotonic()
        if answered - sent < _EXACT:
            self._store.clock.synchronize(server_now, (sent + answered) / 2)

    def _renewed(self, sent: float) -> None:
        self._plan.answered(sent, self._clock.monotonic())
        lapsed = not self._lease.is_safe
        self._lease.renewed(sent)
        self._holder.lease_renewed(lapsed)
