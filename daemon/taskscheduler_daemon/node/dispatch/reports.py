"""ReportHandler: the ends, the progress and the inventory that the manager reports."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler.store.completions import Sign
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.completion.report_content import progress_of
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight

logger = logging.getLogger(__name__)

_MENTIONS_ASYNC = b"\x08async\0"  #: in a report, as BSON; only then its content is decoded for that

_MENTIONS_UNKNOWN = b"\x08unknown\0"


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

    def ended(self, report: Report) -> None:
        """Handles an attempt that has ended, or was handed back."""
        attempt = self._in_flight.pop(report.job_id, report.attempt)
        if attempt is None:
            self._hooks.finished(report)  # or a cancelled job has ended, which means nothing
            return
        if report.ending is Ending.FAILED and _MENTIONS_UNKNOWN in report.body:
            report = self._unknown(attempt, report)
        self._capacity.ended(attempt, report.ending, report.seconds)
        if report.ending is not Ending.UNSTARTED:
            self.ended_as[report.ending] += 1
        self._locks.release_after_end(attempt)
        if _MENTIONS_ASYNC in report.body and report.content().get("async"):
            self._capacity.learn_async(attempt.job["class"])
        if report.ending is not Ending.SUCCEEDED:
            attempt.ended_as = report.ending
        self._completer.end(attempt, report)

    def _unknown(self, attempt: Attempt, report: Report) -> Report:
        """Returns the report of an attempt at a job that workers here do not know: others may."""
        name, unknown = attempt.job["class"], self._capacity.unknown
        if not report.content().get("unknown"):
            return report
        now = self._clock.monotonic()
        is_new = name not in unknown.names(now)
        if not unknown.left_to_others(attempt.fence.job_id, name, now):
            return report
        if is_new:
            logger.warning("job not known on this node; left to others", extra={"job_name": name})
        return report._replace(ending=Ending.UNSTARTED, body=b"")

    def progressed(self, report: Report) -> None:
        """Handles a sign of life of a running job."""
        content, attempt = report.content(), self._in_flight.get(report.job_id)
        if attempt is None:
            return
        fence = attempt.fence
        if (content.get("id"), content.get("attempt")) != (fence.job_id, fence.attempt):
            return
        progress: dict[str, Any] = {**progress_of(content), "worker": report.worker.hex()}
        attempt.noted = self._clock.monotonic()
        attempt.began = report.began or attempt.began
        self._completer.submit(Sign(fence, progress, attempt.parent, attempt.began))

    def held(self, entries: list[messages.Held]) -> None:
        """Handles the inventory of the manager. Cancels what is not ours any more once again: a message may be lost."""
        now = self._clock.monotonic()
        unknown = []
        for entry in entries:
            attempt = self._in_flight.get(entry.job_id.binary)
            if attempt is None:
                unknown.append(entry.job_id)
            elif attempt.fence.attempt == entry.attempt:
                attempt.seen_at, attempt.worker = now, entry.worker
                attempt.began = attempt.began or entry.began  # what its worker said is more exact
        self._manager.cancel(unknown)
