"""Heartbeat: the thread that renews the lease."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from taskscheduler.clock import Clock
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.status import NodeStatus
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)


class LeaseHolder(Protocol):
    """Works under the lease. Called from the thread of the heartbeat."""

    def lease_renewed(self, lapsed: bool) -> None:
        """The lease was extended; `lapsed`: after a time without it."""
        ...

    def lease_lost(self) -> None:
        """Another node has declared this one lost."""
        ...


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
        self._store.nodes.register(self._boot, self._status.all())
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
        pause = self._lease.renewal_interval
        while True:
            self._early.wait(pause)
            self._early.clear()
            if self._stopped.is_set():
                return
            try:
                if not self._beat():
                    return
                pause = self._lease.renewal_interval
            except StoreError as error:
                logger.warning("heartbeat failed", extra={"reason": str(error)[:200]})
                pause = min(0.5, self._lease.duration / 10)

    def _beat(self) -> bool:
        """Returns whether the lease is still ours."""
        sent = self._clock.monotonic()
        if not self._store.nodes.beat(self._boot, self._status.all()):
            self._lease.lost()
            self._holder.lease_lost()
            return False
        self._renewed(sent)
        return True

    def _renewed(self, sent: float) -> None:
        lapsed = not self._lease.is_safe
        self._lease.renewed(sent)
        self._holder.lease_renewed(lapsed)
