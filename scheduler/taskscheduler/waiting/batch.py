"""The jobs of a batch as they complete."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from bson import ObjectId

from taskscheduler.clock import Deadline
from taskscheduler.errors import WaitTimeoutError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.process_state import ProcessState
from taskscheduler.process import Process
from taskscheduler.waiting.completion_watcher import CompletionWatcher, Subscription

P = TypeVar("P", bound=ProcessState)


class BatchProgress(Generic[P]):
    """How many jobs of a batch have ended, and whether all did well."""

    def __init__(self, processes: Iterable[P]) -> None:
        self._left = {process.id: process for process in processes}
        self.known = {job_id: process.status for job_id, process in self._left.items()}
        self.total = len(self._left)
        self.succeeded = True

    @property
    def left(self) -> int:
        return len(self._left)

    @property
    def done(self) -> int:
        return self.total - self.left

    def take(self, job_id: ObjectId, outcome: Document | Exception) -> P | None:
        """The job that has ended, brought up to date; None if that is no news. Raises what keeps it from ending."""
        if isinstance(outcome, Exception):
            raise outcome
        process = self._left.pop(job_id, None)
        if process is not None:
            process.replace(outcome)
            self.succeeded = self.succeeded and process.status is Status.DONE
        return process

    def late(self, timeout: float | None) -> WaitTimeoutError:
        return WaitTimeoutError.of(self.left, timeout)


def as_completed(
    endings: CompletionWatcher, tally: BatchProgress[Process], timeout: float | None
) -> Generator[Process, None, None]:
    """The jobs of a batch in the order in which they end. WaitTimeoutError, or what keeps one from ending."""
    told: SimpleQueue[tuple[ObjectId, Document | Exception]] = SimpleQueue()
    watch, deadline = Subscription(lambda job_id, outcome: told.put((job_id, outcome))), Deadline(timeout)
    try:
        endings.subscribe(watch, tally.known)
        while tally.left:
            try:
                news = told.get(timeout=None if timeout is None else deadline.left(timeout))
            except Empty:
                raise tally.late(timeout) from None
            process = tally.take(*news)
            if process is not None:
                yield process
    finally:
        endings.unsubscribe(watch)
