"""A thread of the node: writes the ends of attempts in batches, and pays what ended jobs owe."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.operations.finish import AttemptEnd, completion_of, follow_up
from taskscheduler.store import Store
from taskscheduler.store.attempt_updates import Completion
from taskscheduler.store.driver_errors import StoreError, is_refusal
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.node.state.in_flight import Attempt
from taskscheduler_daemon.system.threads import Crashed, duty


def completion_of_report(attempt: Attempt, report: Report, max_lost: int) -> Completion:
    """What is to be written for the reported end of an attempt."""
    content, worker = report.content(), report.worker.hex()
    return completion_of(
        attempt.fence, attempt.job, AttemptEnd(report.ending, content, worker, report.seconds), max_lost
    )


logger = logging.getLogger(__name__)

_MOST_PER_WRITE = 1000

_BUSY, _LINGER = 64, 0.02  #: so many ends at once mean that more are to come within so many seconds

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

_LOOK_EVERY = 0.1

_PATIENT = 3.0  #: seconds after which whoever wants the node to stop is told what it waits for

Progress = tuple[Fence, dict[str, Any], ObjectId | None]

Entry = Completion | Progress | threading.Event | None


class Completer:
    """Takes ends of attempts and signs of life; what gathers while one write is under way goes into the next."""

    def __init__(
        self,
        store: Store,
        node: str,
        refused: Callable[[Fence], None],
        call_hook: Callable[[ObjectId], None],
        crashed: Crashed,
        clock: Clock,
    ) -> None:
        self._store = store
        self._node = node
        self._refused = refused
        self._call_hook = call_hook
        self._clock = clock
        self._queue: queue.SimpleQueue[Entry] = queue.SimpleQueue()
        self._given_up = threading.Event()
        self._thread = duty("write", self._loop, crashed)
        self.fenced = 0  #: ends that the database refused because the job was not ours any more

    def start(self) -> None:
        self._thread.start()

    def submit(self, entry: Completion | Progress) -> None:
        """Write this soon."""
        self._queue.put(entry)

    def barrier(self) -> threading.Event:
        """An event that is set when everything that was put before it has been written."""
        mark = threading.Event()
        self._queue.put(mark)
        return mark

    def stop(self, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Write what is left, however long that takes; once `give_up` says so, only try once, then end.

        Whether it was not given up.
        """
        self._queue.put(None)
        tell_at = self._clock.monotonic() + _PATIENT
        while self._thread.is_alive():
            if give_up():
                self._given_up.set()
            elif self._clock.monotonic() >= tell_at:
                tell_at = float("inf")
                logger.warning("waiting for the database to store how jobs ended; another signal ends the node")
            self._thread.join(_LOOK_EVERY)
        return not self._given_up.is_set()

    def _loop(self) -> None:
        ending = False
        while not ending:
            entries = self._gather()
            ending = None in entries
            finishes = [entry for entry in entries if isinstance(entry, Completion)]
            reports = [entry for entry in entries if isinstance(entry, tuple)]
            if reports:
                self._write_progress(reports)
            if finishes:
                self._finish(finishes)
            for mark in entries:
                if isinstance(mark, threading.Event):
                    mark.set()

    def _gather(self) -> list[Entry]:
        """What there is; under load also what comes a moment later, since a larger write costs less for each job."""
        entries = [self._queue.get()]
        self._take_more(entries)
        if _BUSY <= len(entries) < _MOST_PER_WRITE and entries[-1] is not None:
            self._given_up.wait(_LINGER)
            self._take_more(entries)
        return entries

    def _take_more(self, entries: list[Entry]) -> None:
        while len(entries) < _MOST_PER_WRITE and entries[-1] is not None:
            try:
                entries.append(self._queue.get_nowait())
            except queue.Empty:
                return

    def _write_progress(self, reports: list[Progress]) -> None:
        newest = {fence: (fence, said, parent) for fence, said, parent in reports}
        try:
            self._store.completions.progress(list(newest.values()))
        except StoreError as error:
            logger.info("progress not written", extra={"reason": str(error)[:200]})

    def _finish(self, finishes: list[Completion]) -> None:
        """Write until it is known to be written: a repetition is refused by the fence of what was written before."""
        pause = _FIRST_PAUSE
        while True:
            try:
                matched = self._store.completions.write(finishes)
                landed = finishes
                if matched < len(finishes):
                    ids = self._store.completions.confirmed(finishes)
                    landed = [one for one in finishes if one.fence.job_id in ids]
                    self._report_fenced(finishes, landed)
                self._follow(landed)
                return
            except StoreError as error:
                if self._given_up.is_set():
                    logger.error("ends of jobs not written", extra={"count": len(finishes), "reason": str(error)[:200]})
                    return
                if is_refusal(error):
                    logger.error("ends of jobs refused", extra={"count": len(finishes), "reason": str(error)[:200]})
                    finishes = self._isolate(finishes)
                    if not finishes:
                        return
                else:
                    logger.warning("ends of jobs not written yet", extra={"reason": str(error)[:200]})
                self._given_up.wait(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)

    def _isolate(self, finishes: list[Completion]) -> list[Completion]:
        """One document that MongoDB refuses must not hold up the others: fail that job with the reason instead."""
        if len(finishes) > 1:
            for one in finishes:
                self._finish([one])
            return []
        one = finishes[0]
        if one.error is not None and one.error.get("type") == "InvalidDataError":
            return []
        one.verdict, one.result, one.progress = Verdict(Transition.FAIL), None, {}
        one.error = {"type": "InvalidDataError", "message": "MongoDB refused to store the outcome of the job"}
        return [one]

    def _report_fenced(self, finishes: list[Completion], landed: list[Completion]) -> None:
        known = {id(one) for one in landed}
        refused = [one.fence for one in finishes if id(one) not in known]
        if refused:
            self.fenced += len(refused)
            logger.warning("fence refused ends of jobs that are not ours any more", extra={"count": len(refused)})
        for fence in refused:
            self._refused(fence)

    def _follow(self, landed: list[Completion]) -> None:
        follow_up(self._store, landed, self._node, self._call_hook)
