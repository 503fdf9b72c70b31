"""Heartbeat: the thread that renews the lease."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.maintenance.maintainer import logger
from taskscheduler_daemon.node.state.lease import RENEWALS, SAFE_PART
from taskscheduler_daemon.system.threads import Crashed, duty


class Heartbeat:
    """Renews the lease of this node until it is stopped or has lost it."""

    def __init__(
        self,
        store: Store,
        boot: ObjectId,
        lease: float,
        facts: Callable[[], Mapping[str, Any]],
        renewed: Callable[[float], None],
        lost: Callable[[], None],
        crashed: Crashed,
        clock: Clock,
    ) -> None:
        self._store = store
        self._boot = boot
        self._lease = lease
        self._facts = facts
        self._renewed = renewed
        self._lost = lost
        self._clock = clock
        self._stopped = threading.Event()
        self._early = threading.Event()  #: do not wait for the next beat
        self._thread = duty("heart", self._loop, crashed)

    def start(self) -> None:
        """Register the node, then beat from a thread. Raises the driver's errors."""
        sent = self._clock.monotonic()
        self._store.nodes.register(self._boot, self._facts())
        self._renewed(sent + SAFE_PART * self._lease)
        self._thread.start()

    def _loop(self) -> None:
        pause = self._lease / RENEWALS
        while True:
            self._early.wait(pause)
            self._early.clear()
            if self._stopped.is_set():
                return
            sent = self._clock.monotonic()
            try:
                if not self._store.nodes.beat(self._boot, self._facts()):
                    self._lost()
                    return
                self._renewed(sent + SAFE_PART * self._lease)
                pause = self._lease / RENEWALS
            except StoreError as error:
                logger.warning("heartbeat failed", extra={"reason": str(error)[:200]})
                pause = min(0.5, self._lease / 10)

    def beat_now(self) -> None:
        """What is registered about the node has changed."""
        self._early.set()

    def stop(self) -> None:
        self._stopped.set()
        self._early.set()
        if self._thread.is_alive():
            self._thread.join()
