"""FlowFollower: follows the ends of all flows of a database as long as a listener of the scheduler runs."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from taskscheduler.clock import Clock, Deadline
from taskscheduler.connection import Connection
from taskscheduler.events import Announcer
from taskscheduler.flow_state import RunningFlows
from taskscheduler.model.exception_texts import loggable
from taskscheduler.model.options import FLOWS
from taskscheduler.store import Store
from taskscheduler.store.change_events import END_OF_FLOW, ended_flow
from taskscheduler.store.change_feed import ChangeFeed, Gap, Token, is_as_late, token_time, token_timestamp
from taskscheduler.waiting.waiter import AWAIT_MS

logger = logging.getLogger(__name__)

_OVERLAP = timedelta(seconds=10)  #: how far before a gap the re-read begins

_PATIENCE = 2.0  #: seconds after which the end of a flow is told, wherever the listeners are

_LOOK = 0.02  #: seconds between two looks where they are

_LAST_LOOK = 5.0  #: seconds that the last listener waits at most for what has ended before it stopped


class Follower(Protocol):
    """A listener."""

    told: Token | None  #: the place up to which all handlers have been called

    @property
    def token(self) -> Token | None:
        """The place behind the last change that it has read, where a later one goes on."""
        ...


class FlowFollower:
    """One thread and one change stream for all listeners of a scheduler; none without handlers of these events.

    It tells the end of a flow when a listener has come to that place in the history of the database. So the events of
    its jobs come first, and who goes on later, behind the token of that listener, tells it neither twice nor never.
    """

    def __init__(self, connection: Connection, announcer: Announcer, flows: RunningFlows, clock: Clock) -> None:
        self._connection = connection
        self._announcer = announcer
        self._flows = flows
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._following: _Following | None = None

    def join(self, listener: Follower) -> bool:
        """Begins where a listener does; returns whether there are handlers. Raises database errors."""
        if not self._announcer.wants_flows:
            return False
        if self._pid != os.getpid():
            self._reset()  # threads do not survive a fork
        with self._lock:
            if self._following is None:
                self._following = _Following(
                    self._connection.store, self._announcer, self._flows, self._clock, listener
                )
            else:
                self._following.join(listener)
        return True

    def leave(self, listener: Follower) -> None:
        """Ends one listener. Behind the last one the thread ends when it has come to the place of that."""
        if self._pid != os.getpid():
            return
        with self._lock:
            following = self._following
            if following is None or following.leave(listener):
                return
            self._following = None
        following.stop(listener.token)

    def stop(self) -> None:
        """Ends the thread at once, whoever listens."""
        if self._pid != os.getpid():
            return
        with self._lock:
            following, self._following = self._following, None
        if following is not None:
            following.stop(None)


class _Following:
    """The thread."""

    def __init__(
        self, store: Store, announcer: Announcer, flows: RunningFlows, clock: Clock, listener: Follower
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._flows = flows
        self._clock = clock
        self._listeners = [listener]
        self._until: Token | None = None
        self._stop = threading.Event()
        self._seen_until = token_time(listener.token) or store.clock.now()
        self._feed = ChangeFeed(
            store.streams.for_few()[FLOWS],
            END_OF_FLOW,
            full_document="updateLookup",
            await_ms=AWAIT_MS,
            since=token_timestamp(listener.token),
        )
        self._feed.open()
        self._thread = threading.Thread(target=self._run, name="taskscheduler-flows", daemon=True)
        self._thread.start()

    def join(self, listener: Follower) -> None:
        """Goes on for one more listener, which may begin in the past."""
        self._listeners = [*self._listeners, listener]
        if (since := token_time(listener.told)) is not None:  # it goes on for one that has stopped
            self._reread(since)

    def leave(self, listener: Follower) -> bool:
        """Ends one listener; returns whether there are others."""
        self._listeners = [one for one in self._listeners if one is not listener]
        return bool(self._listeners)

    def stop(self, until: Token | None) -> None:
        """Ends the thread when all before this place was told."""
        self._until = until
        self._stop.set()
        self._feed.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * _LAST_LOOK)

    def _run(self) -> None:
        try:
            with self._feed:
                self._follow()
        except Exception as error:  # of any kind: it must be seen
            logger.error("flows were not followed to the end", exc_info=loggable(error))

    def _follow(self) -> None:
        last_look: Deadline | None = None
        while True:
            if last_look is None and self._stop.is_set():
                last_look = Deadline(_LAST_LOOK, self._clock)
            event = self._feed.next()
            if isinstance(event, Gap):
                self._reread(self._seen_until - _OVERLAP)
            elif event is not None:
                self._seen_until = self._store.clock.now()
                if not self._is_told_by_others(event["_id"]):
                    self._tell(ended_flow(event))
            elif last_look is not None and (last_look.passed or is_as_late(self._feed.token, self._until)):
                return

    def _is_told_by_others(self, place: Token) -> bool:
        """Waits until a listener has come to a place; returns whether all have stopped before it."""
        patience = Deadline(_PATIENCE, self._clock)
        while not self._stop.is_set():
            if patience.passed or any(is_as_late(one.told, place) for one in self._listeners):
                return False
            self._stop.wait(_LOOK)
        return not is_as_late(self._until, place)

    def _reread(self, since: datetime) -> None:
        """Tells the flows that have ended since then, as far as they were not told."""
        for flow in self._store.flows.ended_since(since):
            self._tell(flow)

    def _tell(self, flow: Mapping[str, Any]) -> None:
        self._announcer.deliver_flow(self._flows.flow(flow))
