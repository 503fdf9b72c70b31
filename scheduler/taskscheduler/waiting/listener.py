"""Follow all changes that match a query; in the foreground or in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from datetime import timedelta
from itertools import chain
from types import TracebackType
from typing import Any

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import SchedulerError
from taskscheduler.events import GAP as GAP_EVENT
from taskscheduler.events import PROGRESS, STATUS_EVENTS, event_of
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process, Processes
from taskscheduler.store import Store
from taskscheduler.store.change_events import changes, status_pipeline
from taskscheduler.store.change_feed import GAP, ChangeFeed, Token, token_time
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.waiting.waiter import AWAIT_MS

NOTICES = (GAP_EVENT, PROGRESS)  #: events that do not change a status

_OVERLAP = timedelta(seconds=10)  #: how far before a gap the re-read begins


class Listener:
    """Follows all changes of status that match a query, in order."""

    def __init__(
        self,
        processes: Processes,
        store: Store,
        query: Mapping[str, Any] | None,
        after: Token | None,
        progress: bool = False,
    ) -> None:
        self._processes = processes
        self._store = store
        self._query = dict(query or {})
        pipeline = status_pipeline(self._query, progress=progress)
        collection = store.jobs.collection
        self._feed = ChangeFeed(collection, pipeline, full_document="updateLookup", await_ms=AWAIT_MS, after=after)
        self._seen_until = token_time(after) or store.clock.now()

    def open(self) -> None:
        """Opens the stream now: everything from here on is delivered."""
        self._feed.open()

    def run(
        self,
        callback: Callable[[Process], Any] | None,
        announce: Callable[[str, Process], None],
        deadline: Deadline,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Calls back for every change until that returns True, `deadline` passes or `stopped` returns True."""
        with closing(self.batches(deadline, stopped)) as batches:
            for name, process in chain.from_iterable(batches):
                announce(name, process)
                if name not in NOTICES and callback is not None and callback(process) is True:
                    return

    def batches(
        self, deadline: Deadline, stopped: Callable[[], bool]
    ) -> Generator[Iterable[tuple[str, Process]], None, None]:
        """Yields the events and jobs of each look at the stream; `token` is the place behind it.

        There is at least one look, so that a caller without time left when the stream is open can go on from there.
        """
        with self._feed:
            while not stopped():
                yield self._events_of(self._feed.next())
                if deadline.passed:
                    return

    @property
    def token(self) -> Token | None:
        return self._feed.token

    def _events_of(self, event: Any) -> Iterable[tuple[str, Process]]:
        if event is GAP:
            yield from self._reread()
            return
        self._seen_until = self._store.clock.now()
        for change in changes(event) if event is not None else ():
            yield event_of(change), self._processes.process(change.document)

    def _reread(self) -> Iterable[tuple[str, Process]]:
        """Yields, after lost history, a notice, then every matching job that may have changed since the last event."""
        since = self._seen_until - _OVERLAP
        documents = list(self._store.jobs.find_changed(self._query, since))
        notice = {"_id": None, "status": int(Status.WAITING), "message": f"events since {since:%H:%M:%S} were lost"}
        yield GAP_EVENT, self._processes.process(notice)
        for document in documents:
            yield STATUS_EVENTS[Status(document.get("status", -1))], self._processes.process(document)


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
