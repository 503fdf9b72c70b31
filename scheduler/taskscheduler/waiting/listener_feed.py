"""ListenerFeed: where one listener gets its changes from: the shared stream, or one of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.document import Document
from taskscheduler.model.matching import condition
from taskscheduler.model.payload import as_stored
from taskscheduler.store import Store
from taskscheduler.store.change_events import status_pipeline
from taskscheduler.store.change_feed import ChangeFeed, Gap, Token
from taskscheduler.store.driver_errors import StoreError, translated
from taskscheduler.waiting.shared_stream import Member, SharedStream
from taskscheduler.waiting.waiter import AWAIT_MS


class ListenerFeed:
    """The changes that one listener asked for, in order.

    A listener has a stream of its own if it is one of the first, if only the server can judge its query, and while it
    catches up: from a place in the past, or after it was so slow that the shared stream went on without it.
    """

    def __init__(
        self,
        store: Store,
        query: Mapping[str, Any],
        after: Token | None,
        progress: bool,
        shared: SharedStream | None,
    ) -> None:
        self.token = after  #: the place behind the last change
        self._store = store
        self._pipeline = status_pipeline(query, progress=progress)
        self._progress = progress
        self._shared = shared
        self._wanted = None if shared is None else condition(as_stored(query))
        self._keeps_own = False
        self._own: ChangeFeed | None = None
        self._member: Member | None = None

    def open(self) -> None:
        """Opens it now, so that nothing from here on is missed. Raises database errors."""
        if self._own is not None or self._member is not None:
            return
        self._keeps_own = self._shared is not None and self._shared.own_streams.take()
        try:
            self._member = self._join(True) if self.token is None else None
            if self._member is None:
                self._own = self._stream()
                self._own.open()
        except BaseException:
            self.close()
            raise

    def _stream(self) -> ChangeFeed:
        streams = self._store.streams
        database = streams.for_few() if self._keeps_own or self._shared is None else streams.for_many()
        return ChangeFeed(
            database[self._store.options.job_store],
            self._pipeline,
            full_document="updateLookup",
            await_ms=AWAIT_MS,
            after=self.token,
        )

    def _join(self, may_start: bool) -> Member | None:
        if self._keeps_own or self._wanted is None or self._shared is None:
            return None
        return self._shared.join(self._wanted, self._progress, self.token, may_start)

    def next(self, most: float) -> Document | Gap | None:
        """Returns the next change; None if none came in time, GAP if some may be missing.

        A shared stream is waited for up to `most` seconds, one of its own for half a second.
        """
        if self._member is not None:
            return self._next_shared(self._member, most)
        if self._own is None:
            self._own = self._stream()
        event = self._own.next()
        self.token = self._own.token
        if self.token is not None:
            self._share(self._own, caught_up=event is None)
        return event

    def _next_shared(self, member: Member, most: float) -> Document | Gap | None:
        event = member.next(most)
        self.token = member.token
        if event is None and member.overtaken:
            self._leave()
        return event

    def _share(self, own: ChangeFeed, caught_up: bool) -> None:
        """Goes on with the shared stream if that has come no further."""
        try:
            with translated():
                self._member = self._join(caught_up)
        except StoreError:
            return  # the next look may have more luck
        if self._member is not None:
            own.close()
            self._own = None

    def _leave(self) -> None:
        if self._member is not None and self._shared is not None:
            self._shared.leave(self._member)
        self._member = None

    def wake(self) -> None:
        """Has `next` return soon. May be called from another thread."""
        member = self._member
        if member is not None:
            member.wake()

    def close(self) -> None:
        """Ends it."""
        self._leave()
        if self._own is not None:
            self._own.close()
            self._own = None
        if self._keeps_own and self._shared is not None:
            self._keeps_own = False
            self._shared.own_streams.give_back()
