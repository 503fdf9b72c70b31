"""Tells nodes of single jobs while they are being stored, so that they are claimed as early as possible.

A change stream shows a job once a majority has it, and its claim waits for a majority, too. So whoever adds a single
job sends its message at the same time, and not afterwards. Such a message has the field `ts`, the time of the server.
Nodes follow these messages with a tailable cursor, which shows them at once. Nobody relies on it: a message may be
lost, come before its job, or be about one that is never stored. Nodes see the insert of the job, too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from bson import ObjectId, Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import CursorType
from pymongo.cursor import Cursor
from pymongo.database import Database
from pymongo.errors import PyMongoError

from taskscheduler.model.document import Document
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.client import UNCONFIRMED
from taskscheduler.store.driver_errors import brief
from taskscheduler.store.lenient_reads import decoded, undecoded

logger = logging.getLogger(__name__)

EARLY = "ts"  #: the field of a message that was sent before its job was stored

_AWAIT_MS = 5_000  #: for which the server waits for a message before it answers that there is none

_PAUSE = 1.0  #: seconds after a fault, or while the queue is empty: the server follows none that is

Message = tuple[list[ObjectId], list[str]]  #: jobs, and the queues in which they will wait

_NOTHING: Message = ([], [])


class ComingJobs:
    """The messages about single jobs that are being stored."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._database = database
        self._queue = undecoded(database.get_collection(options.job_queue))
        self._unconfirmed = database.get_collection(options.job_queue, write_concern=UNCONFIRMED)
        self._cursor: Cursor[RawBSONDocument] | None = None
        self._stopped = threading.Event()

    def tell(self, jobs: Sequence[tuple[ObjectId, str]]) -> None:
        """Tells nodes of these jobs, each with its queue. A failure costs the jobs some milliseconds."""
        ids, queues = [one for one, _ in jobs], sorted({queue for _, queue in jobs})
        try:
            # the server fills in its time, by which nodes pass over what is older than their look
            self._unconfirmed.insert_one({**about(ids, queues), EARLY: Timestamp(0, 0)})
        except (PyMongoError, RuntimeError) as error:  # RuntimeError: the interpreter is ending
            logger.debug("coming jobs not announced", extra={"reason": brief(error)})

    def next(self) -> Message:
        """Waits up to 5 s for the next message; nothing in it if there was none. Raises nothing."""
        try:
            cursor = self._cursor = self._cursor or self._open()
            message = decoded(next(cursor, None))
            lives = cursor.alive
        except PyMongoError as error:
            logger.debug("messages about coming jobs not read", extra={"reason": brief(error)})
            message, lives = None, False
        if not lives:
            self.rest()
            self._stopped.wait(_PAUSE)
        return _NOTHING if message is None else _read(message)

    def _open(self) -> Cursor[RawBSONDocument]:
        """Opens a cursor on what is written from now on."""
        now: Timestamp = self._database.command("ping")["operationTime"]
        query: Document = {EARLY: {"$gt": now}}
        return self._queue.find(query, cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(_AWAIT_MS)

    def rest(self) -> None:
        """Closes the cursor; the next look opens one."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            try:
                cursor.close()
            except PyMongoError:
                pass  # the server drops its cursor by itself

    def close(self) -> None:
        """Has `next`, in another thread, return soon."""
        self._stopped.set()
        self.tell([])  # the server does not break off a wait for messages, even if its cursor is closed


def about(ids: Sequence[ObjectId], queues: Sequence[str], **flags: bool) -> Document:
    """Returns a message about added jobs, see `wakeups.py`."""
    return {
        "_id": ObjectId(),
        "jobs": list(ids),
        "queues": list(queues),
        **{name: flags.get(name, False) for name in ("later", "forced", "rearmed")},
    }


def _read(message: Document) -> Message:
    """Reads a message, which anybody may have written."""
    ids, queues = message.get("jobs"), message.get("queues")
    found = [one for one in ids if isinstance(one, ObjectId)] if isinstance(ids, list) else []
    return found, [one for one in queues if type(one) is str] if isinstance(queues, list) else []
