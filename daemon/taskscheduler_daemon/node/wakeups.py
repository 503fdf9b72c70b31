"""WakeupListener: follows the wake-up queue; who is told of added and cancelled jobs."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.store import Store
from taskscheduler.store.change_events import message_pipeline
from taskscheduler.store.change_feed import GAP, ChangeFeed
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.maintenance.maintainer import Caretaker
from taskscheduler_daemon.system.threads import Crashed, duty

_REMEMBER_WOKEN = 100


class News:
    """Tells those whom it concerns."""

    def __init__(self, claimer: Claimer, caretaker: Caretaker, custody: Dispatcher) -> None:
        self._claimer = claimer
        self._caretaker = caretaker
        self._custody = custody
        self._woken_ids: deque[ObjectId] = deque(maxlen=_REMEMBER_WOKEN)  #: jobs whose message is still to come

    def missed(self) -> None:
        """Jobs may have been added or cancelled without our hearing of it."""
        self._claimer.look_everywhere()
        self._caretaker.look_for_due()

    def heard(self, message: dict[str, Any]) -> None:
        """One message, or a job that wakes us itself."""
        if "stop" in message:
            self._custody.cancel(self._caretaker.ended(message["stop"]))
        elif message.get("wake"):
            self._woken(message)
        else:
            self._added(message)

    def _woken(self, job: dict[str, Any]) -> None:
        self._woken_ids.append(job["_id"])
        forced = job["options"]["force_spawn"] or "async" in job
        self._look([job["_id"]], [job["queue"]], forced, job["status"] == Status.POSTPONED)

    def _added(self, message: dict[str, Any]) -> None:
        ids = message.get("jobs", ())
        self._custody.allow_again(ids)
        later = bool(message.get("later", True))
        if not later and set(ids) <= set(self._woken_ids):
            return  # these jobs came before their message; what is re-armed always says `later`
        self._look(ids, message.get("queues", ()), message.get("forced", True), later)

    def _look(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool, later: bool) -> None:
        self._claimer.hint(ids, queues, forced, later)
        if later:
            self._caretaker.look_for_due()


logger = logging.getLogger(__name__)

_LOOK_UP = 1.0  #: seconds after which a busy node asks itself whether it still is


class Follower:
    """Passes messages on to `heard`, and calls `missed` when some may have been missed."""

    def __init__(
        self,
        store: Store,
        idle: threading.Event,
        heard: Callable[[dict[str, Any]], None],
        missed: Callable[[], None],
        crashed: Crashed,
    ) -> None:
        names = store.options.job_store, store.options.job_queue
        self._feed = ChangeFeed(store.database, message_pipeline(*names))
        self._idle = idle
        self._heard = heard
        self._missed = missed
        self._stopped = threading.Event()
        self._thread = duty("follow", self._loop, crashed)

    def start(self) -> None:
        """Open the stream, so that nothing added from now on is missed, then follow it. Raises the driver's errors."""
        self._feed.open()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._idle.set()
        self._feed.close()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            if not self._idle.is_set():
                self._feed.rest()
                self._idle.wait(_LOOK_UP)
                continue
            try:
                event = self._feed.next()
            except StoreError as error:
                logger.warning("messages not followed", extra={"reason": str(error)[:200]})
                continue
            if event is GAP:
                self._missed()
            elif isinstance(event, dict):
                self._heard(event.get("fullDocument") or {})
