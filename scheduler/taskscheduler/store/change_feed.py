"""Follows a change stream in order, through faults and elections, and reports a gap when history was lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from types import TracebackType
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.change_stream import ChangeStream
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from taskscheduler.clock import Backoff
from taskscheduler.model.document import Document
from taskscheduler.store.driver_errors import brief, is_transient
from taskscheduler.store.lenient_reads import RAW, decoded

logger = logging.getLogger(__name__)

#: the oplog does not reach back so far any more, or the collection was dropped: nothing can be resumed
HISTORY_LOST = {136, 260, 280, 286}

_MOST_REFUSALS = 3  #: in a row; after that the resume token is taken to be the cause

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

Token = Mapping[str, Any]


class Gap(Enum):
    """What a feed yields after it started anew: changes before it are missing, so read the current states."""

    GAP = auto()


GAP = Gap.GAP


class ChangeFeed:
    """One change stream that is reopened after every fault, where it stopped if possible."""

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
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._refusals = 0  #: in a row, by a server that answers
        self._stopped = threading.Event()
        self._stream: ChangeStream[RawBSONDocument] | None = None
        self._lost = False  #: a gap that `next` has not yielded yet

    def open(self) -> ChangeStream[RawBSONDocument]:
        """Opens the stream now, so that nothing written from here on is missed. Raises the driver's errors."""
        try:
            self._stream = self._watch()
        except OperationFailure as error:
            if self._token is None or error.code not in HISTORY_LOST:
                raise
            self._forget(brief(error))
            self._stream = self._watch()
            self._lost = True
        return self._stream

    def _reopen(self) -> ChangeStream[RawBSONDocument]:
        self._lost = self._lost or self._token is None
        return self.open()

    def _watch(self) -> ChangeStream[RawBSONDocument]:
        return self._source.with_options(codec_options=RAW).watch(
            self._pipeline,
            full_document=self._full_document,
            max_await_time_ms=self._await_ms,
            resume_after=self._token,
        )

    def next(self) -> Document | Gap | None:
        """Returns the next change; None if none came in time, GAP after a restart that may have missed some."""
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
            self._refusals = 0
            self._backoff.reset()
            return decoded(change)
        except PyMongoError as error:
            self._failed(error)
            return None

    @property
    def token(self) -> Token | None:
        """The place where a later feed can resume without missing a change, as long as the oplog reaches back to it."""
        return self._token

    def _failed(self, error: PyMongoError) -> None:
        if self._stopped.is_set():
            return  # the cursor was killed by `close`
        self._refusals = self._refusals + 1 if isinstance(error, OperationFailure) and not is_transient(error) else 0
        if isinstance(error, OperationFailure) and (error.code in HISTORY_LOST or self._refusals > _MOST_REFUSALS):
            self._forget(brief(error))
        else:
            logger.info("change stream interrupted", extra={"reason": brief(error)})
            self._close_stream()
        self._stopped.wait(self._backoff.next())

    def _forget(self, reason: str) -> None:
        """Gives up the place in the oplog; the next reopening is a gap."""
        logger.info("change stream starts anew", extra={"reason": reason})
        self._token = None
        self._close_stream()

    def rest(self) -> None:
        """Closes the stream for a while; `next` reopens it with a gap."""
        self._token = None
        self._close_stream()

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except PyMongoError:
                pass  # the server drops its cursor by itself

    def close(self) -> None:
        """Ends the stream; may be called from another thread."""
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
    """Returns when the change at a token was made, to the second; None if the token does not contain it."""
    try:
        # a server's token begins with the type of a timestamp and its seconds
        return datetime.fromtimestamp(int(str((token or {})["_data"])[2:10], 16), UTC)
    except (KeyError, ValueError):
        return None
