"""Reads the logs of attempts, in pages and as they grow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from taskscheduler.clock import NEVER, Clock
from taskscheduler.errors import JobNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.logs.lines import Cursor, LogLine, end_of, gap_before, lines_of, start_of
from taskscheduler.model.logs.tail import Log
from taskscheduler.store import Store

_NEWEST = 2**31 - 1  #: a number that no chunk has

LOOK_EVERY = 0.25  #: seconds between two looks for more lines

_AT_ONCE = 1000  #: lines

_LAST_WORDS = 1.0  #: seconds for which a cancelled job may still say something


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines of the log of a job, in the order that was asked for."""

    lines: list[LogLine]
    next: Cursor | None  #: the place of the last one, if others may follow


def log_page(
    store: Store, job_id: Any, attempt: int | None, cursor: Cursor | None, limit: int, newest_first: bool = False
) -> LogPage:
    """Returns the lines after a cursor, or before it with `newest_first`; from the start or the end if there is none.

    Without an attempt, those of all of them.
    """
    found = _newest_first if newest_first else _oldest_first
    lines = list(islice(found(store, job_id, attempt, cursor), limit + 1))
    more = len(lines) > limit
    return LogPage(lines[:limit], lines[limit - 1].cursor if more else None)


def _oldest_first(store: Store, job_id: Any, attempt: int | None, cursor: Cursor | None) -> Iterator[LogLine]:
    for number in _attempts(store, job_id, attempt):
        if cursor is None or number > cursor.attempt:
            yield from _from_chunk(store, Log(job_id, number), None)
        elif number == cursor.attempt:
            yield from _from_chunk(store, Log(job_id, number), cursor)


def _from_chunk(store: Store, log: Log, cursor: Cursor | None) -> Iterator[LogLine]:
    end = 0 if cursor is None else None
    for chunk in store.logs.chunks(store.logs.owner(log), 0 if cursor is None else cursor.chunk):
        if cursor is not None and chunk.get("n") == cursor.chunk:
            yield from (line for line in lines_of(chunk, log.attempt) if line.cursor > cursor)
        else:
            follows = cursor is not None and chunk.get("n") == cursor.chunk + 1
            yield from _with_gap(chunk, log, start_of(chunk) if follows else end)
        end, cursor = end_of(chunk), None


def _with_gap(chunk: Document, log: Log, end: int | None) -> Iterator[LogLine]:
    gap = gap_before(chunk, log.attempt, end)
    if gap is not None:
        yield gap
    yield from lines_of(chunk, log.attempt)


def _newest_first(store: Store, job_id: Any, attempt: int | None, cursor: Cursor | None) -> Iterator[LogLine]:
    for number in reversed(_attempts(store, job_id, attempt)):
        if cursor is None or number <= cursor.attempt:
            at = cursor if cursor is not None and number == cursor.attempt else None
            yield from _back_from(store, Log(job_id, number), at)


def _back_from(store: Store, log: Log, cursor: Cursor | None) -> Iterator[LogLine]:
    until, former = _NEWEST if cursor is None else cursor.chunk, Document()
    for chunk in store.logs.chunks(store.logs.owner(log), 0, until):
        if former:
            yield from _reversed(former, log, end_of(chunk), cursor)
        former = chunk
    if former:
        yield from _reversed(former, log, 0, cursor)


def _reversed(chunk: Document, log: Log, end: int, cursor: Cursor | None) -> Iterator[LogLine]:
    lines = reversed(list(_with_gap(chunk, log, end)))
    yield from (line for line in lines if cursor is None or line.cursor < cursor)


def _attempts(store: Store, job_id: Any, attempt: int | None) -> list[int]:
    return store.logs.attempts(job_id) if attempt is None else [attempt]


class LogReading:
    """Reads the log of a job part by part; with `follow`, until the job has ended and all of it was read."""

    def __init__(self, store: Store, job_id: Any, attempt: int | None, follow: bool, clock: Clock) -> None:
        """Raises JobNotFoundError."""
        self._store = store
        self._job_id = job_id
        self._attempt = attempt
        self._follow = follow
        self._clock = clock
        self._cursor: Cursor | None = None
        self._until = NEVER  #: when a job that was cancelled has nothing more to say
        self.is_over = False
        if not store.jobs.statuses([job_id]):
            raise JobNotFoundError(job_id)

    def more(self) -> list[LogLine]:
        """Returns some lines, or none if there are no more yet."""
        is_last = not self._follow or self._has_ended()  # looked at before the lines: they are stored before the end
        page = log_page(self._store, self._job_id, self._attempt, self._cursor, _AT_ONCE)
        self._cursor = page.lines[-1].cursor if page.lines else self._cursor
        self.is_over = is_last and page.next is None
        return page.lines

    def _has_ended(self) -> bool:
        status = self._store.jobs.statuses([self._job_id]).get(self._job_id)
        if status is Status.CANCELED:
            self._until = min(self._until, self._clock.monotonic() + _LAST_WORDS)
            return self._clock.monotonic() >= self._until
        return status is None or status.is_final


def sweep_logs(store: Store) -> None:
    """Deletes the logs of all jobs that are gone. Takes as long as there are logs."""
    after = None
    while True:
        _, after = store.logs.sweep(after)
        if after is None:
            return
