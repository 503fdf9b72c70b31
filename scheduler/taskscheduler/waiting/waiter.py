"""Wait for some jobs in this thread: they are read before and after a stream is opened, so no change is missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import JobNotFoundError, WaitTimeoutError
from taskscheduler.events import Announcer
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.store import Store
from taskscheduler.store.change_events import ChangeEvent, changes, status_pipeline
from taskscheduler.store.change_feed import GAP, ChangeFeed
from taskscheduler.store.driver_errors import StoreError, StoreUnreachableError, is_transient

POLL = 2.0  #: seconds after which the jobs are read again although the stream is silent

AWAIT_MS = 500


class Waiter:
    """Waits until some jobs have ended. A job that ends before the first look at it is announced as well."""

    def __init__(
        self,
        store: Store,
        processes: Sequence[Process],
        announcer: Announcer,
        clock: Clock,
        throw: bool = False,
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._clock = clock
        self._throw = throw
        self._waiting: dict[ObjectId, list[Process]] = {}
        for process in processes:
            self._waiting.setdefault(process.id, []).append(process)
        self._read_at = clock.monotonic()

    def wait(self, timeout: float | None) -> None:
        """Returns when all jobs have ended; WaitTimeoutError, or JobNotFoundError if one was deleted.

        With `throw`, the first that did not end DONE raises its JobError, whatever the others do.
        """
        deadline = Deadline(timeout, self._clock)
        self._read()
        if not self._waiting:
            return
        pipeline = status_pipeline(ids=list(self._waiting), progress=self._announcer.wants_progress)
        feed = ChangeFeed(self._store.jobs.collection, pipeline, full_document="updateLookup", await_ms=AWAIT_MS)
        with feed:
            self._read()
            while self._waiting:
                if deadline.passed:
                    raise WaitTimeoutError.of(len(self._waiting), timeout)
                self._step(feed)

    def _step(self, feed: ChangeFeed) -> None:
        event = feed.next()
        if isinstance(event, dict):
            for change in changes(event):
                self._announcer.announce_change(change)
                if change.status.is_final and not change.progress and _is_current(change, event):
                    self._take(change.document)
        if event is GAP or self._clock.monotonic() - self._read_at > POLL:
            self._read_patiently()

    def _take(self, document: Mapping[str, Any]) -> None:
        if document["_id"] in self._waiting:
            stored = self._store.jobs.get(document["_id"])
            ended = self._waiting.pop(document["_id"])
            for process in ended:
                process.replace(stored or document)
            self._check(ended[0])

    def _check(self, process: Process) -> None:
        if self._throw:
            process.raise_for_status()

    def _read(self) -> None:
        self._read_at = self._clock.monotonic()
        found = {document["_id"]: document for document in self._store.jobs.find({"_id": {"$in": list(self._waiting)}})}
        for job_id, processes in list(self._waiting.items()):
            if job_id not in found:
                raise JobNotFoundError(job_id)
            known = {process.status for process in processes}
            for process in processes:
                process.replace(found[job_id])
            status = Status(found[job_id].get("status", -1))
            if status.is_final:
                del self._waiting[job_id]
                if known != {status}:
                    self._announcer.announce_change(ChangeEvent(status, found[job_id]))
                self._check(processes[0])

    def _read_patiently(self) -> None:
        try:
            self._read()
        except StoreUnreachableError:
            raise
        except StoreError as error:
            if not is_transient(error):
                raise


def _is_current(change: ChangeEvent, event: Mapping[str, Any]) -> bool:
    """Returns whether the change is the current status of the job, not the end of an attempt that is retried."""
    updated = event.get("updateDescription", {}).get("updatedFields", {})
    return "rearmed" not in updated or updated.get("status") == change.status
