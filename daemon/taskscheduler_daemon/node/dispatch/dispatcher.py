"""The attempts in the hands of a node: passed on to its manager, and taken from it when they are not to be made."""

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
from taskscheduler_daemon.node.completion.completer import Completer, completion_of_report
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.state.in_flight import Attempt, Ledger

_REMEMBER_CANCELED = 5.0  #: seconds; no claim takes longer to read back


class Dispatcher:
    """What is done to attempts from outside. Safe to use from many threads."""

    def __init__(
        self,
        ledger: Ledger,
        departures: ExclusiveLocks,
        down: ManagerProxy,
        writer: Completer,
        max_lost: int,
        clock: Clock,
    ) -> None:
        self._in_flight = ledger
        self._locks = departures
        self._manager = down
        self._completer = writer
        self._max_lost = max_lost
        self._clock = clock
        self._lock = threading.Lock()
        self._cancelled: dict[ObjectId, float] = {}  #: jobs that were lately cancelled, ours or not, and when

    def dispatch(self, attempts: list[Attempt]) -> None:
        """Pass on what has been claimed."""
        late = [attempt for attempt in attempts if self._is_cancelled(attempt.fence.job_id)] if self._cancelled else []
        for attempt in late:  # cancelled after they were read back and before we knew them
            self._forget(attempt.fence.job_id)
            self._locks.release(attempt.fence.job_id.binary, attempt.fence.attempt)
        attempts = [attempt for attempt in attempts if attempt not in late] if late else attempts
        self._manager.dispatch(attempt.run() for attempt in attempts)

    def cancel(self, ids: list[ObjectId]) -> None:
        """These jobs were cancelled: those that are here are killed."""
        now = self._clock.monotonic()
        with self._lock:
            self._cancelled = {key: at for key, at in self._cancelled.items() if now - at < _REMEMBER_CANCELED}
            self._cancelled |= dict.fromkeys(ids, now)
        ours = [job_id for job_id in ids if self._forget(job_id)]
        self._manager.cancel(ours)
        for job_id in set(ids).difference(ours):
            self._locks.already_ended(job_id.binary)

    def _is_cancelled(self, job_id: ObjectId) -> bool:
        """Whether it was so lately: a busy node does not hear that a job was put back to the queue."""
        return self._clock.monotonic() - self._cancelled.get(job_id, float("-inf")) < _REMEMBER_CANCELED

    def allow_again(self, ids: Iterable[ObjectId]) -> None:
        """These jobs may run, also if they were cancelled before."""
        with self._lock:
            for job_id in ids:
                self._cancelled.pop(job_id, None)

    def _forget(self, job_id: ObjectId) -> bool:
        attempt = self._in_flight.get(job_id.binary)
        if attempt is None:
            return False
        self._locks.await_exit(attempt)  # first: once it is taken, nobody else would hear that nothing is left of it
        if self._in_flight.take(job_id.binary, attempt.fence.attempt) is None:
            self._locks.forget(attempt)
            return False
        return True

    def missing(self, fence: Fence) -> None:
        """An attempt that the manager does not know: a message was lost. Whether it ran is not known either."""
        attempt = self._in_flight.take(fence.job_id.binary, fence.attempt)
        if attempt is None:
            return  # its end has come in the meantime
        self._manager.cancel([fence.job_id])  # a manager that only did not answer may still have it
        self._release(attempt, Ending.LOST, "the worker manager lost track of the job")

    def release_all(self, ending: Ending) -> None:
        """Nobody works on these any more: the manager is gone, with whatever it did not report."""
        self._locks.release_all()
        for attempt in self._in_flight.clear():
            self._locks.release_after_end(attempt)
            self._release(attempt, ending, "the worker manager died while it held the job")

    def _release(self, attempt: Attempt, ending: Ending, reason: str) -> None:
        """Write an end for an attempt of which nobody can tell any more how it ended."""
        lost = ending is Ending.LOST
        body = messages.body(error={"type": "WorkerLostError", "message": reason}) if lost else b""
        fence = attempt.fence
        report = Report(Kind.REPORT, ending, fence.job_id.binary, fence.attempt, NO_WORKER, 0.0, body)
        self._completer.submit(completion_of_report(attempt, report, self._max_lost))
