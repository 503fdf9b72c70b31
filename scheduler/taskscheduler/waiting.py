"""Waiting and listening: the store is read before and after a stream is opened, so no change is missed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import JobNotFoundError, SchedulerError, WaitTimeoutError
from taskscheduler.events import GAP as GAP_EVENT
from taskscheduler.events import PROGRESS, STATUS_EVENTS
from taskscheduler.handle import Process
from taskscheduler.lifecycle import Status
from taskscheduler.store import Store
from taskscheduler.store.client import is_transient
from taskscheduler.store.feed import GAP, Change, Feed, Token, changes, status_pipeline, token_time

if TYPE_CHECKING:
    from taskscheduler.scheduler import Scheduler

NOTICES = (GAP_EVENT, PROGRESS)  #: events that are no change of a status
POLL = 2.0  #: seconds after which the store is read again although the stream is silent
_AWAIT_MS = 500
_OVERLAP = timedelta(seconds=10)  #: how far before a gap the re-read begins


class Waiter:
    """Waits until a number of jobs have ended. A job that was quicker than the look at it is announced as well."""

    def __init__(
        self,
        store: Store,
        processes: Sequence[Process],
        clock: Clock,
        announce: Callable[[Change], None],
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
        feed = Feed(self._store.jobs.collection, pipeline, full_document="updateLookup", await_ms=_AWAIT_MS)
        with feed:
            self._read()
            while self._waiting:
                if deadline.passed:
                    raise WaitTimeoutError.of(len(self._waiting), timeout)
                self._step(feed)

    def _step(self, feed: Feed) -> None:
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
                    self._announce(Change(status, found[job_id]))
                self._judge(processes[0])

    def _read_patiently(self) -> None:
        try:
            self._read()
        except ServerSelectionTimeoutError:
            raise
        except PyMongoError as error:
            if not is_transient(error):
                raise


def event_is_last(change: Change, event: Mapping[str, Any]) -> bool:
    """Whether the change is what the job is now, not how an attempt ended that is tried again."""
    updated = event.get("updateDescription", {}).get("updatedFields", {})
    return "rearmed" not in updated or updated.get("status") == change.status


def event_of(change: Change) -> str:
    """The name of the event that a change is."""
    return PROGRESS if change.progress else STATUS_EVENTS[change.status]


class Listener:
    """Follows all changes of status that match a query and hands them on in order."""

    def __init__(
        self,
        scheduler: Scheduler,
        store: Store,
        query: Mapping[str, Any] | None,
        after: Token | None,
        progress: bool = False,
    ) -> None:
        self._scheduler = scheduler
        self._store = store
        self._query = dict(query or {})
        pipeline = status_pipeline(self._query, progress=progress)
        collection = store.jobs.collection
        self._feed = Feed(collection, pipeline, full_document="updateLookup", await_ms=_AWAIT_MS, after=after)
        self._seen_until = token_time(after) or store.clock.now()

    def open(self) -> None:
        """Open the stream now: everything from here on is delivered."""
        self._feed.open()

    def run(
        self,
        callback: Callable[[Process], Any] | None,
        announce: Callable[[str, Process], None],
        deadline: Deadline,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Call back for every change until it returns True, `deadline` passes or `stopped` says so."""
        with closing(self.batches(deadline, stopped)) as batches:
            for name, process in chain.from_iterable(batches):
                announce(name, process)
                if name not in NOTICES and callback is not None and callback(process) is True:
                    return

    def batches(
        self, deadline: Deadline, stopped: Callable[[], bool]
    ) -> Generator[Iterable[tuple[str, Process]], None, None]:
        """What each look at the stream brought, event and job; `token` is the place behind it.

        There is at least one look: also whoever had no time left when the stream was open can go on from there.
        """
        with self._feed:
            while not stopped():
                yield self._news(self._feed.next())
                if deadline.passed:
                    return

    @property
    def token(self) -> Token | None:
        return self._feed.token

    def _news(self, event: Any) -> Iterable[tuple[str, Process]]:
        if event is GAP:
            yield from self._reread()
            return
        self._seen_until = self._store.clock.now()
        for change in changes(event) if event is not None else ():
            yield event_of(change), Process(self._scheduler, change.document)

    def _reread(self) -> Iterable[tuple[str, Process]]:
        """After lost history: a notice, then every matching job that may have changed since the last event."""
        since = self._seen_until - _OVERLAP
        documents = list(self._store.jobs.find_changed(self._query, since))
        notice = {"_id": None, "status": int(Status.WAITING), "message": f"events since {since:%H:%M:%S} were lost"}
        yield GAP_EVENT, Process(self._scheduler, notice)
        for document in documents:
            yield STATUS_EVENTS[Status(document["status"])], Process(self._scheduler, document)


class BackgroundListener:
    """Delivers events to the handlers of a scheduler from a thread of its own, until stopped."""

    def __init__(self, listener: Listener, announce: Callable[[str, Process], None], clock: Clock) -> None:
        self._listener = listener
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(announce, clock), name="taskscheduler-listen")
        self._thread.daemon = True
        self._thread.start()

    def _run(self, announce: Callable[[str, Process], None], clock: Clock) -> None:
        try:
            self._listener.run(None, announce, Deadline(None, clock), self._stop.is_set)
        except (PyMongoError, SchedulerError) as error:
            self._error = error

    @property
    def token(self) -> Token | None:
        """Where a later listener can go on: pass it to `listen(after=...)`."""
        return self._listener.token

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread; raises what ended it early, if something did. A handler may call it, too."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> BackgroundListener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
