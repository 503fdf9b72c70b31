"""Maintainer: the thread that runs the maintenance duties. Any node may run any of them at any time."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence

from taskscheduler.clock import Clock
from taskscheduler.store.driver_errors import StoreError, is_rejection
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.maintenance.schema_keeper import SchemaKeeper
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)

_MOST_DOUBLINGS = 5  #: of the pause after a failure that nobody expected


class Maintainer:
    """Runs each duty when it is due. A fault of one is logged and never stops another."""

    def __init__(
        self, schema: SchemaKeeper, duties: Sequence[Duty], wake: threading.Event, clock: Clock, threads: SessionThreads
    ) -> None:
        """`wake` is set by a duty that wants to run before it is due, through its `next_at`."""
        self._schema = schema
        self._duties = (schema, *duties)  # in this order when several are due
        self._due = [0.0] * len(self._duties)
        self._failures: Counter[int] = Counter()  #: unexpected ones, in a row
        self._wake = wake
        self._clock = clock
        self._threads = threads
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = self._threads.start("care", self._loop)

    def stop(self) -> None:
        """Ends the thread; waits for the duty that runs."""
        self._stopped.set()
        for duty in self._duties:
            duty.stop()
        self._wake.set()
        join(self._thread)

    def _loop(self) -> None:
        while not self._stopped.is_set():
            self._run_due(self._clock.monotonic())
            due = min(map(self._due_at, range(len(self._duties))))
            if self._wake.wait(max(0.0, due - self._clock.monotonic())):
                self._wake.clear()

    def _due_at(self, number: int) -> float:
        return min(self._due[number], self._duties[number].next_at)

    def _run_due(self, now: float) -> None:
        for number, duty in enumerate(self._duties):
            if now >= self._due_at(number) and not self._stopped.is_set():
                self._due[number] = now + duty.interval  # first: a duty that fails is not tried all the time
                self._run(number, duty)

    def _run(self, number: int, duty: Duty) -> None:
        try:
            duty.run()
            self._failures[number] = 0
        except StoreError as error:
            facts = {"duty": type(duty).__name__, "reason": str(error)[:200]}
            logger.warning("maintenance failed", extra=facts)
            if is_rejection(error):
                self._schema.repair()  # an index may be gone
        except Exception:  # what one duty meets in the database must stop neither the others nor the running jobs
            self._failures[number] += 1
            pause = duty.interval * 2 ** min(self._failures[number], _MOST_DOUBLINGS)
            self._due[number] = self._clock.monotonic() + pause
            logger.exception("maintenance failed unexpectedly", extra={"duty": type(duty).__name__, "pause": pause})
