"""What the manager reports of attempts: that they have ended, what they say of themselves, and that it has them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.completion.completer import Completer, completion_of_report
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.failure_log import FailureLog
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.state.in_flight import Ledger

_MENTIONS_ASYNC = b"\x08async\0"  #: in a report, as BSON; its content is not decoded for nothing


class ReportHandler:
    """Keeps the ledger, has written what is to be written, and has failures told to the log."""

    def __init__(
        self,
        ledger: Ledger,
        claimer: Claimer,
        writer: Completer,
        notifications: HookCalls,
        departures: ExclusiveLocks,
        down: ManagerProxy,
        max_lost: int,
        clock: Clock,
    ) -> None:
        self.ended_as: Counter[Ending] = Counter()  #: attempts that ended here
        self._ledger = ledger
        self._claimer = claimer
        self._writer = writer
        self._notifications = notifications
        self._departures = departures
        self._down = down
        self._max_lost = max_lost
        self._clock = clock
        self._failures = FailureLog(clock)

    def ended(self, report: Report) -> None:
        """An attempt has ended, or was handed back."""
        attempt = self._ledger.take(report.job_id, report.attempt)
        if attempt is None:
            self._notifications.finished(report)  # or that of a job which was cancelled
            return
        if report.ending is Ending.UNSTARTED:
            self._claimer.refund_budget(1)
            if not attempt.is_async:
                self._ledger.stalled()
        else:
            if not attempt.is_async:
                self._ledger.learn(report.seconds)
            self.ended_as[report.ending] += 1
        self._departures.release_after_end(attempt)
        if _MENTIONS_ASYNC in report.body and report.content().get("async"):
            self._ledger.learn_async(attempt.job["class"])
        finish = completion_of_report(attempt, report, self._max_lost)
        if report.ending is not Ending.SUCCEEDED:
            self._failures.ended(attempt, report.ending, finish)
        self._writer.submit(finish)

    def progressed(self, report: Report) -> None:
        """A running job has given a sign of life."""
        content, attempt = report.content(), self._ledger.get(report.job_id)
        if attempt is None:
            return
        fence = attempt.fence
        if (content.get("id"), content.get("attempt")) != (fence.job_id, fence.attempt):
            return
        said: dict[str, Any] = {key: content[key] for key in ("progress", "message") if key in content}
        said["worker"] = report.worker.hex()
        attempt.noted = self._clock.monotonic()
        self._writer.submit((fence, said, attempt.parent))

    def held(self, entries: list[messages.Held]) -> None:
        """All that the manager has. What is not ours any more was to be killed: the message may be lost."""
        now = self._clock.monotonic()
        strange = []
        for entry in entries:
            attempt = self._ledger.get(entry.job_id.binary)
            if attempt is None:
                strange.append(entry.job_id)
            elif attempt.fence.attempt == entry.attempt:
                attempt.seen_at, attempt.worker, attempt.seconds = now, entry.worker, entry.seconds
        self._down.cancel(strange)
