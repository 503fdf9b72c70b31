"""Sends the messages that wake nodes, through a capped collection, and reads those about urgent jobs.

A lost message costs time and never a job.

A message: `{_id, jobs: [ids], queues: [names], later: bool, forced: bool, rearmed: bool}` for added jobs,
`{_id, stop: [ids]}` for cancelled ones, `{_id, schedules: true}` after a schedule was changed, `{_id, controls: true}`
after a setting of the cluster was, `{_id, rates: true}` when jobs begin to wait for a rate, `{_id, groups: [queues]}`
for jobs that wait for the turn of their group. `urgent: [{job, queue, priority}]` names those of the added jobs that
nodes are to claim although they have no room; `coming` is set for those that are being stored, which `jobs` does not
name yet. `rearmed` jobs wait again after an attempt or a pause; `later` is set
for them, too, for nodes of version 0.1.0, which do not know `rearmed`.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

import pymongo
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.cursor import Cursor, CursorType
from pymongo.database import Database
from pymongo.errors import PyMongoError

from taskscheduler.clock import Backoff, Clock
from taskscheduler.model.control.urgency import UrgentJob, urgent_part
from taskscheduler.model.document import Document
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.client import FAREWELL, VISIBLE
from taskscheduler.store.driver_errors import brief
from taskscheduler.store.lenient_reads import each, undecoded

logger = logging.getLogger(__name__)

IDS_PER_MESSAGE = 1000

MessageCursor: TypeAlias = Cursor[RawBSONDocument]

_PAUSE = 0.01  #: seconds between two messages of one process

_URGENT: Document = {"urgent": {"$exists": True}}

_AWAIT_MS = 5000  #: for which the server waits for a message before it answers

_MOST_AT_ONCE = 100_000  #: messages: all of them

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  #: before a new cursor


class Neighbour(Protocol):
    """The node in the process that announces jobs: it need not wait for the message."""

    def jobs_announced(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool) -> None:
        """Learns of jobs that wait now. Called from any thread."""
        ...


class WakeupQueue:
    """Sends messages from a thread of its own: the first one after a pause at once, then at most one every 10 ms.

    What is added in between shares the next message. No caller waits for it, since the jobs are stored already.
    """

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: Clock) -> None:
        self._collection = database.get_collection(options.job_queue, write_concern=VISIBLE)
        self._changed = threading.Condition()
        self._added: list[ObjectId] = []
        self._queues: set[str] = set()
        self._later = self._forced = self._rearmed = False
        self._urgent: dict[ObjectId, UrgentJob] = {}
        self._stops: list[ObjectId] = []
        self._settings: set[str] = set()  #: what else has changed
        self._grouped: set[str] = set()  #: queues with new jobs of groups
        self._neighbour: Neighbour | None = None
        self._clock = clock
        self._asked_at = float("-inf")
        self._closed = threading.Event()
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None

    def tell_at_once(self, neighbour: Neighbour | None) -> None:
        """Has a node of this process learn of jobs before the message is sent; None: there is none any more."""
        self._neighbour = neighbour

    def jobs_added(
        self,
        ids: Sequence[ObjectId],
        queues: Iterable[str],
        later: bool = False,
        forced: bool = False,
        urgent: Sequence[UrgentJob] = (),
        are_seen: bool = False,
    ) -> None:
        """Tells the nodes that these jobs are stored, and whether some wait for their time, or need no slot to start:
        async jobs and those of force_spawn. `urgent` are those among them that may pass others.

        `are_seen`: nodes wake when they see the inserts. A message would come too late, and the claims of these jobs
        would wait until the journal has it. So there is one for urgent jobs alone, which busy nodes are to hear of.
        """
        names = list(queues)
        if self._neighbour is not None and not later:
            self._neighbour.jobs_announced(ids, names, forced)
        if are_seen and not urgent:
            self._asked_at = self._clock.monotonic()
        else:
            self._announce(ids, names, later, forced, urgent)

    def urgent_comes(self, jobs: Sequence[UrgentJob]) -> None:
        """Tells busy nodes of urgent jobs that are about to be stored, so that a claim waits for the same journal.

        `jobs_added` tells all nodes once they are stored.
        """
        with self._changed:
            self._urgent.update({job.job_id: job._replace(coming=True) for job in jobs})
        self._notify()

    def jobs_rearmed(
        self, ids: Sequence[ObjectId], queues: Iterable[str], forced: bool, urgent: Sequence[UrgentJob] = ()
    ) -> None:
        """Tells the nodes that these jobs wait again, also if they know of them already."""
        self._announce(ids, queues, True, forced, urgent, rearmed=True)

    def _announce(
        self,
        ids: Sequence[ObjectId],
        queues: Iterable[str],
        later: bool,
        forced: bool,
        urgent: Sequence[UrgentJob],
        rearmed: bool = False,
    ) -> None:
        with self._changed:
            self._added += ids
            self._urgent.update({job.job_id: job for job in urgent})
            self._queues.update(queues)
            self._later |= later
            self._forced |= forced
            self._rearmed |= rearmed
            self._asked_at = self._clock.monotonic()
        self._notify()

    def groups_wait(self, queues: Iterable[str]) -> None:
        """Tells the nodes that jobs of these queues wait for the turn of their group."""
        with self._changed:
            self._grouped.update(queues)
        self._notify()

    def is_quiet(self) -> bool:
        """Whether no nodes were woken lately, so that the insert of a job may wake them by itself."""
        return self._clock.monotonic() - self._asked_at > _PAUSE

    def jobs_cancelled(self, ids: Sequence[ObjectId]) -> None:
        """Tells the nodes to kill these jobs if they run them."""
        with self._changed:
            self._stops += ids
        self._notify()

    def schedules_changed(self) -> None:
        """Tells the nodes that a schedule may run earlier than they know."""
        self._setting_changed("schedules")

    def rates_awaited(self) -> None:
        """Tells the nodes that jobs wait for a rate, which nobody may have waited for before."""
        self._setting_changed("rates")

    def _setting_changed(self, name: str) -> None:
        with self._changed:
            self._settings.add(name)
        self._notify()

    def close(self) -> None:
        """Sends the messages that are left and ends the thread; waits at most 2 s for each if the server is away."""
        if os.getpid() != self._pid:
            return  # a forked child: thread, client and messages belong to its parent
        self._closed.set()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(FAREWELL)
        with pymongo.timeout(FAREWELL):
            self._send(self._take())

    def _notify(self) -> None:
        if self._closed.is_set():
            self._send(self._take())  # a caller still adds jobs through a store that was replaced
            return
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="taskscheduler-messages", daemon=True)
                self._thread.start()
                atexit.register(_close_at_exit, weakref.ref(self))  # else a daemon thread may end before it has sent
            self._changed.notify()

    def _loop(self) -> None:
        while not self._closed.is_set():
            with self._changed:
                while not (self._is_asked or self._closed.is_set()):
                    self._changed.wait()
                is_more_to_come = bool(self._urgent) and not self._added
            self._send(self._take())
            if not is_more_to_come:
                self._closed.wait(_PAUSE)

    @property
    def _is_asked(self) -> bool:
        return bool(self._added or self._urgent or self._stops or self._settings or self._grouped)

    def _take(self) -> list[Document]:
        with self._changed:
            ids, stops, settings, grouped = self._added, self._stops, self._settings, self._grouped
            flags = {"later": self._later, "forced": self._forced, "rearmed": self._rearmed}
            about = {"queues": sorted(self._queues), **flags}
            parts = list(_parts(ids))
            if self._urgent:
                about["urgent"] = urgent_part(self._urgent.values())
                parts = parts or [[]]
            self._added, self._stops, self._queues, self._settings, self._grouped = [], [], set(), set(), set()
            self._urgent = {}
            self._later = self._forced = self._rearmed = False
        return [
            *({"_id": ObjectId(), name: True} for name in sorted(settings)),
            *([{"_id": ObjectId(), "groups": sorted(grouped)}] if grouped else []),
            *({"_id": ObjectId(), "stop": part} for part in _parts(stops)),
            *({"_id": ObjectId(), "jobs": part, **about} for part in parts),
        ]

    def _send(self, messages: list[Document]) -> None:
        try:
            if len(messages) == 1:
                self._collection.insert_one(messages[0])
            elif messages:
                self._collection.insert_many(messages, ordered=False)
        except (PyMongoError, RuntimeError) as error:  # RuntimeError: the interpreter is ending
            # without the message nodes find the jobs at their next search
            logger.warning("wake-up message not sent", extra={"reason": brief(error)})


class MessageTail:
    """Follows the end of the message queue, which costs a server nothing but the messages themselves.

    A change stream looks at every write of the server instead, and a message is in it once a majority has it. Here a
    message may be read that an election undoes, or be missed: it only saves time.
    """

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._database = database
        self._name = options.job_queue
        self._cursor: MessageCursor | None = None
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)  #: before the next cursor
        self._stopped = threading.Event()

    def next(self) -> list[Document]:
        """Returns the next messages about urgent jobs; none if none came in time, or after a fault."""
        try:
            cursor = self._cursor or self._open()
            found = _batch(cursor)
        except PyMongoError as error:
            if not self._stopped.is_set():
                logger.info("messages about urgent jobs not read", extra={"reason": brief(error)})
            self._pause()
            return []
        if found:
            self._backoff.reset()
        elif not cursor.alive:
            self._pause()  # there is no message at all, or they were overwritten too fast
        return found

    def _open(self) -> MessageCursor:
        """Returns a cursor that is behind all messages."""
        messages = undecoded(self._database[self._name])
        found = messages.find(_URGENT, cursor_type=CursorType.TAILABLE_AWAIT, batch_size=_MOST_AT_ONCE)
        self._cursor = cursor = found.max_await_time_ms(_AWAIT_MS)
        _batch(cursor)  # this one does not wait
        return cursor

    def _pause(self) -> None:
        self.rest()
        self._stopped.wait(self._backoff.next())

    def rest(self) -> None:
        """Closes the cursor; `next` opens another one, behind the messages that come until then."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            try:
                cursor.close()
            except PyMongoError:
                pass  # the server drops it by itself

    def close(self) -> None:
        """Ends a call of `next` in another thread, and lets none wait."""
        self._stopped.set()
        self.rest()


def _batch(cursor: MessageCursor) -> list[Document]:
    """Returns what the server sends next, and does not ask it twice."""
    before = cursor.retrieved
    found = [document for document in [next(cursor, None)] if document is not None]
    while len(found) < cursor.retrieved - before:
        found.append(next(cursor))
    return list(each(found))


def _parts(ids: Sequence[ObjectId]) -> Iterator[list[ObjectId]]:
    return (list(ids[start : start + IDS_PER_MESSAGE]) for start in range(0, len(ids), IDS_PER_MESSAGE))


def _close_at_exit(reference: weakref.ref[WakeupQueue]) -> None:
    queue = reference()
    if queue is not None:
        queue.close()
