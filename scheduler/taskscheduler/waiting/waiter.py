"""Waiting and listening: the store is read before and after a stream is opened, so no change is missed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import JobNotFoundError, WaitTimeoutError
from taskscheduler.events import PROGRESS, STATUS_EVENTS
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.store import Store
from taskscheduler.store.change_events import ChangeEvent, changes, status_pipeline
from taskscheduler.store.change_feed import GAP, ChangeFeed
from taskscheduler.store.driver_errors import StoreError, StoreUnreachableError, is_transient

POLL = 2.0  #: seconds after which the store is read again although the stream is silent

_AWAIT_MS = 500


class Waiter:
    """Waits until a number of jobs have ended. A job that was quicker than the look at it is announced as well."""

    def __init__(
        self,
        store: Store,
        processes: Sequence[Process],
        clock: Clock,
        announce: Callable[[ChangeEvent], None],
        progress: bool = False,
        throw: bool = False,
    ) -> None:
        self._store = store
        self._progress = progress
        self._throw = throw
        self._clock = clock
        self._announce = announce
        self._waiting: dict[ObjectId, list[Process]] = {}
        for process in processes:
            self._waiting.setdefault(process.id, []).append(process)
        self._read_at = clock.monotonic()

    def wait(self, timeout: float | None) -> None:
        """Return when all jobs have ended; WaitTimeoutError, or JobNotFoundError if one was deleted.

        With `throw`, the first that did not end DONE raises its JobError, whatever the others do.
        """
        deadline = Deadline(timeout, self._clock)
        self._read()
        if not self._waiting:
            return
        pipeline = status_pipeline(ids=list(self._waiting), progress=self._progress)
        feed = ChangeFeed(self._store.jobs.collection, pipeline, full_document="updateLookup", await_ms=_AWAIT_MS)
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
                self._announce(change)
                if change.status.is_final and not change.progress and event_is_last(change, event):
                    self._take(change.document)
        if event is GAP or self._clock.monotonic() - self._read_at > POLL:
            self._read_patiently()

    def _take(self, document: Mapping[str, Any]) -> None:
        if document["_id"] in self._waiting:
            stored = self._store.jobs.get(document["_id"])
            ended = self._waiting.pop(document["_id"])
            for process in ended:
                process.replace(stored or document)
            self._judge(ended[0])

    def _judge(self, process: Process) -> None:
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
            status = Status(found[job_id]["status"])
            if status.is_final:
                del self._waiting[job_id]
                if known != {status}:
                    self._announce(ChangeEvent(status, found[job_id]))
                self._judge(processes[0])

    def _read_patiently(self) -> None:
        try:
            self._read()
        except StoreUnreachableError:
            raise
        except StoreError as error:
            if not is_transient(error):
                raise


def event_is_last(change: ChangeEvent, event: Mapping[str, Any]) -> bool:
    """Whether the change is what the job is now, not how an attempt ended that is tried again."""
    updated = event.get("updateDescription", {}).get("updatedFields", {})
    return "rearmed" not in updated or updated.get("status") == change.status


def event_of(change: ChangeEvent) -> str:
    """The name of the event that a change is."""
    return PROGRESS if change.progress else STATUS_EVENTS[change.status]
