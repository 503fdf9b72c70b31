"""FamilySigns: tells the manager when the children of a silent job gave their last sign of life, wherever they run."""

from __future__ import annotations

import logging
import queue
import threading

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, brief
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)


class FamilySigns:
    """Answers from a thread of its own, which the first question starts: the main loop never waits for the database.

    A question that the database does not answer stays open, and the job goes on: the manager asks again.
    """

    def __init__(
        self, store: Store, in_flight: InFlight, manager: ManagerProxy, clock: Clock, threads: SessionThreads
    ) -> None:
        self._store = store
        self._in_flight = in_flight
        self._manager = manager
        self._clock = clock
        self._threads = threads
        self._questions: queue.SimpleQueue[tuple[bytes, int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def ask(self, job_id: bytes, attempt: int) -> None:
        """Finds out about the children of a silent job soon. Only the main loop calls it."""
        self._questions.put((job_id, attempt))
        if self._thread is None:
            self._thread = self._threads.start("family", self._loop)

    def stop(self) -> None:
        """Answers what was asked, and ends the thread."""
        self._questions.put(None)
        join(self._thread)

    def _loop(self) -> None:
        while (question := self._questions.get()) is not None:
            try:
                self._answer(*question)
            except StoreError as error:
                logger.info("children of a silent job not looked at yet", extra={"reason": brief(error)})

    def _answer(self, job_id: bytes, attempt: int) -> None:
        batch = self._in_flight.batches.get(job_id)
        ids = [ObjectId(job_id)] if batch is None else [one.fence.job_id for one in self._in_flight.members(batch)]
        signs = map(self._store.families.since_sign_of_child, ids)
        since = min((one for one in signs if one is not None), default=None)
        self._manager.alive(job_id, attempt, 0.0 if since is None else self._clock.monotonic() - since)
