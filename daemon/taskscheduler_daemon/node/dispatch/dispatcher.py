"""Dispatches claimed attempts to the worker manager, and cancels them there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.losses import ending_of_lost
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, brief
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import NO_WORKER, Begun, Kind, Report, Run
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.job_log import JobLog
from taskscheduler_daemon.node.dispatch.gathering import Gatherings, Wanted
from taskscheduler_daemon.node.dispatch.quarantine import Quarantine
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight

logger = logging.getLogger(__name__)

_REMEMBER_CANCELLED = 5.0  #: seconds; no claim takes longer to read back


class Dispatcher:
    """Dispatches, cancels and releases attempts. Safe to use from many threads."""

    def __init__(
        self,
        store: Store,
        in_flight: InFlight,
        locks: ExclusiveLocks,
        manager: ManagerProxy,
        completer: Completer,
        log: JobLog,
        clock: Clock,
    ) -> None:
        self._store = store
        self._quarantine = Quarantine(in_flight)
        self._gatherings = Gatherings()
        self._in_flight = in_flight
        self._locks = locks
        self._manager = manager
        self._completer = completer
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._forgetting = threading.Lock()  #: two threads may learn at once that an attempt was cancelled
        self._cancelled: dict[ObjectId, float] = {}  #: jobs that were lately cancelled, ours or not, and when

    def dispatch(self, attempts: list[Attempt]) -> None:
        """Sends attempts that were just claimed to the manager, except those that were cancelled meanwhile."""
        doubtful = {one.fence for one in attempts if self._was_cancelled(one.fence.job_id)} if self._cancelled else ()
        self._send([one for one in attempts if one.fence not in doubtful] if doubtful else attempts)
        if doubtful:
            self._send(self._without_cancelled([one for one in attempts if one.fence in doubtful]))

    def _send(self, attempts: list[Attempt]) -> None:
        if self._in_flight.gathered:
            attempts = self._gathered(attempts)
        with self._lock:
            sent = self._quarantine.keep(attempts)
        self._manager.dispatch(self._runs(sent))
        self._log.started(sent)  # afterwards: a job that is alone should not wait for its line
        if len(sent) < len(attempts):
            self._manager.wake()

    def _gathered(self, attempts: list[Attempt]) -> list[Attempt]:
        """Keeps those that wait for others of their class; returns the rest, and the batches that are complete."""
        with self._lock:
            full = self._gatherings.add([one for one in attempts if one.gathers], self._clock.monotonic())
        self._manager.wake()  # it sends the others when they have waited long enough
        return [one for one in attempts if not one.gathers] + full

    def _runs(self, attempts: list[Attempt]) -> list[Run]:
        """Returns the runs for these attempts, one for each batch among them."""
        if not self._in_flight.gathered:
            return [attempt.run() for attempt in attempts]
        batches = dict.fromkeys(one.batch for one in attempts if one.batch is not None)
        now = self._clock.monotonic()
        begun = [self._in_flight.begin_batch(batch, now) for batch in batches]
        return [one.run() for one in attempts if one.batch is None] + [run for run in begun if run is not None]

    def wanted(self) -> list[Wanted]:
        """Returns the jobs for which batches have room that gather."""
        with self._lock:
            return self._gatherings.wanted()

    def looked(self) -> None:
        """Sends the batches that need not wait any more, as the claimer has looked for jobs for them."""
        with self._lock:
            self._gatherings.looked()
        self.send_due(self._clock.monotonic())

    def send_due(self, now: float) -> None:
        """Sends the batches that have waited long enough."""
        with self._lock:
            due = self._gatherings.due(now)
            sent = self._quarantine.keep(due) if due else []
        if sent:
            self._manager.dispatch(self._runs(sent))
            self._log.started(sent)
        self._manager.wake()  # for what it has to send next, or keeps now

    @property
    def next_due(self) -> float:
        """When the next batch has waited long enough."""
        with self._lock:
            return self._gatherings.next_due()

    def _was_cancelled(self, job_id: ObjectId) -> bool:
        """Whether the job was lately cancelled. It may have been queued again since, and then claimed."""
        return self._clock.monotonic() - self._cancelled.get(job_id, float("-inf")) < _REMEMBER_CANCELLED

    def _without_cancelled(self, attempts: list[Attempt]) -> list[Attempt]:
        """Drops attempts that were cancelled after they were read back and before we knew them."""
        held, ours = self._held(attempts), []
        for attempt in attempts:
            if attempt.fence.job_id in held and self._in_flight.get(attempt.fence.job_id.binary) is attempt:
                ours.append(attempt)
            else:
                self._forget(attempt.fence)
                self._locks.release(attempt.fence.job_id.binary, attempt.fence.attempt)
        return ours

    def cancel(self, ids: Sequence[ObjectId]) -> None:
        """Kills those of these cancelled jobs that are in flight here and not ours any more.

        A late message may name a job that runs again: its new attempt goes on.
        """
        now = self._clock.monotonic()
        with self._lock:  # first: what is claimed from now on is looked at when it is dispatched
            self._cancelled = {key: at for key, at in self._cancelled.items() if now - at < _REMEMBER_CANCELLED}
            self._cancelled |= dict.fromkeys(ids, now)
        attempts = [one for job_id in ids if (one := self._in_flight.get(job_id.binary)) is not None]
        held = self._held(attempts)
        self.give_up([one.fence for one in attempts if one.fence.job_id not in held])
        for job_id in set(ids).difference(one.fence.job_id for one in attempts):
            self._locks.already_ended(job_id.binary)

    def _held(self, attempts: Sequence[Attempt]) -> set[ObjectId]:
        """Returns the jobs of attempts that are ours; of all if the database does not answer: they are checked soon."""
        fences = [attempt.fence for attempt in attempts]
        try:
            return self._store.leases.still_held(fences) if fences else set()
        except StoreError as error:
            logger.info("cancelled jobs not checked yet", extra={"reason": str(error)[:200]})
            return {fence.job_id for fence in fences}

    def give_up(self, fences: Sequence[Fence]) -> None:
        """Kills these attempts: they are not ours any more."""
        ours = {fence.job_id for fence in fences if self._forget(fence)}
        self._manager.cancel([*ours, *self._abandoned()])
        for fence in fences:
            if fence.job_id not in ours:
                self._locks.already_ended(fence.job_id.binary)

    def _abandoned(self) -> list[ObjectId]:
        """Returns what to kill since no job of it is ours: a batch goes on as long as one is."""
        return [batch.id for batch in self._in_flight.abandoned_batches()] if self._in_flight.batches else []

    def _forget(self, fence: Fence) -> bool:
        """Removes exactly this attempt; returns whether it was in flight."""
        with self._forgetting:  # else the second one takes it for ended, and forgets the lock that the first one keeps
            attempt = self._in_flight.get(fence.job_id.binary)
            if attempt is None or attempt.fence != fence:
                return False
            self._locks.await_exit(attempt)  # first: once it is removed, nobody else learns that its process is gone
            if self._in_flight.pop(fence.job_id.binary, fence.attempt) is None:
                self._locks.forget(attempt)
                return False
        self._locks.extend(attempt)
        self._log.cancelled(attempt)
        self._completer.cancelled(attempt)
        if attempt.kept:  # no process will be gone
            self._locks.release(fence.job_id.binary, fence.attempt)
        return True

    def missing(self, fence: Fence) -> None:
        """Hands back an attempt that the manager does not know: a message was lost, and it may have run."""
        attempt = self._in_flight.pop(fence.job_id.binary, fence.attempt)
        if attempt is None:
            return  # its end has arrived in the meantime
        self._locks.release_after_end(attempt)
        self._manager.cancel([fence.job_id, *self._abandoned()])  # a manager that only did not answer may still run it
        self._release(attempt, Ending.RETURNED, "the worker manager lost track of the job")

    def review(self, now: float) -> list[Report]:
        """Sends kept attempts whose turn it is; returns the reports of those that are handed back instead."""
        if self._quarantine.is_empty:
            return []
        with self._lock:
            before = self._quarantine.alone
            send, hand_back = self._quarantine.review(now)
            after = self._quarantine.alone
        in_company = [one for one in before if one not in after and self._in_flight.get(one.fence.job_id.binary) is one]
        self._note_alone(in_company, False)
        self._note_alone([one for one in after if one not in before], True)
        if send:
            self._manager.dispatch(self._runs(send))
        return [_report(attempt, Ending.UNSTARTED) for attempt in hand_back]

    def hand_back_kept(self) -> list[Report]:
        """Returns the reports of all attempts that the manager has not got: this node stops."""
        with self._lock:
            kept = [*self._quarantine.empty(), *self._gatherings.empty()]
        return [_report(attempt, Ending.UNSTARTED) for attempt in kept]

    def _note_alone(self, attempts: list[Attempt], alone: bool) -> None:
        """Without the note a node that dies makes suspects once more, and nothing else happens."""
        if not attempts:
            return
        try:
            self._store.leases.note_alone([attempt.fence for attempt in attempts], alone)
        except StoreError as error:
            logger.info("suspects not noted", extra={"count": len(attempts), "reason": brief(error)})

    def release_all(self, reason: str, begun: Begun = frozenset(), requested: bool = False) -> None:
        """Releases every attempt: the manager is gone, and with it all unreported results.

        `begun` are those that its workers had begun; None: any of them. `requested`: somebody had asked it to end.
        """
        self._locks.release_all()
        with self._lock:
            kept = [*self._quarantine.empty(), *self._gatherings.empty()]
        sizes = {batch.key: batch.size for batch in self._in_flight.batches.values()}
        attempts = self._in_flight.clear()
        ran = {id(one) for one in attempts if not one.kept and (begun is None or _key(one) in begun)}
        # also notifications, and what was cancelled
        together = len(ran) if begun is None else sum(sizes.get(key, 1) for key in begun)
        for attempt in attempts:
            attempt.ended_as = ending_of_lost(id(attempt) in ran, together, requested)
        guilty = {one.suspect for one in attempts if one.ended_as is Ending.LOST}
        for attempt in kept:
            attempt.ended_as, attempt.cleared = Ending.UNSTARTED, attempt.suspect in guilty
        for attempt in attempts:
            self._locks.release_after_end(attempt)
            begun_here = id(attempt) in ran
            facts = ({"signalled": True} if requested else {}) if begun_here else {"begun": False}
            self._release(attempt, attempt.ended_as or Ending.RETURNED, reason, facts)

    def _release(
        self, attempt: Attempt, ending: Ending, reason: str, facts: Mapping[str, bool] = MappingProxyType({})
    ) -> None:
        """Writes an end in place of the one that nobody can report any more."""
        self._completer.end(attempt, _report(attempt, ending, reason, facts))


def _key(attempt: Attempt) -> tuple[bytes, int]:
    if attempt.gathers and attempt.batch is not None:
        return attempt.batch.key
    return attempt.fence.job_id.binary, attempt.fence.attempt


def _report(
    attempt: Attempt, ending: Ending, reason: str = "", facts: Mapping[str, bool] = MappingProxyType({})
) -> Report:
    content: dict[str, Any] = {"reason": reason, **facts}
    if ending in (Ending.LOST, Ending.SUSPECTED):
        is_suspect = ending is Ending.SUSPECTED and "service" not in attempt.job
        more = "; it may not be the cause, so it runs alone next" if is_suspect else ""
        content = {"error": {"type": "WorkerLostError", "message": f"{reason}{more}"}}
    body = b"" if ending is Ending.UNSTARTED else messages.body(**content)
    fence = attempt.fence
    return Report(Kind.REPORT, ending, fence.job_id.binary, fence.attempt, NO_WORKER, 0.0, body)
