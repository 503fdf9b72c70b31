"""Follows a change stream in order, through faults and elections, and reports a gap when history was lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from types import TracebackType
from typing import Any

from bson import Timestamp
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo.change_stream import ChangeStream
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from taskscheduler.clock import Backoff
from taskscheduler.model.document import Document
from taskscheduler.model.payload import CODEC
from taskscheduler.store.driver_errors import brief, is_transient
from taskscheduler.store.lenient_reads import RAW, decoded

logger = logging.getLogger(__name__)

#: the oplog does not reach back so far any more, or the collection was dropped: nothing can be resumed
HISTORY_LOST = {136, 260, 280, 286}

_MOST_REFUSALS = 3  #: in a row; after that the resume token is taken to be the cause

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

Token = Mapping[str, Any]

_OF_TIME = 18  #: digits at the beginning of a token: the type of a timestamp, its seconds and its number in these


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
        since: Timestamp | None = None,
    ) -> None:
        """`after` is the place of a feed like this one; without it, changes are yielded `since` a time of the oplog."""
        self._source = source.with_options(read_concern=ReadConcern("majority"))
        self._pipeline = list(pipeline)
        self._full_document = full_document
        self._await_ms = await_ms
        self._token = after
        self._since = since
        self._backoff: Backoff | None = None  #: from the first failure until a change is read
        self._refusals = 0  #: in a row, by a server that answers
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self._stream: ChangeStream[Any] | None = None
        self._lost = False  #: a gap that `next` has not yielded yet
        self._undecoded = False  #: once a change could not be decoded, each is read for itself

    def open(self) -> ChangeStream[Any]:
        """Opens the stream now, so that nothing written from here on is missed. Raises the driver's errors."""
        try:
            self._stream = self._watch()
        except OperationFailure as error:
            if (self._token is None and self._since is None) or error.code not in HISTORY_LOST:
                raise
            self._forget(brief(error))
            self._stream = self._watch()
            self._lost = True
        self._token = self._stream.resume_token or self._token
        return self._stream

    def _reopen(self) -> ChangeStream[Any]:
        self._lost = self._lost or self._token is None
        return self.open()

    def _watch(self) -> ChangeStream[Any]:
        if not self._undecoded:
            try:
                return self._stream_of(CODEC)
            except BSONError as error:
                self._read_undecoded(error)
        return self._stream_of(RAW)

    def _stream_of(self, codec: CodecOptions[Any]) -> ChangeStream[Any]:
        return self._source.with_options(codec_options=codec).watch(
            self._pipeline,
            full_document=self._full_document,
            max_await_time_ms=self._await_ms,
            resume_after=self._token,
            start_at_operation_time=self._since if self._token is None else None,
        )

    def _read_undecoded(self, error: BSONError) -> None:
        logger.info("change stream cannot be decoded as a whole", extra={"reason": brief(error)})
        self._undecoded = True

    def next(self) -> Document | Gap | None:
        """Returns the next change; None if none came in time, GAP after a restart that may have missed some."""
        if self._woken.is_set():
            self._woken.clear()
            return None
        try:
            stream = self._stream or self._reopen()
            if self._lost:
                self._lost = False
                return GAP
            change = stream.try_next()
            self._token = stream.resume_token
            if change is None and self._woken.is_set():
                return None
            if change is None and not stream.alive:
                self._forget("the stream ended")
                return None
            if self._backoff is not None:
                self._recovered()
            return decoded(change) if self._undecoded else change
        except BSONError as error:
            self._read_undecoded(error)
            self._close_stream()
            return None
        except PyMongoError as error:
            self._failed(error)
            return None

    @property
    def is_following(self) -> bool:
        """Whether changes are read as they happen: the stream is open, and the last read of it went well."""
        return self._stream is not None and self._backoff is None

    @property
    def token(self) -> Token | None:
        """The place where a later feed can resume without missing a change, as long as the oplog reaches back to it."""
        return self._token

    def _recovered(self) -> None:
        self._backoff, self._refusals = None, 0

    def _failed(self, error: PyMongoError) -> None:
        if self._stopped.is_set() or self._woken.is_set():
            return  # the cursor was killed by `close` or `wake`
        self._backoff = self._backoff or Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
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
        self._token = self._since = None
        self._close_stream()

    def select(self, pipeline: Sequence[Mapping[str, Any]], after: Token | None = None) -> None:
        """Selects other changes from the next one on, or from an earlier place on."""
        self._pipeline, self._token = list(pipeline), after or self._token
        self._close_stream()

    def wake(self) -> None:
        """Has `next`, in another thread, return None soon; nothing is missed."""
        self._woken.set()
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

    def leave(self) -> None:
        """Ends the stream of this thread without a word to the server; the driver tells it within a second."""
        self._stopped.set()
        self._stream = None

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


def token_timestamp(token: Token | None) -> Timestamp | None:
    """Returns the time of the oplog just behind the change at a token; None if the token does not contain it."""
    try:
        data = str((token or {})["_data"])
        return Timestamp(int(data[2:10], 16), int(data[10:18], 16) + 1)
    except (KeyError, ValueError):
        return None


def is_as_late(token: Token | None, place: Token | None) -> bool:
    """Returns whether the time of a token is that of a place or later, also if they are of different collections."""
    ours, other = (str((one or {}).get("_data", ""))[:_OF_TIME] for one in (token, place))
    return ours >= other


def reaches(token: Token, place: Token | None) -> bool:
    """Returns whether a token is at a place or behind it; False if the two cannot be compared."""
    ours, other = token.get("_data"), (place or {}).get("_data")
    return isinstance(ours, str) and isinstance(other, str) and ours >= other  # which their server promises
