"""Completer: the thread that writes the ends of attempts in batches, and delivers what follows from them."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from taskscheduler.clock import NEVER, Clock
from taskscheduler.model.lifecycle import Ending, Transition, Verdict
from taskscheduler.model.losses import NODE, WORKER
from taskscheduler.model.readable import Fault
from taskscheduler.operations.finish import AttemptEnd, break_off_commits, completion_of
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.store import Store
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler.store.completions import Sign
from taskscheduler.store.driver_errors import StoreError, brief, is_refusal
from taskscheduler_daemon.ipc.messages import NO_WORKER, Report
from taskscheduler_daemon.node.completion.aftermath import UNSTORABLE, Aftermath
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.gathered import Entry, Gathered
from taskscheduler_daemon.node.completion.gathering_ends import kind_of, quiet_steps, steps_to_wait
from taskscheduler_daemon.node.completion.job_log import JobLog
from taskscheduler_daemon.node.completion.parted_writes import PartedWrites
from taskscheduler_daemon.node.completion.report_content import fault_of_content
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.state.in_flight import Attempt
from taskscheduler_daemon.node.state.meter import waited
from taskscheduler_daemon.system.threads import SessionThreads

logger = logging.getLogger(__name__)

_MOST_PER_WRITE = 1000

_STEP = 0.002  #: seconds for which more ends are waited for at a time

_INSTANT = 0.0005  #: seconds for which the last end is waited for that no attempt in flight stands for any more

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

_LOOK_EVERY = 0.1

_PATIENT = 3.0  #: seconds after which the log says what a node that stops is waiting for

_MENTIONS_LOGGED = b"\x08logged\0"  #: in a report, as BSON: the attempt has a log

_UNSTARTED = Ending.UNSTARTED  # for the end of each attempt: as an attribute of its class it takes as long as a call

_KILLED = (Ending.LOST, Ending.SUSPECTED, Ending.TIMED_OUT)  #: endings of attempts whose worker has not said that

Quick = tuple[Attempt, Report]  #: an attempt that has succeeded, and nothing follows


def completion_of_report(attempt: Attempt, report: Report, max_lost: int, ended: float = 0.0) -> Completion:
    """Returns what to write for the reported end of an attempt, at this unix time by the server's clock."""
    ending, content = report.ending, report.content()
    if content and (fault := fault_of_content(content)) is not None:
        ending, content = Ending.FAILED, {"error": fault.error()}
    died = NODE if report.worker == NO_WORKER else WORKER
    end = AttemptEnd(ending, content, report.worker.hex(), report.seconds, died, attempt.cleared, ended, report.cost)
    return completion_of(attempt.fence, attempt.job, end, max_lost)


class Logs(NamedTuple):
    """Where ends are logged, and what the jobs themselves have logged."""

    ends: JobLog
    of_jobs: LogBook


class Completer:
    """Queues ends of attempts and signs of life; whatever gathers during one write goes into the next."""

    def __init__(
        self,
        store: Store,
        options: NodeOptions,
        aftermath: Aftermath,
        locks: ExclusiveLocks,
        logs: Logs,
        clock: Clock,
        threads: SessionThreads,
    ) -> None:
        self._store = store
        self._logs = logs
        self._options = options
        self._aftermath = aftermath
        self._locks = locks
        self._clock = clock
        self._threads = threads
        self._queue: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        self._writes = PartedWrites(store)
        self._dropping = threading.Event()  #: try to write only once, then give up
        self._has_dropped = False
        self._thread: threading.Thread | None = None
        self.fenced = 0  #: ends that the database refused because the job was not ours any more

    def start(self) -> None:
        """Starts the thread that writes."""
        self._thread = self._threads.start("write", self._loop)

    def completion_of(self, attempt: Attempt, report: Report) -> Completion:
        """Returns what to submit for the reported end of an attempt."""
        began = ended = 0.0
        if report.began or report.seconds:  # else it has not begun, or nobody knows
            began = self._store.clock.at(report.began or self._clock.monotonic() - report.seconds)
            ended = began + report.seconds
        completion = completion_of_report(attempt, report, self._options.max_lost, ended)
        completion.began, completion.ended = began, ended
        if report.ending is not _UNSTARTED:
            completion.sample = self._aftermath.meter.sample(attempt, report, began)
            completion.batched = 0 if attempt.batch is None else attempt.batch.size
        return completion

    def end(self, attempt: Attempt, report: Report) -> None:
        """Logs the reported end of an attempt, and queues it to be written soon."""
        completion = self.completion_of(attempt, report)
        self._logs.ends.ended(attempt, report, completion)
        has_output = _MENTIONS_LOGGED in report.body
        if has_output or report.ending in _KILLED:
            self._logs.of_jobs.expect(attempt, has_output)
        self.submit(completion)

    def end_quickly(self, ended: Sequence[Quick]) -> None:
        """Logs the ends of plain attempts that have succeeded without a result, and queues them as one."""
        ahead, ends = self._store.clock.at(0.0), []
        for attempt, report in ended:
            _, _, _, _, worker, lasted, _, at, cpu, peak = report
            began = ahead + at
            wait, traits = waited(attempt, began), attempt.traits
            member = attempt.member if traits.of_flow else None
            ends.append(QuickEnd(attempt.fence, worker.hex(), began, lasted, cpu, peak, traits.series, wait, member))
        self._logs.ends.succeeded(ended)
        self._queue.put(ends)

    def cancelled(self, attempt: Attempt) -> None:
        """Counts an attempt that ends because its job was cancelled, or is not ours any more: nothing is written."""
        self._aftermath.meter.cancelled(attempt)

    def submit(self, entry: Completion | Sign) -> None:
        """Queues an end or a sign of life to be written soon."""
        self._queue.put(entry)

    def barrier(self) -> threading.Event:
        """Returns an event that is set when everything submitted before has been written."""
        barrier = threading.Event()
        self._queue.put(barrier)
        return barrier

    def stop(self, may_drop: Callable[[], bool] = lambda: False) -> bool:
        """Writes what is left, however long that takes; once `may_drop` returns True, tries only once more.

        Returns whether nothing was dropped.
        """
        self._queue.put(None)
        warn_at = self._clock.monotonic() + _PATIENT
        while self._thread is not None and self._thread.is_alive():
            if may_drop():
                self._dropping.set()
            elif self._clock.monotonic() >= warn_at:
                warn_at = NEVER
                logger.warning("waiting for the database to store how jobs ended; another signal ends the node")
            self._thread.join(_LOOK_EVERY)
        self._writes.close()
        return not self._has_dropped

    def _loop(self) -> None:
        is_last = False
        while not is_last:
            gathered = self._gather()
            is_last = gathered.is_last
            if gathered.signs:
                self._write_progress(gathered.signs)
            if gathered.has_ends:
                self._logs.of_jobs.settle()  # who waits for a job finds its log
                self._finish(gathered.ends, gathered.quick)
            for barrier in gathered.barriers:
                barrier.set()

    def _gather(self) -> Gathered:
        """Takes what is queued; under load also what arrives a moment later, since larger writes cost less per job."""
        gathered = Gathered([self._queue.get()])
        self._take_more(gathered)
        kind, quiet = kind_of(gathered.ends, gathered.quick), 0
        steps = steps_to_wait(gathered.count, self._aftermath.running, kind)
        while steps and gathered.count < _MOST_PER_WRITE and not gathered.is_last:
            known, none_runs = gathered.count, not self._aftermath.running  # before: the last one may be on its way
            self._dropping.wait(_INSTANT if none_runs else _STEP)
            self._take_more(gathered)
            quiet = 0 if gathered.count > known else quiet + 1
            is_over = none_runs or quiet >= quiet_steps(gathered.count, self._aftermath.running, kind)
            steps = 0 if is_over else steps - 1
        return gathered

    def _take_more(self, gathered: Gathered) -> None:
        while gathered.count < _MOST_PER_WRITE and not gathered.is_last:
            try:
                gathered.add(self._queue.get_nowait())
            except queue.Empty:
                return

    def _write_progress(self, signs: list[Sign]) -> None:
        newest = {sign.fence: sign for sign in signs}
        try:
            self._store.completions.progress(list(newest.values()))
        except (StoreError, *UNSTORABLE) as error:
            logger.info("progress not written", extra={"reason": str(error)[:200]})

    def _finish(self, completions: list[Completion], quick: Sequence[QuickEnd] = ()) -> None:
        """Writes until the ends are known to be written: their fences refuse a second write of the same."""
        pause = _FIRST_PAUSE
        while True:
            try:
                break_off_commits(self._store, completions)
                matched = self._writes.write(completions, self._aftermath.running, quick)
                landed = completions
                if matched < len(completions) + len(quick):
                    of_flows = any(one.member is not None for one in quick)
                    completions, quick = _with_quick(completions, quick), ()
                    if of_flows:  # one may have got more joins than a quick end can learn of
                        self._store.completions.write(completions)
                    # a node that was taken for lost ends the same attempts: all of them, as both hand them back
                    self._store.leases.absolve([one.fence for one in completions])
                    ids = self._store.completions.confirmed(completions)
                    landed = [one for one in completions if one.fence.job_id in ids]
                    self._report_fenced(completions, landed)
                self._aftermath.follow(landed, quick)
                return
            except (StoreError, *UNSTORABLE) as error:
                completions, quick = self._after_error(_with_quick(completions, quick), error), ()
                if not completions:
                    return
                self._dropping.wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)

    def _after_error(self, completions: list[Completion], error: Exception) -> list[Completion]:
        """Returns the ends to write again."""
        facts = {"count": len(completions), "reason": str(error)[:200]}
        if self._dropping.is_set():
            logger.error("ends of jobs not written", extra=facts)
            self._has_dropped = True
            return []
        if is_refusal(error):
            logger.error("ends of jobs refused", extra=facts)
            return self._isolate(completions, brief(error))
        logger.warning("ends of jobs not written yet", extra=facts)
        return completions

    def _isolate(self, completions: list[Completion], reason: str) -> list[Completion]:
        """Fails the job whose outcome MongoDB refuses, so that it does not hold up the others.

        If it refuses that, too, the fault is in the stored document.
        """
        if len(completions) > 1:
            for one in completions:
                self._finish([one])
            return []
        one = completions[0]
        if one.error is not None and one.error.get("type") == "InvalidDataError":
            fault = Fault("document", f"does not take the end of its attempt: {reason}")
            set_aside(self._store, one.fence.job_id, fault, one.fence.filter())
            return []
        one.verdict, one.result, one.progress = Verdict(Transition.FAIL), None, {}
        one.error = {"type": "InvalidDataError", "message": "MongoDB refused to store the outcome of the job"}
        one.fingerprint = None
        logger.warning("job failed: InvalidDataError: %s", reason, extra={"job": str(one.fence.job_id)})
        return [one]

    def _report_fenced(self, completions: list[Completion], landed: list[Completion]) -> None:
        known = {id(one) for one in landed}
        refused = [one.fence for one in completions if id(one) not in known]
        if refused:
            self.fenced += len(refused)
            logger.warning("fence refused ends of jobs that are not ours any more", extra={"count": len(refused)})
        for fence in refused:
            self._locks.release_unknown(fence)


def _with_quick(completions: list[Completion], quick: Sequence[QuickEnd]) -> list[Completion]:
    """Returns all ends as such that are written one by one."""
    return [*completions, *(one.completion() for one in quick)] if quick else completions
