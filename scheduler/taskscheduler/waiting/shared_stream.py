"""SharedStream: one change stream for all listeners of a scheduler beyond the first ones."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque

from bson import Timestamp

from taskscheduler.connection import Connection
from taskscheduler.errors import SchedulerError
from taskscheduler.model.document import Document
from taskscheduler.model.exception_texts import loggable
from taskscheduler.model.matching import Condition
from taskscheduler.store import Store
from taskscheduler.store.change_events import changed_document, status_pipeline
from taskscheduler.store.change_feed import ChangeFeed, Gap, Token, reaches
from taskscheduler.waiting.own_streams import OwnStreams
from taskscheduler.waiting.waiter import AWAIT_MS

logger = logging.getLogger(__name__)

_MOST_AHEAD = 1000  #: changes that a listener may be behind; after that it follows a stream of its own


class Head:
    """The place that the shared stream has reached: all before it was handed out."""

    def __init__(self) -> None:
        self.token: Token | None = None


class Member:
    """The part of the shared stream that one listener asked for, kept until the listener takes it."""

    def __init__(self, wanted: Condition, begin: Timestamp | Token, head: Head) -> None:
        self.overtaken = False  #: too far behind: nothing more comes; go on behind `token`
        self.token = head.token if isinstance(begin, Timestamp) else begin  #: the place behind the last taken change
        self._wanted = wanted
        self._begin: Timestamp | Token | None = begin
        self._head = head
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._waiting: deque[Document | Gap] = deque()
        self._woken = False

    def offer(self, event: Document | Gap, document: Document) -> None:
        """Keeps an event if it is wanted; `document` is its job. Never blocks."""
        if self.overtaken or not (isinstance(event, Gap) or self._wants(event, document)):
            return
        with self._changed:
            self.overtaken = len(self._waiting) >= _MOST_AHEAD
            if not self.overtaken:
                self._waiting.append(event)
                self._changed.notify()

    def _wants(self, event: Document, document: Document) -> bool:
        if self._begin is not None and _is_before(event, self._begin):
            return False
        self._begin = None
        return self._wanted.holds(document)

    def end(self, error: Exception | None = None) -> None:
        """Brings nothing more, since the stream has ended; with an error, `next` raises that."""
        with self._changed:
            self.overtaken, self._error = True, error
            self._changed.notify()

    def wake(self) -> None:
        """Has `next` return now."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def next(self, most: float) -> Document | Gap | None:
        """Returns the next change, or GAP; None if none came within `most` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.overtaken or self._woken, most)
            self._woken = False
            if self._waiting:
                event = self._waiting.popleft()
                self.token = self.token if isinstance(event, Gap) else event["_id"]
                return event
            if self._error is not None:
                raise self._error
            if not self.overtaken:
                self.token = self._head.token
            return None


def _is_before(event: Document, begin: Timestamp | Token) -> bool:
    if isinstance(begin, Timestamp):
        return bool(event["clusterTime"] <= begin)
    return reaches(begin, event["_id"])


class SharedStream:
    """Reads one stream and hands each listener its part. The thread runs as long as there are such listeners."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._members: list[Member] = []
        self._thread: threading.Thread | None = None
        self._head = Head()
        self.own_streams = OwnStreams()  #: of the first listeners
        self._progress = False

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            self._reset()  # threads do not survive a fork, and their lock may seem to be held for ever

    def join(self, wanted: Condition, progress: bool, after: Token | None, may_start: bool) -> Member | None:
        """Returns a part of the stream that begins now, or behind `after`; None if the stream is past that place.

        Without `may_start` also if the stream does not run. Raises database errors.
        """
        self._after_fork()
        store = self._connection.store
        begin = after if after is not None else store.streams.now()
        with self._lock:
            if self._thread is None and not may_start:
                return None
            if after is not None and self._thread is not None and not reaches(after, self._head.token):
                return None
            self._progress = self._progress or progress
            if self._thread is None:
                self._start(store, after)
            member = Member(wanted, begin, self._head)
            self._members = [*self._members, member]
        return member

    def leave(self, member: Member) -> None:
        """Ends a part of the stream."""
        with self._lock:
            self._members = [one for one in self._members if one is not member]

    def stop(self) -> None:
        """Ends the stream and its thread."""
        if self._pid != os.getpid():
            return
        with self._lock:
            members, self._members, thread = self._members, [], self._thread
        for member in members:
            member.end(SchedulerError("the scheduler was closed"))
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self, store: Store, after: Token | None) -> None:
        feed = ChangeFeed(
            store.streams.for_few()[store.options.job_store],
            status_pipeline(progress=self._progress),
            full_document="updateLookup",
            await_ms=AWAIT_MS,
            after=after,
        )
        feed.open()
        self._head.token = feed.token
        self._thread = threading.Thread(target=self._run, args=(feed,), name="taskscheduler-listeners", daemon=True)
        self._thread.start()

    def _run(self, feed: ChangeFeed) -> None:
        try:
            with feed:
                self._follow(feed)
        except Exception as error:  # of any kind: no listener may wait for ever
            logger.error("shared change stream failed", exc_info=loggable(error))
            with self._lock:
                members, self._members, self._thread = self._members, [], None
            for member in members:
                member.end()

    def _follow(self, feed: ChangeFeed) -> None:
        progress = self._progress
        while True:
            if progress != self._progress:
                progress = self._progress
                feed.select(status_pipeline(progress=progress))
            event = feed.next()
            document = changed_document(event) if isinstance(event, dict) else {}
            with self._lock:
                if not self._members:
                    self._thread, self._progress = None, False
                    return
                if event is not None:
                    for member in self._members:
                        member.offer(event, document)
                self._head.token = feed.token
