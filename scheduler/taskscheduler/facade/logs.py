"""Logs: the methods of `scheduler.logs`."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from bson import ObjectId

from taskscheduler.errors import JobNotFoundError
from taskscheduler.facade.core import Core
from taskscheduler.facade.methods import Methods
from taskscheduler.model.checks import integer
from taskscheduler.model.logs.lines import Cursor, LogLine
from taskscheduler.operations.logs.reading import LOOK_EVERY, LogPage, LogReading, log_page
from taskscheduler.store.driver_errors import translated
from taskscheduler.validation import job_id as checked_id

_MOST = 10_000  #: lines of a page


class Logs(Methods):
    """What jobs have logged and printed, attempt by attempt."""

    def lines(self, job_id: ObjectId | str, attempt: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Returns the lines of a job, the oldest first: of one attempt or, one after the other, of all.

        With `follow`, blocks for more until the job has ended. Before an end is stored, so are its lines, if the
        database takes them within a second. InvalidOptionError, JobNotFoundError.
        """
        return _lines(open_log(self._core, job_id, attempt, follow))

    def page(
        self,
        job_id: ObjectId | str,
        attempt: int | None = None,
        cursor: Cursor | str | None = None,
        limit: int = 1000,
        newest_first: bool = False,
    ) -> LogPage:
        """Returns up to 10,000 lines after `cursor`, or before it with `newest_first`; without one, the first of them.

        `page.next` is the cursor of the next page, None if this is the last one. InvalidOptionError, JobNotFoundError.
        """
        wanted, number = checked_id(job_id), None if attempt is None else integer("attempt", attempt, least=1)
        most = integer("limit", limit, least=1, most=_MOST)
        place = Cursor.of(cursor) if isinstance(cursor, str) else cursor
        with translated():
            store = self._core.store
            if not store.jobs.statuses([wanted]):
                raise JobNotFoundError(wanted)
            return log_page(store, wanted, number, place, most, newest_first)

    def attempts(self, job_id: ObjectId | str) -> list[int]:
        """Returns the numbers of the attempts that have logged or printed something, in their order."""
        wanted = checked_id(job_id)
        with translated():
            return self._core.store.logs.attempts(wanted)


def open_log(core: Core, job_id: ObjectId | str, attempt: int | None, follow: bool) -> LogReading:
    """Returns what reads these lines part by part. InvalidOptionError, JobNotFoundError."""
    wanted, number = checked_id(job_id), None if attempt is None else integer("attempt", attempt, least=1)
    with translated():
        return LogReading(core.store, wanted, number, follow, core.clock)


def _lines(reading: LogReading) -> Iterator[LogLine]:
    pause = threading.Event()
    while not reading.is_over:
        with translated():
            found = reading.more()
        yield from found
        if not found and not reading.is_over:
            pause.wait(LOOK_EVERY)
