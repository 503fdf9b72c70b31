"""`JobFuture`: the result of a job for everything that understands `concurrent.futures`."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.job_errors import error_for_status
from taskscheduler.model.lifecycle import Status
from taskscheduler.waiting.completion_watcher import CompletionWatcher, Subscription

if TYPE_CHECKING:
    from taskscheduler.process import Process


class JobFuture(Future[Any]):
    """Resolves when its job has ended: `result()` is what the job returned, or raises its JobError.

    A job that was cancelled, by whomever, makes it `cancelled()`. If the job is deleted, the scheduler closed or the
    database lost, `exception()` says so. Callbacks are called in the thread that serves all futures of the scheduler:
    do not wait for another job in there.
    """

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process  #: refreshed when the job has ended
        self._guard = threading.Lock()
        self._settled = False

    def cancel(self) -> bool:
        """Cancel the job if it has not started: True, it never will; False, it runs or has ended and is left alone.

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
        """Whether a node has claimed the job; reads it from the database."""
        return not self.done() and self.process.refresh().status is Status.PROCESSING

    def told(self, _job_id: ObjectId, outcome: Document | Exception) -> None:
        """Take over how the job ended, or why that cannot be known; only the first time counts."""
        self._settle(outcome)

    def _settle(self, outcome: Document | Exception) -> None:
        with self._guard:
            if self._settled:
                return
            self._settled = True
        failure = outcome if isinstance(outcome, Exception) else self._ended(outcome)
        if self.process.status is Status.CANCELED and not isinstance(outcome, Exception):
            super().cancel()
            self.set_running_or_notify_cancel()
        elif failure is not None:
            self.set_exception(failure)
        else:
            self.set_result(self.process.result_value)

    def _ended(self, document: Document) -> Exception | None:
        self.process.replace(document)
        return error_for_status(self.process)


def job_future(process: Process, endings: CompletionWatcher) -> JobFuture:
    """A future that is told of the end of this job. Raises database errors; a deleted job is the future's exception."""
    future = JobFuture(process)
    endings.subscribe(Subscription(future.told), {process.id: process.status})
    return future
