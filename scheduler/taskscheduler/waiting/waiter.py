"""Wait for some jobs in this thread: they are read before and after a stream is opened, so no change is missed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import JobNotFoundError, WaitTimeoutError
from taskscheduler.events import Announcer
from taskscheduler.model.document import Document
from taskscheduler.model.sound import status_of
from taskscheduler.operations.unserved import PATIENCE, reasons
from taskscheduler.process import Process
from taskscheduler.store import Store
from taskscheduler.store.change_events import ChangeEvent, changes, status_pipeline
from taskscheduler.store.change_feed import GAP, ChangeFeed
from taskscheduler.store.driver_errors import StoreError, StoreUnreachableError, brief, is_transient

logger = logging.getLogger(__name__)

POLL = 2.0  #: seconds after which the jobs are read again although the stream is silent

AWAIT_MS = 500

_NEW = timedelta(milliseconds=100)  #: age of a job that has hardly ended yet


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
        self._read_at = self._begun = clock.monotonic()
        self._has_looked = False  #: at the nodes
        self._told = announcer.wanted  #: whether there are handlers

    def wait(self, timeout: float | None) -> None:
        """Returns when all jobs have ended; WaitTimeoutError, or JobNotFoundError if one was deleted.

        With `throw`, the first that did not end DONE raises its JobError, whatever the others do.
        """
        deadline = None if timeout is None else Deadline(timeout, self._clock)
        if not self._are_new():
            self._read()
        if not self._waiting:
            return
        jobs = self._store.streams.for_few()[self._store.options.job_store]
        feed = ChangeFeed(jobs, self._pipeline(), full_document="updateLookup", await_ms=AWAIT_MS)
        feed.open()
        try:
            self._read()
            while self._waiting:
                if deadline is not None and deadline.passed:
                    raise WaitTimeoutError.of(len(self._waiting), timeout)
                self._step(feed)
        finally:
            feed.leave()

    def _are_new(self) -> bool:
        """Whether all were added just now: a look at them before the stream is opened would hardly find any ended."""
        since = self._store.clock.now() - _NEW
        waiting = [process for same in self._waiting.values() for process in same]
        return all(one.created is not None and one.created > since and not one.status.is_final for one in waiting)

    def _pipeline(self) -> list[Document]:
        """Selects what handlers are told of; without any, what ends the wait."""
        ids = list(self._waiting)
        return status_pipeline(ids=ids, progress=self._announcer.wants_progress, ends=not self._announcer.wanted)

    def _step(self, feed: ChangeFeed) -> None:
        if self._told != self._announcer.wanted:  # a handler has come, or is gone
            self._told = not self._told
            feed.select(self._pipeline())
        event = feed.next()
        if isinstance(event, dict):
            for change in changes(event):
                self._announcer.announce_change(change)
                if change.status.is_final and not change.progress and _is_current(change, event):
                    self._take(change, event)
        if not self._has_looked and self._clock.monotonic() - self._begun > PATIENCE:
            self._has_looked = True
            warn_of_unserved(self._store, self._waiting)
        if event is GAP or self._clock.monotonic() - self._read_at > POLL:
            self._read_patiently()

    def _take(self, change: ChangeEvent, event: Mapping[str, Any]) -> None:
        job_id = change.document["_id"]
        if job_id in self._waiting:
            looked_up = event.get("fullDocument") or {}
            is_same = looked_up.get("status") == change.status  # else the job has gone on, or is gone
            stored = looked_up if is_same else self._store.jobs.get(job_id)
            ended = self._waiting.pop(job_id)
            for process in ended:
                process.replace(stored or change.document)
            self._check(ended[0])

    def _check(self, process: Process) -> None:
        if self._throw:
            process.raise_for_status()

    def _read(self) -> None:
        self._read_at = self._clock.monotonic()
        found = self._store.jobs.all_of(self._waiting)
        for job_id, processes in list(self._waiting.items()):
            if job_id not in found:
                raise JobNotFoundError(job_id)
            known = set()
            for process in processes:
                known.add((process.status, process.attempt))
                process.replace(found[job_id])
            status = status_of(found[job_id])
            if known != {(status, processes[0].attempt)}:
                self._announcer.announce_change(ChangeEvent(status, found[job_id]))
            if status.is_final:
                del self._waiting[job_id]
                self._check(processes[0])

    def _read_patiently(self) -> None:
        try:
            self._read()
        except StoreUnreachableError:
            raise
        except StoreError as error:
            if not is_transient(error):
                raise


def warn_of_unserved(store: Store, job_ids: Iterable[ObjectId]) -> None:
    """Warns of jobs that no node would run: whoever waits for them might wait for ever."""
    try:
        for reason in reasons(store, job_ids):
            logger.warning("a job that is waited for does not start: %s", reason)
    except StoreError as error:
        logger.info("nodes not looked at", extra={"reason": brief(error)})


def _is_current(change: ChangeEvent, event: Mapping[str, Any]) -> bool:
    """Returns whether the change is the current status of the job, not the end of an attempt that is retried."""
    updated = event.get("updateDescription", {}).get("updatedFields", {})
    return "rearmed" not in updated or updated.get("status") == change.status
