"""CompletionWatcher: one thread and one change stream for everybody who waits, however many jobs there are."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.connection import Connection
from taskscheduler.errors import JobNotFoundError, SchedulerError
from taskscheduler.events import Announcer
from taskscheduler.model.document import Document
from taskscheduler.model.exception_texts import loggable
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import status_of
from taskscheduler.operations.unserved import PATIENCE
from taskscheduler.store import Store
from taskscheduler.store.change_events import ChangeEvent, changes, status_pipeline
from taskscheduler.store.change_feed import GAP, ChangeFeed
from taskscheduler.store.driver_errors import StoreError, StoreUnreachableError, is_transient, translated
from taskscheduler.waiting.waiter import POLL, warn_of_unserved
from taskscheduler.waiting.watch_scope import Shown, WatchScope

logger = logging.getLogger(__name__)

_AWAIT_MS = 200  #: how long `stop` may take

_IDLE = 5.0  #: seconds after which a stream that nobody needs is closed

_BATCH = 1000


class Subscriber(Protocol):
    """Waits for the completion of jobs."""

    def completed(self, job_id: ObjectId, outcome: Document | Exception) -> None:
        """Called once for each job: with its document, or with the error that keeps it from ending."""
        ...


class Subscription:
    """Subscription to the completion of some jobs: `subscriber.completed` is called once for each."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.job_ids: list[ObjectId] = []
        self.canceled = False


@dataclass(slots=True)
class _Watched:
    status: Status  #: the last one that is known
    since: float  #: when somebody began to wait for it
    has_looked: bool = False  #: at the nodes, since it does not start
    subscriptions: list[Subscription] = field(default_factory=list)


class CompletionWatcher:
    """Calls subscribers when their jobs have ended. The thread starts with the first subscription."""

    def __init__(self, connection: Connection, announcer: Announcer, clock: Clock) -> None:
        self._connection = connection
        self._announcer = announcer
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._watched: dict[ObjectId, _Watched] = {}
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._feed: ChangeFeed | None = None
        self._scope = WatchScope((), 0.0)

    def subscribe(self, subscription: Subscription, known: Mapping[ObjectId, Status]) -> None:
        """Watches these jobs, whose status was so when last seen.

        The subscriber is called here and now for a job that has ended already, else by the thread. Raises database
        errors.
        """
        if self._pid != os.getpid():
            self._reset()  # threads do not survive a fork, and their lock may seem to be held for ever
        with self._changed:
            if subscription.canceled:
                return
            subscription.job_ids, now = list(known), self._clock.monotonic()
            for job_id, status in known.items():
                self._watched.setdefault(job_id, _Watched(status, now)).subscriptions.append(subscription)
            self._start()
            self._changed.notify_all()
            feed = self._feed
            is_hidden = feed is not None and self._scope.add(known, feed.token, now)
        try:
            with translated():
                if feed is not None and is_hidden:
                    feed.wake()
                self._read(self._connection.store, list(known))
        except BaseException:
            self.unsubscribe(subscription)
            raise

    def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a subscription; does not block."""
        with self._changed:
            subscription.canceled = True
            for job_id in subscription.job_ids:
                entry = self._watched.get(job_id)
                if entry is not None and subscription in entry.subscriptions:
                    entry.subscriptions.remove(subscription)
                    if not entry.subscriptions:
                        del self._watched[job_id]

    def stop(self) -> None:
        """Ends the thread; all who still wait get the error that the scheduler was closed."""
        if self._pid != os.getpid():
            return
        with self._changed:
            thread, self._thread = self._thread, None
            self._stop.set()
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._give_up(SchedulerError("the scheduler was closed before the job ended"))

    # -- the thread -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stop,), name="taskscheduler-completions", daemon=True
            )
            self._thread.start()

    def _run(self, stop: threading.Event) -> None:
        try:
            with translated():
                self._follow(self._connection.store, stop)
        except Exception as error:  # of any kind: nobody may wait for ever
            with self._changed:
                if self._stop is stop:
                    self._thread = None
            self._give_up(error)

    def _follow(self, store: Store, stop: threading.Event) -> None:
        progress = self._announcer.wants_progress
        with self._opened(store, progress) as feed:
            self._read(store, self._ids())
            read_at = self._clock.monotonic()
            while self._is_needed(feed, stop):
                if progress != self._announcer.wants_progress:
                    progress = not progress
                    feed.select(status_pipeline(ids=self._scope.ids, progress=progress))
                if (selection := self._shown(feed)) is not None:
                    feed.select(status_pipeline(ids=selection.ids, progress=progress), selection.after)
                event = feed.next()
                due = event is GAP or self._clock.monotonic() - read_at > POLL
                with _ignoring_transient():
                    if isinstance(event, dict):
                        self._take(store, event)
                    if due:
                        read_at = self._clock.monotonic()
                        self._read(store, self._ids())
                        self._look_at_nodes(store, read_at)

    @contextmanager
    def _opened(self, store: Store, progress: bool) -> Iterator[ChangeFeed]:
        jobs = store.streams.for_few()[store.options.job_store]
        with self._changed:
            self._scope = WatchScope(self._watched, self._clock.monotonic())
            self._feed = ChangeFeed(jobs, status_pipeline(ids=self._scope.ids, progress=progress), await_ms=_AWAIT_MS)
        with self._feed as feed:
            yield feed

    def _shown(self, feed: ChangeFeed) -> Shown | None:
        with self._changed:
            return self._scope.next(self._watched, feed.token, self._clock.monotonic())

    def _is_needed(self, feed: ChangeFeed, stop: threading.Event) -> bool:
        """Blocks as long as nobody waits for a job, after a while without a stream; False when the thread must end."""
        with self._changed:
            for timeout in (_IDLE, None):
                self._changed.wait_for(lambda: self._watched or stop.is_set(), timeout)
                if self._watched or stop.is_set():
                    break
                feed.rest()  # the next event is a gap, after which all is read
        return not stop.is_set()

    def _ids(self) -> list[ObjectId]:
        with self._changed:
            return list(self._watched)

    def _take(self, store: Store, event: Document) -> None:
        job_id = event.get("documentKey", {}).get("_id")
        if not isinstance(job_id, ObjectId):
            return
        with self._changed:
            entry = None if self._scope.is_repeated(job_id, event["_id"]) else self._watched.get(job_id)
        if entry is None or self._is_passed_over(entry, event):
            return
        stored = store.jobs.get(job_id)
        if stored is None:
            return
        for change in changes({**event, "fullDocument": stored}):
            if change.progress or change.status != entry.status:
                entry.status = change.status
                with _harmless(job_id):
                    self._announcer.announce_change(change)
        if status_of(stored).is_final:
            self._complete(job_id, stored)

    def _is_passed_over(self, entry: _Watched, event: Document) -> bool:
        """Notes that a job has begun or waits again, unless somebody is told of that, who needs the job."""
        changed = event.get("updateDescription", {}).get("updatedFields", {})
        if self._announcer.wanted or "status" not in changed or (status := status_of(changed)).is_final:
            return False
        entry.status = status
        return True

    def _read(self, store: Store, job_ids: Iterable[ObjectId]) -> None:
        """Completes the jobs that have ended or are gone; of the others only the status is read."""
        left = iter(job_ids)
        while batch := list(islice(left, _BATCH)):
            found = store.jobs.statuses(batch)
            for job_id in batch:
                if job_id not in found:
                    self._complete(job_id, JobNotFoundError(job_id))
            ended = [job_id for job_id, status in found.items() if status.is_final]
            for job_id, document in store.jobs.all_of(ended).items() if ended else ():
                self._complete(job_id, document)

    def _look_at_nodes(self, store: Store, now: float) -> None:
        """Warns, once for each job, of jobs that have not started for some time and that no node would run."""
        with self._changed:
            waiting = [
                job_id
                for job_id, entry in self._watched.items()
                if entry.status is Status.WAITING and not entry.has_looked and now - entry.since > PATIENCE
            ]
            for job_id in waiting:
                self._watched[job_id].has_looked = True
        if waiting:
            warn_of_unserved(store, waiting)

    def _complete(self, job_id: ObjectId, outcome: Any) -> None:
        with self._changed:
            entry = self._watched.pop(job_id, None)
        if entry is None:
            return
        if isinstance(outcome, Mapping) and entry.status != status_of(outcome):
            with _harmless(job_id):
                self._announcer.announce_change(ChangeEvent(status_of(outcome), dict(outcome)))
        _call_all(entry.subscriptions, job_id, outcome)

    def _give_up(self, error: Exception) -> None:
        with self._changed:
            watched, self._watched = self._watched, {}
        for job_id, entry in watched.items():
            _call_all(entry.subscriptions, job_id, error)


def _call_all(subscriptions: Iterable[Subscription], job_id: ObjectId, outcome: Any) -> None:
    for subscription in subscriptions:
        with _harmless(job_id):
            subscription.subscriber.completed(job_id, outcome)


@contextmanager
def _harmless(job_id: ObjectId) -> Iterator[None]:
    """Logs what a callback raises, even SystemExit: it must not end the thread that all others wait for."""
    try:
        yield
    except BaseException as error:
        if threading.current_thread() is threading.main_thread():
            raise  # here a program may end, and Ctrl-C arrives
        logger.error("callback failed", exc_info=loggable(error), extra={"job": str(job_id)})


@contextmanager
def _ignoring_transient() -> Iterator[None]:
    """Passes over an error that will go away: the jobs are read again before long."""
    try:
        yield
    except StoreUnreachableError:
        raise
    except StoreError as error:
        if not is_transient(error):
            raise
