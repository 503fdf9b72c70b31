"""ServiceReporter: tells systemd that the node is ready, that its main loop turns, and that it stops."""

from __future__ import annotations

import threading

from taskscheduler.clock import Clock
from taskscheduler_daemon.monitoring.service_manager import ServiceManager
from taskscheduler_daemon.node.vitals import Vitals

_LOOK_EVERY = 0.25  #: seconds

_STATUS_EVERY = 2.0  #: seconds

_SIGNS = 3  #: signs of life that are due in the time after which the service manager kills the node


class ServiceReporter:
    """Reports from a thread of its own, which must not be there while the node forks a manager.

    A sign of life says what `/livez` says: the main loop turns. A database that is away for an hour must not end the
    node, as no restart brings it back.
    """

    def __init__(self, manager: ServiceManager, clock: Clock) -> None:
        self.vitals: Vitals | None = None  #: of the session, if there is one
        self._manager = manager
        self._clock = clock
        self._is_ready = self._is_stopping = False
        self._sign_due = self._status_due = float("-inf")
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to report."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._loop, name="ts-service-manager", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; the next manager is forked."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Ends the thread, and says that the node ends."""
        self.stop()
        if not self._is_stopping:
            self._is_stopping = self._manager.stopping()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._stopped.wait(_LOOK_EVERY)

    def look(self) -> None:
        """Reports what is new, and what is due."""
        vitals, manager = self.vitals, self._manager
        faults = ["it connects to its database"] if vitals is None else vitals.faults()
        if not self._is_ready and not faults:
            self._is_ready = manager.ready()
        if not self._is_stopping and vitals is not None and vitals.is_stopping:
            self._is_stopping = manager.stopping()
        now = self._clock.monotonic()
        if now >= self._status_due:
            self._status_due = now + _STATUS_EVERY
            manager.status(_status(vitals, faults))
        if manager.watchdog is not None and now >= self._sign_due:
            self._give_sign(vitals, now, manager.watchdog / _SIGNS)

    def _give_sign(self, vitals: Vitals | None, now: float, interval: float) -> None:
        if (vitals is None or vitals.is_turning(interval)) and self._manager.alive():
            self._sign_due = now + interval


def _status(vitals: Vitals | None, faults: list[str]) -> str:
    if vitals is None or faults:
        return f"not ready: {'; '.join(faults)}"
    busy, total = vitals.workers()
    return f"{'draining' if vitals.is_draining else 'ready'}: {busy} of {total} workers busy"
