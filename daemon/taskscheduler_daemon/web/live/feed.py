"""Feed: one change stream of the database for all clients of a web process, however many and however slow they are."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from taskscheduler.clock import SYSTEM_CLOCK, Backoff, Clock
from taskscheduler.errors import SchedulerError
from taskscheduler.model.exception_texts import loggable
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.change_feed import GAP, ChangeFeed
from taskscheduler.store.driver_errors import StoreError, brief, is_transient
from taskscheduler.store.web.live_changes import live_feed
from taskscheduler_daemon.web.live.changes import Change, changes_of
from taskscheduler_daemon.web.live.reader import PacedReader, is_place, is_recent
from taskscheduler_daemon.web.live.ring import Read, Ring

logger = logging.getLogger(__name__)

KEPT = 5000  #: changes, ten seconds of 500 in a second

MOST_SUBSCRIBERS = 200

MOST_PER_SECOND = 2000  #: changes that are read in a second; the pages must not slow down what they show

LINGER = 10.0  #: seconds that the stream goes on without a client; one that comes back finds all that it has missed


class TooManySubscribersError(Exception):
    """The feed has as many clients as it takes."""


class FeedClosedError(Exception):
    """The feed was closed, since the web process ends."""


class Wanted(Protocol):
    """Which changes a client wants."""

    def holds(self, change: Change) -> bool:
        """Returns whether it wants this one."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What a client gets at once."""

    changes: list[Change]
    token: str | None  #: the place behind these, to resume at; None as long as the server has named none
    lost: bool  #: changes before these may be missing: read the current state. True at the beginning, too


class Subscription:
    """One client of the feed, in one event loop. It holds no changes, only the number of the next one."""

    def __init__(self, feed: Feed, number: int, lost: bool, wanted: Wanted | None, behind: str | None) -> None:
        self._feed = feed
        self._number = number
        self._lost = lost
        self._wanted = wanted
        self._behind = behind or ""  #: changes up to this place are old for it
        self._begun = False
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._is_waiting = False

    async def next(self, timeout: float, pause: float = 0.05) -> Batch:
        """Returns the changes since the last call as soon as there are any; none of them after `timeout` seconds.

        The first call returns as soon as the stream is open: what is written from then on will be delivered. Before a
        look at changes it waits `pause` seconds, so that some share a batch. FeedClosedError when the process ends.
        """
        until = self._loop.time() + timeout
        while True:
            self._rung.clear()
            self._is_waiting = True
            if (batch := self._take()) is not None:
                self._is_waiting = False
                return batch
            left = until - self._loop.time()
            if left <= 0 or not await self._ring_within(left):
                self._is_waiting = False
                return Batch([], self._feed.head if self._begun else None, False)
            await asyncio.sleep(min(pause, max(0.0, until - self._loop.time())))

    async def _ring_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        return True

    def _take(self) -> Batch | None:
        read = self._feed.read(self._number)
        if read is None:
            return None
        found, token = read
        self._number, lost = found.number, found.lost or self._lost
        self._behind = "" if lost else self._behind  # it may have been no place of this server
        wanted = [change for change in found.changes if self._wants(change)]
        if not (wanted or lost or not self._begun):
            return None
        self._lost, self._begun = False, True
        return Batch(wanted, token, lost)

    def _wants(self, change: Change) -> bool:
        return change.token > self._behind and (self._wanted is None or self._wanted.holds(change))

    def ring(self) -> None:
        """Has `next` look again. Called from any thread."""
        if self._is_waiting:
            self._is_waiting = False
            try:
                self._loop.call_soon_threadsafe(self._rung.set)
            except RuntimeError:  # its loop has ended, and forgot to unsubscribe
                self._feed.unsubscribe(self)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.unsubscribe(self)


class Feed:
    """Reads one stream in a thread, from the first subscription until some time after the last one.

    Its memory is bounded, whatever the number of changes and of clients: it keeps the latest ones, and a client that
    comes too late for some learns that they are lost. An election or a lost connection costs time and no change.
    """

    def __init__(
        self, scheduler: Scheduler, clock: Clock = SYSTEM_CLOCK, kept: int = KEPT, linger: float = LINGER
    ) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._lock = threading.Lock()
        self._ring = Ring(kept)
        self._subscriptions: list[Subscription] = []
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._is_open = False
        self._stream: ChangeFeed | None = None
        self._linger = linger
        self._needed_at = clock.monotonic()  #: when there was a client last

    @property
    def is_live(self) -> bool:
        """Whether changes are read as they happen."""
        stream = self._stream
        return self._is_open and stream is not None and stream.is_following

    @property
    def is_running(self) -> bool:
        """Whether a stream is read, for clients or for those who may come back."""
        return self._thread is not None

    @property
    def head(self) -> str | None:
        """The place behind the last change; None if the stream is not open."""
        with self._lock:
            return self._ring.head

    def subscribe(self, after: str | None = None, wanted: Wanted | None = None) -> Subscription:
        """Begins a subscription behind the place `after`; without one, or if that is too old, at the present.

        Call it in the event loop of the client; it does not block. TooManySubscribersError, FeedClosedError.
        """
        after = after if after is not None and is_place(after) else None
        with self._lock:
            if self._closed.is_set():
                raise FeedClosedError
            if len(self._subscriptions) >= MOST_SUBSCRIBERS:
                raise TooManySubscribersError
            if self._thread is None:
                self._start(after)
            number = None if after is None else self._ring.number_behind(after)
            one = Subscription(self, self._ring.end if number is None else number, number is None, wanted, after)
            self._subscriptions = [*self._subscriptions, one]
        return one

    def unsubscribe(self, subscription: Subscription) -> None:
        """Ends a subscription."""
        with self._lock:
            self._subscriptions = [one for one in self._subscriptions if one is not subscription]

    def read(self, number: int) -> tuple[Read, str | None] | None:
        """Returns the changes from this number on and the place behind them; None as long as no stream is open."""
        if self._closed.is_set():
            raise FeedClosedError
        with self._lock:
            return (self._ring.read(number), self._ring.head) if self._is_open else None

    def close(self) -> None:
        """Ends the stream and all subscriptions."""
        self._closed.set()
        self._ring_all()
        thread, stream = self._thread, self._stream
        if stream is not None:
            stream.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    # -- the thread -------------------------------------------------------------------------------------------------

    def _start(self, after: str | None) -> None:
        self._is_open = False
        self._ring.start(after)
        self._needed_at = self._clock.monotonic()
        self._thread = threading.Thread(target=self._run, args=(after,), name="taskscheduler-live", daemon=True)
        self._thread.start()

    def _run(self, after: str | None) -> None:
        place, backoff = None if after is None else {"_data": after}, Backoff(0.1, 5.0)
        while self._is_needed():
            try:
                store = self._scheduler.store
                place = place if is_recent(place, store.clock.now()) else None
                with live_feed(store.streams.for_few(), store.options, place) as self._stream:
                    self._follow(PacedReader(self._stream, store.clock, MOST_PER_SECOND), place is None)
                return
            except (SchedulerError, StoreError) as error:
                logger.info("live data wait for the database", extra={"reason": brief(error)})
                place = place if is_transient(error) else None  # the server may have refused the place
            except Exception as error:  # of any kind: no client may wait for ever
                logger.error("live data failed", exc_info=loggable(error))
                place = None
            self._closed.wait(backoff.next())

    def _is_needed(self) -> bool:
        """Returns whether the thread goes on; it ends when there was no client for a while."""
        with self._lock:
            if self._thread is not threading.current_thread():
                return False  # it was over already, and another one has begun
            now = self._clock.monotonic()
            self._needed_at = now if self._subscriptions else self._needed_at
            if not self._closed.is_set() and now - self._needed_at < self._linger:
                return True
            self._thread = self._stream = None
            self._is_open = False
            return False

    def _follow(self, reader: PacedReader, begins_here: bool) -> None:
        with self._lock:
            self._is_open = True
            if begins_here:
                self._ring.start(reader.token)
        self._ring_all()
        while self._is_needed():
            event = reader.next()
            found = changes_of(event) if isinstance(event, dict) else []
            with self._lock:
                if event is GAP:
                    self._ring.start(reader.token)
                for change in found:
                    self._ring.add(change)
                self._ring.head = reader.token
            if found or event is GAP:
                self._ring_all()

    def _ring_all(self) -> None:
        for one in self._subscriptions:
            one.ring()
