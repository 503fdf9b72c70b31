"""A job as a concurrent.futures.Future."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.job_errors import error_for_status
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.waiting.completion_watcher import CompletionWatcher, Subscription


class JobFuture(Future[Any]):
    """Resolves when its job has ended: `result()` is what the job returned, or raises its JobError.

    A cancelled job makes it `cancelled()`, no matter who cancelled the job. If the job is deleted, the scheduler
    closed or the database lost, `exception()` says so. Callbacks are called in the thread that serves all futures of
    the scheduler: do not wait for another job in there.
    """

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process  #: refreshed when the job has ended
        self._guard = threading.Lock()
        self._settled = False

    def cancel(self) -> bool:
        """Cancels the job if it has not started: True, it never will; False, it runs or has ended and is left alone.

        To kill a job that runs, use `process.cancel()`.
        """
        if self.done():
            return self.cancelled()
        won = self.process.cancel(only_queued=True)
        if not won and (self.process.status is not Status.CANCELED or self.process.attempt > 0):
            return False
        self._settle(self.process.to_dict())
        return True

    def running(self) -> bool:
        """Returns whether a node has claimed the job; reads it from the database."""
        return not self.done() and self.process.refresh().status is Status.PROCESSING

    def completed(self, _job_id: ObjectId, outcome: Document | Exception) -> None:
        """Takes over how the job ended, or why that cannot be known; only the first call counts."""
        self._settle(outcome)

    def _settle(self, outcome: Document | Exception) -> None:
        with self._guard:
            if self._settled:
                return
            self._settled = True
        failure = outcome if isinstance(outcome, Exception) else self._failure_of(outcome)
        if self.process.status is Status.CANCELED and not isinstance(outcome, Exception):
            super().cancel()
            self.set_running_or_notify_cancel()
        elif failure is not None:
            self.set_exception(failure)
        else:
            self.set_result(self.process.result_value)

    def _failure_of(self, document: Document) -> Exception | None:
        self.process.replace(document)
        return error_for_status(self.process)


def job_future(process: Process, watcher: CompletionWatcher) -> JobFuture:
    """Returns a future that resolves when this job ends.

    Raises database errors; a deleted job becomes the exception of the future.
    """
    future = JobFuture(process)
    watcher.subscribe(Subscription(future), {process.id: process.status})
    return future
