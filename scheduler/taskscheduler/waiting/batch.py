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
    """Progress of a batch: how many jobs have finished, and whether all succeeded."""

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
        """Returns the job that has ended, brought up to date; None if it has been counted already.

        Raises the error that keeps the job from ending.
        """
        if isinstance(outcome, Exception):
            raise outcome
        process = self._left.pop(job_id, None)
        if process is not None:
            process.replace(outcome)
            self.succeeded = self.succeeded and process.status is Status.DONE
        return process

    def late(self, timeout: float | None) -> WaitTimeoutError:
        """Returns the error for the jobs that have not ended in time."""
        return WaitTimeoutError.of(self.left, timeout)


class Arrivals:
    """The completions that this thread has not taken yet."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[ObjectId, Document | Exception]] = SimpleQueue()

    def completed(self, job_id: ObjectId, outcome: Document | Exception) -> None:
        self._queue.put((job_id, outcome))

    def next(self, timeout: float | None) -> tuple[ObjectId, Document | Exception]:
        return self._queue.get(timeout=timeout)


def as_completed(
    watcher: CompletionWatcher, progress: BatchProgress[Process], timeout: float | None
) -> Generator[Process, None, None]:
    """Yields the jobs of a batch in the order in which they end. WaitTimeoutError, or what keeps one from ending."""
    arrivals = Arrivals()
    subscription, deadline = Subscription(arrivals), Deadline(timeout)
    try:
        watcher.subscribe(subscription, progress.known)
        while progress.left:
            try:
                arrival = arrivals.next(None if timeout is None else deadline.left(timeout))
            except Empty:
                raise progress.late(timeout) from None
            process = progress.take(*arrival)
            if process is not None:
                yield process
    finally:
        watcher.unsubscribe(subscription)
