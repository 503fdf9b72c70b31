"""Dispatches claimed attempts to the worker manager, and cancels them there."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import NO_WORKER, Kind, Report
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight

_REMEMBER_CANCELLED = 5.0  #: seconds; no claim takes longer to read back


class Dispatcher:
    """Dispatches, cancels and releases attempts. Safe to use from many threads."""

    def __init__(
        self,
        in_flight: InFlight,
        locks: ExclusiveLocks,
        manager: ManagerProxy,
        completer: Completer,
        clock: Clock,
    ) -> None:
        self._in_flight = in_flight
        self._locks = locks
        self._manager = manager
        self._completer = completer
        self._clock = clock
        self._lock = threading.Lock()
        self._cancelled: dict[ObjectId, float] = {}  #: jobs that were lately cancelled, ours or not, and when

    def dispatch(self, attempts: list[Attempt]) -> None:
        """Sends attempts that were just claimed to the manager, except those that were cancelled meanwhile."""
        late = [attempt for attempt in attempts if self._is_cancelled(attempt.fence.job_id)] if self._cancelled else []
        for attempt in late:  # cancelled after they were read back and before we knew them
            self._forget(attempt.fence.job_id)
            self._locks.release(attempt.fence.job_id.binary, attempt.fence.attempt)
        attempts = [attempt for attempt in attempts if attempt not in late] if late else attempts
        self._manager.dispatch([attempt.run() for attempt in attempts])

    def cancel(self, ids: list[ObjectId]) -> None:
        """Kills those of these cancelled jobs that are in flight here."""
        now = self._clock.monotonic()
        with self._lock:
            self._cancelled = {key: at for key, at in self._cancelled.items() if now - at < _REMEMBER_CANCELLED}
            self._cancelled |= dict.fromkeys(ids, now)
        ours = [job_id for job_id in ids if self._forget(job_id)]
        self._manager.cancel(ours)
        for job_id in set(ids).difference(ours):
            self._locks.already_ended(job_id.binary)

    def _is_cancelled(self, job_id: ObjectId) -> bool:
        """Only for a while: a busy node does not learn that a job waits again."""
        return self._clock.monotonic() - self._cancelled.get(job_id, float("-inf")) < _REMEMBER_CANCELLED

    def allow_again(self, ids: Iterable[ObjectId]) -> None:
        """Dispatches these jobs again, even if they were cancelled before."""
        with self._lock:
            for job_id in ids:
                self._cancelled.pop(job_id, None)

    def _forget(self, job_id: ObjectId) -> bool:
        attempt = self._in_flight.get(job_id.binary)
        if attempt is None:
            return False
        self._locks.await_exit(attempt)  # first: once it is removed, nobody else would learn that its process is gone
        if self._in_flight.pop(job_id.binary, attempt.fence.attempt) is None:
            self._locks.forget(attempt)
            return False
        return True

    def missing(self, fence: Fence) -> None:
        """Writes the loss of an attempt that the manager does not know: a message was lost, and it may have run."""
        attempt = self._in_flight.pop(fence.job_id.binary, fence.attempt)
        if attempt is None:
            return  # its end has arrived in the meantime
        self._manager.cancel([fence.job_id])  # a manager that only did not answer may still run it
        self._release(attempt, Ending.LOST, "the worker manager lost track of the job")

    def release_all(self, ending: Ending) -> None:
        """Releases every attempt: the manager is gone, and with it all unreported results."""
        self._locks.release_all()
        for attempt in self._in_flight.clear():
            self._locks.release_after_end(attempt)
            self._release(attempt, ending, "the worker manager died while it held the job")

    def _release(self, attempt: Attempt, ending: Ending, reason: str) -> None:
        """Writes an end in place of the one that nobody can report any more."""
        lost = ending is Ending.LOST
        body = messages.body(error={"type": "WorkerLostError", "message": reason}) if lost else b""
        fence = attempt.fence
        report = Report(Kind.REPORT, ending, fence.job_id.binary, fence.attempt, NO_WORKER, 0.0, body)
        self._completer.submit(self._completer.completion_of(attempt, report))
