"""ReportHandler: the ends, the progress and the inventory that the manager reports."""

from __future__ import annotations

from collections import Counter
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.failure_log import FailureLog
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight

_MENTIONS_ASYNC = b"\x08async\0"  #: in a report, as BSON; only then its content is decoded for that


class ReportHandler:
    """Removes ended attempts from those in flight, and submits what is to be written about them."""

    def __init__(
        self,
        in_flight: InFlight,
        capacity: Capacity,
        completer: Completer,
        hooks: HookCalls,
        locks: ExclusiveLocks,
        manager: ManagerProxy,
        clock: Clock,
    ) -> None:
        self.ended_as: Counter[Ending] = Counter()  #: attempts that ended here
        self._in_flight = in_flight
        self._capacity = capacity
        self._completer = completer
        self._hooks = hooks
        self._locks = locks
        self._manager = manager
        self._clock = clock
        self._failures = FailureLog(clock)

    def ended(self, report: Report) -> None:
        """Handles an attempt that has ended, or was handed back."""
        attempt = self._in_flight.pop(report.job_id, report.attempt)
        if attempt is None:
            self._hooks.finished(report)  # or a cancelled job has ended, which means nothing
            return
        self._measure(attempt, report)
        self._locks.release_after_end(attempt)
        if _MENTIONS_ASYNC in report.body and report.content().get("async"):
            self._capacity.learn_async(attempt.job["class"])
        completion = self._completer.completion_of(attempt, report)
        if report.ending is not Ending.SUCCEEDED:
            self._failures.ended(attempt, report.ending, completion)
        self._completer.submit(completion)

    def _measure(self, attempt: Attempt, report: Report) -> None:
        if report.ending is Ending.UNSTARTED:
            self._capacity.budget.refund(1)
            if not attempt.is_async:
                self._capacity.stalled()
        else:
            if not attempt.is_async:
                self._capacity.speed.learn(report.seconds)
            self.ended_as[report.ending] += 1

    def progressed(self, report: Report) -> None:
        """Handles a sign of life of a running job."""
        content, attempt = report.content(), self._in_flight.get(report.job_id)
        if attempt is None:
            return
        fence = attempt.fence
        if (content.get("id"), content.get("attempt")) != (fence.job_id, fence.attempt):
            return
        progress: dict[str, Any] = {key: content[key] for key in ("progress", "message") if key in content}
        progress["worker"] = report.worker.hex()
        attempt.noted = self._clock.monotonic()
        self._completer.submit((fence, progress, attempt.parent))

    def held(self, entries: list[messages.Held]) -> None:
        """Handles the inventory of the manager. Cancels what is not ours any more once again: a message may be lost."""
        now = self._clock.monotonic()
        unknown = []
        for entry in entries:
            attempt = self._in_flight.get(entry.job_id.binary)
            if attempt is None:
                unknown.append(entry.job_id)
            elif attempt.fence.attempt == entry.attempt:
                attempt.seen_at, attempt.worker, attempt.seconds = now, entry.worker, entry.seconds
        self._manager.cancel(unknown)
