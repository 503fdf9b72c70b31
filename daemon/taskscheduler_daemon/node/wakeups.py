"""WakeupListener: follows the wake-up messages; looks for added jobs and cancels stopped ones."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.control.keys import read_group_list
from taskscheduler.model.control.urgency import read_urgent
from taskscheduler.model.document import COMMITTED, COMMITTED_MANY
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.cancel import end_orphan
from taskscheduler.store import Store
from taskscheduler.store.change_events import is_setting, message_pipeline
from taskscheduler.store.change_feed import GAP, ChangeFeed
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.maintenance.control_watch import ControlWatch
from taskscheduler_daemon.node.maintenance.gatekeeper import Gatekeeper
from taskscheduler_daemon.node.maintenance.planner import Planner
from taskscheduler_daemon.node.maintenance.promoter import Promoter
from taskscheduler_daemon.node.urgent_listener import UrgentListener
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)

_REMEMBERED = 100

_PAUSE = 0.5  #: seconds after an unexpected failure

_CHECK_IDLE = 0.1  #: seconds after which a busy node asks itself whether it still is


class DueWork(NamedTuple):
    """What looks now and then, and sooner after a message."""

    promoter: Promoter
    planner: Planner
    gatekeeper: Gatekeeper
    controls: ControlWatch


class AnnouncedJobs:
    """The jobs that this node knows before their message comes. Safe to use from many threads."""

    def __init__(self) -> None:
        self._ids: deque[ObjectId] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()

    def note(self, ids: Sequence[ObjectId]) -> None:
        """Notes that a message about these jobs will follow."""
        with self._lock:
            self._ids += ids

    def take(self, ids: Sequence[ObjectId]) -> bool:
        """Returns whether all of these jobs are known; the next message about them says something new."""
        with self._lock:
            known = set(ids) <= set(self._ids)
            for one in set(ids).intersection(self._ids):
                self._ids.remove(one)
            return known


class WakeupListener:
    """Follows the messages that adding and cancelling leave in the queue, unless the node looks for jobs anyway."""

    def __init__(
        self,
        store: Store,
        search: Search,
        claimer: Claimer,
        due: DueWork,
        dispatcher: Dispatcher,
        threads: SessionThreads,
    ) -> None:
        names = store.options.job_store, store.options.job_queue
        self._feed = ChangeFeed(store.streams.for_few(), message_pipeline(*names))
        self._store = store
        self._search = search
        self._idle = search.idle
        self._claimer = claimer
        self._due = due
        self._dispatcher = dispatcher
        self._threads = threads
        self._announced = AnnouncedJobs()
        self._urgent = UrgentListener(store, claimer.urgent, threads)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Opens the stream, so that nothing added from now on is missed, then follows it. Raises StoreError."""
        self._feed.open()
        self._store.wakeups.tell_at_once(self)
        self._urgent.start()
        self._thread = self._threads.start("follow", self._loop)

    def stop(self) -> None:
        """Closes the stream and ends the thread."""
        self._store.wakeups.tell_at_once(None)
        self._stopped.set()
        self._idle.set()
        self._feed.close()
        self._urgent.stop()
        join(self._thread)

    def jobs_announced(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool) -> None:
        """Has jobs claimed that this node itself announces; their message says nothing new. Called from any thread."""
        self._announced.note(ids)
        self._claimer.hint(ids, queues, forced, later=False)

    def _loop(self) -> None:
        while not self._stopped.is_set():
            if not self._idle.is_set():
                self._urgent.listen(True)  # first, so that it misses hardly any
                self._feed.rest()
                self._due.controls.follows(False)
                self._idle.wait(_CHECK_IDLE)
                self._search.check_pace()
                continue
            self._urgent.listen(False)
            try:
                event = self._feed.next()
                self._due.controls.follows(self._feed.is_following)
                self._handle(event)
            except StoreError as error:
                logger.warning("messages not followed", extra={"reason": str(error)[:200]})
            except Exception:  # what stands in a message must not stop the jobs that run
                logger.exception("message not understood")
                self._stopped.wait(_PAUSE)

    def _handle(self, event: Any) -> None:
        if event is GAP:
            self.gap()
        elif isinstance(event, dict) and is_setting(event):
            self._due.controls.look_soon()
        elif isinstance(event, dict):
            self.received(event.get("fullDocument") or {})

    def gap(self) -> None:
        """Looks for everything: messages may have been missed."""
        self._claimer.look_everywhere()
        self._due.promoter.look_soon()
        self._due.planner.look_soon()
        self._due.gatekeeper.look_soon()
        self._due.controls.look_soon()

    def received(self, message: dict[str, Any]) -> None:
        """Handles a message, or a job whose insertion wakes the nodes."""
        if "stop" in message:
            self._dispatcher.cancel(_ids(message["stop"]))
        elif message.get("schedules"):
            self._due.planner.look_soon()
        elif message.get("rates"):
            self._due.gatekeeper.look_soon()
        elif "groups" in message:
            self._claimer.groups_wait(_names(message["groups"]))
        elif message.get("wake"):
            self._inserted(message)
        else:
            self._added(message)

    def _inserted(self, job: dict[str, Any]) -> None:
        ids, options = _ids([job.get("_id")]), job.get("options")
        forced = "async" in job or not isinstance(options, dict) or bool(options.get("force_spawn"))
        later = job.get("status") == Status.POSTPONED
        if job.get("wake") in (COMMITTED, COMMITTED_MANY):
            self._committed(ids, job)
            later |= job.get("wake") == COMMITTED_MANY  # so that it is not claimed alone, but all are searched for
        else:
            self._announced.note(ids)
        self._look(ids, _names([job.get("queue")]), forced, later)

    def _committed(self, ids: Sequence[ObjectId], job: dict[str, Any]) -> None:
        """Does for a job that was added in a transaction what its adder does for others once they are stored."""
        blocked = job.get("blocked")
        if read_group_list(blocked) is not None:
            self._claimer.groups_wait(_names([job.get("queue")]))
        elif isinstance(blocked, str):
            self._due.gatekeeper.admit_soon(blocked)
        for parent in _ids([job.get("parent")]):
            for job_id in ids:
                end_orphan(self._store, job_id, parent)

    def _added(self, message: dict[str, Any]) -> None:
        if "urgent" in message and self._search.more:  # else a hint has them claimed
            self._claimer.urgent.heard(read_urgent(message["urgent"]))
        ids = _ids(message.get("jobs"))
        later = bool(message.get("later", True))
        rearmed = bool(message.get("rearmed", later))  # nodes that do not know `rearmed` set `later` instead
        if self._announced.take(ids) and not rearmed:
            return
        self._look(ids, _names(message.get("queues")), bool(message.get("forced", True)), later)

    def _look(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool, later: bool) -> None:
        self._claimer.claim_added(ids, queues, forced, later)
        if later:
            self._due.promoter.look_soon()
            self._due.gatekeeper.look_soon()


def _ids(value: Any) -> list[ObjectId]:
    """Returns the ids in a part of a message, which anybody may have written."""
    return [one for one in value if isinstance(one, ObjectId)] if isinstance(value, list) else []


def _names(value: Any) -> list[str]:
    return [one for one in value if type(one) is str] if isinstance(value, list) else []
