"""Decides how change streams are followed: in order, reopened after every fault, and honest about lost history."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from types import TracebackType
from typing import Any

from pymongo.change_stream import ChangeStream
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from taskscheduler.model.document import Document
from taskscheduler.store.driver_errors import is_transient

logger = logging.getLogger(__name__)

#: the place in the oplog is gone, or the collection was dropped: nothing can be resumed
HISTORY_LOST = {136, 260, 280, 286}

_MOST_REFUSALS = 3  #: then the token is taken for the reason

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

Token = Mapping[str, Any]


class Gap(Enum):
    """What a feed yields when it had to start anew: whatever happened before is to be read from the store."""

    GAP = auto()


GAP = Gap.GAP


class ChangeFeed:
    """One change stream, from its opening on, through elections, drops and lost history."""

    def __init__(
        self,
        source: Collection[Document] | Database[Document],
        pipeline: Sequence[Mapping[str, Any]],
        *,
        full_document: str | None = None,
        await_ms: int = 1000,
        after: Token | None = None,
    ) -> None:
        self._source = source.with_options(read_concern=ReadConcern("majority"))
        self._pipeline = list(pipeline)
        self._full_document = full_document
        self._await_ms = await_ms
        self._token = after
        self._pause = _FIRST_PAUSE
        self._refusals = 0  #: in a row, by a server that answers
        self._stopped = threading.Event()
        self._stream: ChangeStream[Document] | None = None
        self._lost = False  #: a gap that is still to be told

    def open(self) -> ChangeStream[Document]:
        """Open the stream now, so that nothing written from here on is missed. Raises the driver's errors."""
        try:
            self._stream = self._watch()
        except OperationFailure as error:
            if self._token is None or error.code not in HISTORY_LOST:
                raise
            self._forget(str(error)[:200])
            self._stream = self._watch()
            self._lost = True
        return self._stream

    def _reopen(self) -> ChangeStream[Document]:
        self._lost = self._lost or self._token is None
        return self.open()

    def _watch(self) -> ChangeStream[Document]:
        return self._source.watch(
            self._pipeline,
            full_document=self._full_document,
            max_await_time_ms=self._await_ms,
            resume_after=self._token,
        )

    def next(self) -> Document | Gap | None:
        """The next change; None if none came within the await time; GAP after a restart that may have missed some."""
        try:
            stream = self._stream or self._reopen()
            if self._lost:
                self._lost = False
                return GAP
            change = stream.try_next()
            self._token = stream.resume_token
            if change is None and not stream.alive:
                self._forget("the stream ended")
                return None
            self._pause, self._refusals = _FIRST_PAUSE, 0
            return change
        except PyMongoError as error:
            self._failed(error)
            return None

    @property
    def token(self) -> Token | None:
        """Where a later feed can go on without missing a change, as long as the oplog reaches back to here."""
        return self._token

    def _failed(self, error: PyMongoError) -> None:
        if self._stopped.is_set():
            return  # the cursor was killed by `close`
        self._refusals = self._refusals + 1 if isinstance(error, OperationFailure) and not is_transient(error) else 0
        if isinstance(error, OperationFailure) and (error.code in HISTORY_LOST or self._refusals > _MOST_REFUSALS):
            self._forget(str(error)[:200])
        else:
            logger.info("change stream interrupted", extra={"reason": str(error)[:200]})
            self._close_stream()
        self._wait()

    def _forget(self, reason: str) -> None:
        """Give up the place in the oplog; the next reopening is a gap."""
        logger.info("change stream starts anew", extra={"reason": reason})
        self._token = None
        self._close_stream()

    def rest(self) -> None:
        """Let go of the stream for a while; the next change comes after a gap."""
        self._token = None
        self._close_stream()

    def _wait(self) -> None:
        self._stopped.wait(self._pause)
        self._pause = min(_LONGEST_PAUSE, self._pause * 2)

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except PyMongoError:
                pass  # the server forgets it by itself

    def close(self) -> None:
        """End the stream; may be called from another thread."""
        self._stopped.set()
        self._close_stream()

    def __enter__(self) -> ChangeFeed:
        if self._stream is None:
            self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def token_time(token: Token | None) -> datetime | None:
    """When the change that a token stands for was made, to the second; None if it does not tell."""
    try:
        # a server's token begins with the type of a timestamp and its seconds
        return datetime.fromtimestamp(int(str((token or {})["_data"])[2:10], 16), UTC)
    except (KeyError, ValueError):
        return None
