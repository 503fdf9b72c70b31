"""ReportHandler: the ends, the progress and the inventory that the manager reports."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler.store.completions import Sign
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import BATCH_RUN, Report
from taskscheduler_daemon.node.completion.completer import Completer, Quick
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.completion.report_content import progress_of
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.in_flight import Attempt, Batch, InFlight

logger = logging.getLogger(__name__)

# by a name of their own: as attributes of their class each takes a tenth of a microsecond, as much as a call
_SUCCEEDED, _FAILED, _UNSTARTED = Ending.SUCCEEDED, Ending.FAILED, Ending.UNSTARTED

_MENTIONS_ASYNC = b"\x08async\0"  #: in a report, as BSON; only then its content is decoded for that

_MENTIONS_UNKNOWN = b"\x08unknown\0"

_LOST_AFTER = 5.0  #: seconds after which the end of a batch counts as lost that the manager does not mention


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

    def all_ended(self, reports: Sequence[Report]) -> None:
        """Handles attempts that have ended, in the order of their reports; those that have just succeeded as one."""
        attempts = self._in_flight.pop_all((report.job_id, report.attempt) for report in reports)
        quick: list[Quick] = []
        for attempt, report in zip(attempts, reports, strict=True):
            if (
                attempt is not None
                and report.ending is _SUCCEEDED
                and not report.body
                and report.began
                and attempt.is_plain
            ):
                quick.append((attempt, report))
            else:
                self._ended(attempt, report)
        if quick:
            self.ended_as[_SUCCEEDED] += len(quick)
            learn = self._capacity.speed.learn
            for _, report in quick:
                learn(report.seconds)
            self._completer.end_quickly(quick)

    def ended(self, report: Report) -> None:
        """Handles an attempt that has ended, or was handed back."""
        self._ended(self._in_flight.pop(report.job_id, report.attempt), report)

    def _ended(self, attempt: Attempt | None, report: Report) -> None:
        if attempt is None and (batch := self._in_flight.batches.get(report.job_id)) is not None:
            self._batch_ended(batch, report)
            return
        if attempt is None:
            self._hooks.finished(report)  # or a cancelled job has ended, which means nothing
            return
        if report.ending is _FAILED and _MENTIONS_UNKNOWN in report.body:
            report = self._unknown(attempt, report)
        self._capacity.ended(attempt, report.ending, report.seconds)
        self._end(attempt, report)

    def _batch_ended(self, batch: Batch, report: Report) -> None:
        """Handles the end of a batch: it is that of all its jobs that have not ended otherwise."""
        if report.attempt != BATCH_RUN:
            return
        members = self._in_flight.members(batch)
        unstarted = 0
        for attempt in members:
            fence = attempt.fence
            if self._in_flight.pop(fence.job_id.binary, fence.attempt) is None:
                continue  # cancelled in this moment
            own = report._replace(job_id=fence.job_id.binary, attempt=fence.attempt)
            if report.ending is Ending.FAILED and _MENTIONS_UNKNOWN in report.body:
                own = self._unknown(attempt, own)
            unstarted += own.ending is Ending.UNSTARTED
            self._end(attempt, own)
        if report.ending is Ending.UNSTARTED and report.body and report.content().get("alone"):
            self._capacity.batches.learn_alone(batch.attempts[0].job["class"])
        self._capacity.batches.ended(batch.is_async, report.ending, report.seconds, unstarted)
        if unstarted and not batch.is_async:
            self._capacity.speed.stalled(self._capacity.slots)
        self._release_batch(batch)

    def item_ended(self, message: bytes) -> None:
        """Handles the end of one job of a batch, whose others are still to be reported."""
        batch_id, encoded = messages.item_of(message)
        batch, report = self._in_flight.batches.get(batch_id), Report.decode(encoded)
        attempt = self._in_flight.get(report.job_id)
        if batch is None or attempt is None or attempt.batch is not batch or attempt.fence.attempt != report.attempt:
            return  # it was cancelled; or a job has written that, which is none of its batch
        if self._in_flight.pop(report.job_id, report.attempt) is not None:
            self._end(attempt, report)

    def gone(self, job_id: bytes, attempt: int) -> None:
        """Handles that nothing is left of an exclusive attempt, or of a batch."""
        batch = self._in_flight.batches.get(job_id)
        if batch is None:
            self._locks.release(job_id, attempt)
        else:
            self._release_batch(batch)

    def _release_batch(self, batch: Batch) -> None:
        """Frees the slot of a batch, and what its cancelled jobs have kept."""
        self._in_flight.end_batch(batch)
        for attempt in batch.attempts:
            self._locks.release(attempt.fence.job_id.binary, attempt.fence.attempt)

    def _end(self, attempt: Attempt, report: Report) -> None:
        """Submits how an attempt has ended that is not in flight any more."""
        ending = report.ending
        if ending is not _UNSTARTED:
            self.ended_as[ending] += 1
        self._locks.release_after_end(attempt)
        if _MENTIONS_ASYNC in report.body and report.content().get("async"):
            self._capacity.learn_async(attempt.job["class"])
        if ending is not _SUCCEEDED:
            attempt.ended_as = ending
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
            self._batch_progressed(content, report)
            return
        fence = attempt.fence
        if (content.get("id"), content.get("attempt")) != (fence.job_id, fence.attempt):
            return
        self._note_progress(attempt, content, report)

    def _batch_progressed(self, content: Mapping[str, Any], report: Report) -> None:
        """Takes the progress of a batch for that of each of its jobs."""
        batch = self._in_flight.batches.get(report.job_id)
        if batch is not None and (content.get("id"), content.get("attempt")) == (batch.id, BATCH_RUN):
            for attempt in self._in_flight.members(batch):
                self._note_progress(attempt, content, report)

    def _note_progress(self, attempt: Attempt, content: Mapping[str, Any], report: Report) -> None:
        progress: dict[str, Any] = {**progress_of(content), "worker": report.worker.hex()}
        attempt.noted = self._clock.monotonic()
        attempt.began = report.began or attempt.began
        self._completer.submit(Sign(attempt.fence, progress, attempt.parent, attempt.began))

    def held(self, entries: list[messages.Held]) -> None:
        """Handles the inventory of the manager. Cancels what is not ours any more once again: a message may be lost."""
        now = self._clock.monotonic()
        unknown = []
        for entry in entries:
            attempt = self._in_flight.get(entry.job_id.binary)
            if attempt is not None and attempt.fence.attempt == entry.attempt:
                _note_seen(attempt, entry, now)
            elif attempt is None and (batch := self._in_flight.batches.get(entry.job_id.binary)) is not None:
                batch.sent_at = now
                for member in self._in_flight.members(batch):
                    _note_seen(member, entry, now)
            elif attempt is None:
                unknown.append(entry.job_id)
        abandoned = self._in_flight.abandoned_batches() if self._in_flight.batches else []
        for batch in abandoned:
            if now - batch.sent_at > _LOST_AFTER:
                self._release_batch(batch)
        self._manager.cancel([*unknown, *(batch.id for batch in abandoned)])


def _note_seen(attempt: Attempt, entry: messages.Held, now: float) -> None:
    attempt.seen_at, attempt.worker = now, entry.worker
    attempt.began = attempt.began or entry.began  # what its worker said is more exact
