"""LogBook: the logs of the attempts of this node that are not stored yet, and the thread that stores them."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.model.logs.lines import Entry
from taskscheduler.model.logs.tail import Log, LogTail
from taskscheduler.store import Store
from taskscheduler.store.attempts.logs import reference
from taskscheduler.store.driver_errors import StoreError, is_transient
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)

FLUSH_EVERY = 0.25  #: seconds

_PAUSE = 0.01

MOST_UNSAVED = 64 * 1024 * 1024  #: bytes of all attempts; beyond that, those that print the most have to wait

_MOST_DONE = 10_000  #: ended logs that are remembered until somebody asks

_PATIENCE = 1.0  #: seconds that an end waits for its log

_LITTLE_PATIENCE = 0.1  #: the same if it may have none: its worker was killed

_LAST_TRIES = 3  #: of a node that stops

Key = tuple[bytes, int]  #: a job and its attempt, or a batch and 1


class LogBook:
    """Keeps the newest part of each log, and stores it every 250 ms. Safe to use from many threads."""

    def __init__(self, store: Store, in_flight: InFlight, clock: Clock, threads: SessionThreads) -> None:
        self.hurry = threading.Event()  #: set while somebody waits
        self._store = store
        self._in_flight = in_flight
        self._clock = clock
        self._threads = threads
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._tails: dict[Key, LogTail] = {}
        self._complete: set[Key] = set()  #: those of which nothing more comes
        self._done: OrderedDict[Key, None] = OrderedDict()  #: complete logs that are stored
        self._awaited: dict[Key, Attempt] = {}
        self._patience = 0.0
        self._dirty: set[Key] = set()
        self._unwritten: list[Document] = []
        self._trims: dict[Key, int] = {}
        self._read_until = 0.0
        self._stopping = False

    def start(self) -> None:
        """Starts the thread that stores."""
        self._thread = self._threads.start("logs", self._loop)

    def stop(self) -> None:
        """Stores what is left, if the database takes it soon."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self.hurry.set()
        join(self._thread)

    @property
    def is_full(self) -> bool:
        """Whether no more should be taken for now."""
        return sum(self._sizes()) > MOST_UNSAVED

    def heaviest(self, keys: Iterable[Key]) -> bool:
        """Returns whether one of these attempts has at least as much unsaved as they all have on average."""
        sizes, tails = self._sizes(), [self._tails.get(key) for key in keys]
        return any(tail.unsaved_size * len(sizes) >= sum(sizes) for tail in tails if tail is not None)

    def _sizes(self) -> list[int]:
        return [tail.unsaved_size for tail in list(self._tails.values())]

    # -- what the pipes give -------------------------------------------------------------------------------------------

    def add(self, key: Key, entry: Entry) -> None:
        """Adds to the log of an attempt."""
        with self._changed:
            if key not in self._tails:
                self._tails[key] = LogTail(Log(ObjectId(key[0]), key[1]))
            self._tails[key].add(entry)
            self._dirty.add(key)
            self._changed.notify_all()

    def read_until(self, time: float) -> None:
        """Notes that all was read that had been written at this unix time."""
        self._read_until = max(self._read_until, time)

    def end(self, keys: Iterable[Key]) -> None:
        """Notes that nothing more comes of these attempts."""
        with self._changed:
            for key in keys:
                if key in self._tails:
                    self._complete.add(key)
                    self._dirty.add(key)
                else:
                    self._note_done(key)
            self._changed.notify_all()

    def _note_done(self, key: Key) -> None:
        self._done[key] = None
        while len(self._done) > _MOST_DONE:
            self._done.popitem(last=False)

    # -- who waits -----------------------------------------------------------------------------------------------------

    def expect(self, attempt: Attempt, has_output: bool) -> None:
        """Notes that an attempt has ended that has a log, or may have one, which `settle` waits for."""
        fence, batch = attempt.fence, attempt.batch
        in_batch = batch is not None and attempt.gathers
        key = batch.key if batch is not None and in_batch else (fence.job_id.binary, fence.attempt)
        with self._changed:
            self._awaited[key] = attempt
            self._patience = max(self._patience, _PATIENCE if has_output else _LITTLE_PATIENCE)

    def attempt_of(self, key: Key) -> Attempt | None:
        """Returns the attempt whose log this is, of a batch its first one; None if nobody knows it any more."""
        attempt, batch = self._in_flight.get(key[0]), self._in_flight.batches.get(key[0])
        if attempt is not None and attempt.fence.attempt == key[1]:
            return attempt
        return batch.attempts[0] if batch is not None else self._awaited.get(key)

    def settle(self) -> None:
        """Waits until the logs of the attempts that were expected are stored; not for long."""
        with self._changed:
            if not self._awaited:
                return
            awaited = list(self._awaited)
            self.hurry.set()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopping or all(key in self._done for key in awaited), self._patience)
            self._patience = 0.0
            for key in awaited:
                del self._awaited[key]
                self._done.pop(key, None)
            if not self._stopping:
                self.hurry.clear()

    # -- storing -------------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        tries = _LAST_TRIES
        while tries:
            with self._changed:
                self._changed.wait_for(lambda: self._dirty or self._unwritten or self._stopping)
                if self._stopping and not self._dirty and not self._unwritten:
                    return
            self.hurry.wait(FLUSH_EVERY)
            if not self._flush() and self._stopping:
                tries -= 1

    def _flush(self) -> bool:
        """Stores what there is; False if the database does not take it now."""
        with self._changed:
            taken = list(self._dirty)
            self._dirty.clear()
            chunks = self._unwritten or [chunk for key in taken for chunk in self._chunks(key)]
            if self._unwritten:
                self._dirty.update(taken)
            self._unwritten = chunks
        if not chunks:
            self._clock.pause(_PAUSE)  # of an attempt that logs a lot, the rest waits
        try:
            for start in range(0, len(chunks), 100):
                self._store.logs.write(chunks[start : start + 100])
            for key, before in list(self._trims.items()):
                self._store.logs.trim(Log(ObjectId(key[0]), key[1]), before)
                del self._trims[key]
        except StoreError as error:
            logger.info("logs of jobs not stored yet", extra={"reason": str(error)[:200]})
            if not is_transient(error):
                self._unwritten = []  # they never will be: this user may not, or a document is refused
                self._trims.clear()
                self._release(taken)
            self._clock.pause(FLUSH_EVERY)
            return False
        with self._changed:
            self._unwritten = []
            self._release(taken)
            self._changed.notify_all()
        return True

    def _chunks(self, key: Key) -> list[Document]:
        tail = self._tails[key]
        chunks = tail.chunks(self._clock.monotonic(), self._read_until, everything=key in self._complete)
        if chunks and chunks[0]["n"] == 0:
            chunks = [*self._references(key), *chunks]
        if (before := tail.to_trim()) is not None:
            self._trims[key] = before
        if tail.unsaved_size:
            self._dirty.add(key)
        return chunks

    def _references(self, key: Key) -> list[Document]:
        """Returns, for the log of a batch, the documents that say which jobs share it."""
        batch = self._in_flight.batches.get(key[0])
        if batch is None and key in self._awaited:
            batch = self._awaited[key].batch
        if batch is None or batch.key != key:
            return []
        shared = Log(batch.id, key[1])
        return [reference(Log(one.fence.job_id, one.fence.attempt), shared) for one in batch.attempts]

    def _release(self, keys: Iterable[Key]) -> None:
        """Forgets the logs that are complete and stored."""
        for key in [key for key in keys if key in self._tails]:
            if key in self._complete and not self._tails[key].unsaved_size:
                self._complete.discard(key)
                self._dirty.discard(key)
                del self._tails[key]
                self._note_done(key)
