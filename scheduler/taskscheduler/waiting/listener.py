"""Follow all changes that match a query; in the foreground or in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from datetime import timedelta
from itertools import chain
from types import TracebackType
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import SchedulerError
from taskscheduler.event_names import GAP as GAP_EVENT
from taskscheduler.event_names import PROGRESS, STATUS_EVENTS
from taskscheduler.events import Announcer, event_of
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import status_of
from taskscheduler.process import Process, Processes
from taskscheduler.store import Store
from taskscheduler.store.change_events import changes, is_unstarted
from taskscheduler.store.change_feed import GAP, Token, token_time
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.waiting.flow_follower import FlowFollower
from taskscheduler.waiting.listener_feed import ListenerFeed
from taskscheduler.waiting.shared_stream import SharedStream

NOTICES = (GAP_EVENT, PROGRESS)  #: events that do not change a status

_MOST_HANDED_BACK = 10_000

_LONGEST_LOOK = 10.0  #: seconds; hundreds of listeners that look around more often would keep others from their work

_OVERLAP = timedelta(seconds=10)  #: how far before a gap the re-read begins


class JobEvent(NamedTuple):
    """One event of a job, as listeners get it."""

    name: str
    process: Process
    requeued: bool = False  #: the job had ended, and was put back into the queue


Announce = Callable[[str, Process, bool], None]  #: called with the parts of a JobEvent


class SharedStreams(NamedTuple):
    """What the listeners of a scheduler share."""

    jobs: SharedStream
    flows: FlowFollower


class Listener:
    """Follows all changes of status that match a query, in order."""

    def __init__(
        self,
        processes: Processes,
        store: Store,
        query: Mapping[str, Any] | None,
        after: Token | None,
        progress: bool = False,
        shared: SharedStreams | None = None,
    ) -> None:
        self._processes = processes
        self._store = store
        self._query = dict(query or {})
        self._progress = progress
        self._handed_back: dict[Any, None] = {}  #: jobs that were announced as processing and have not begun
        self._feed = ListenerFeed(store, self._query, after, progress, None if shared is None else shared.jobs)
        self._flows = None if shared is None else shared.flows
        self._follows_flows = False
        self.told: Token | None = after  #: the place up to which all handlers have been called
        self._seen_until = token_time(after) or store.clock.now()

    def open(self) -> None:
        """Opens the stream now: everything from here on is delivered."""
        self._feed.open()
        try:
            if self._flows is not None and not self._follows_flows:
                self._follows_flows = self._flows.join(self)
        except BaseException:
            self._feed.close()
            raise

    def run(
        self,
        callback: Callable[[Process], Any] | None,
        announce: Announce,
        deadline: Deadline,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Calls back for every change until that returns True, `deadline` passes or `stopped` returns True."""
        with closing(self.batches(deadline, stopped)) as batches:
            for name, process, requeued in chain.from_iterable(batches):
                announce(name, process, requeued)
                if name not in NOTICES and callback is not None and callback(process) is True:
                    return

    def batches(self, deadline: Deadline, stopped: Callable[[], bool]) -> Generator[Iterable[JobEvent], None, None]:
        """Yields the events and jobs of each look at the stream; `token` is the place behind it.

        There is at least one look, so that a caller without time left when the stream is open can go on from there.
        """
        self.open()
        with closing(self._feed), closing(self):
            while not stopped():
                self.told = self._feed.token  # the caller has dealt with all before
                yield self._events_of(self._feed.next(deadline.left(_LONGEST_LOOK)))
                if deadline.passed:
                    return

    def close(self) -> None:
        """Ends what it follows beside its own stream."""
        if self._follows_flows and self._flows is not None:
            self._follows_flows = False
            self._flows.leave(self)

    @property
    def token(self) -> Token | None:
        return self._feed.token

    def wake(self) -> None:
        """Has a look at the stream end soon, for one who has just been told to stop."""
        self._feed.wake()

    def _events_of(self, event: Any) -> Iterable[JobEvent]:
        if event is GAP:
            yield from self._reread()
            return
        self._seen_until = self._store.clock.now()
        if event is not None and self._goes_on(event):
            return
        for change in changes(event) if event is not None else ():
            if change.progress and not self._progress:
                continue  # another listener of the same stream asked for it
            yield JobEvent(event_of(change), self._processes.process(change.document), change.requeued)

    def _goes_on(self, event: Any) -> bool:
        """Returns whether an attempt only starts anew that was handed back unstarted, which listeners need not hear."""
        job_id = event.get("documentKey", {}).get("_id")
        if not isinstance(job_id, ObjectId):
            return False
        if is_unstarted(event):
            self._handed_back[job_id] = None
            if len(self._handed_back) > _MOST_HANDED_BACK:
                del self._handed_back[next(iter(self._handed_back))]
            return True
        if job_id not in self._handed_back:
            return False
        del self._handed_back[job_id]
        updated = event.get("updateDescription", {}).get("updatedFields", {})
        return bool(updated.get("status") == Status.PROCESSING)

    def _reread(self) -> Iterable[JobEvent]:
        """Yields, after lost history, a notice, then every matching job that may have changed since the last event."""
        since = self._seen_until - _OVERLAP
        documents = list(self._store.jobs.find_changed(self._query, since))
        notice = {"_id": None, "status": int(Status.WAITING), "message": f"events since {since:%H:%M:%S} were lost"}
        yield JobEvent(GAP_EVENT, self._processes.process(notice))
        for document in documents:
            yield JobEvent(STATUS_EVENTS[status_of(document)], self._processes.process(document))


class BackgroundListener:
    """Delivers events to the handlers of a scheduler from a thread of its own, until stopped."""

    def __init__(self, listener: Listener, announcer: Announcer, clock: Clock) -> None:
        self._listener = listener
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(announcer, clock), name="taskscheduler-listen")
        self._thread.daemon = True
        self._thread.start()

    def _run(self, announcer: Announcer, clock: Clock) -> None:
        try:
            self._listener.run(None, announcer.deliver, Deadline(None, clock), self._stop.is_set)
        except (StoreError, SchedulerError) as error:
            self._error = error

    @property
    def token(self) -> Token | None:
        """The place where a later listener can go on: pass it to `listen(after=...)`."""
        return self._listener.token

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ends the thread; raises the error that ended it early, if any. A handler may call it, too."""
        self._stop.set()
        self._listener.wake()
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
