"""A thread of the node: follows the queue of messages, as long as there is anything in them for this node.

The server looks at every write of everybody for each stream that waits. A node that has more work than it can do learns
nothing from messages, so it lets go of the stream until it runs out of work, and then looks everywhere once. Measured:
while a backlog is drained, a waiting stream doubles what the server has to do for a job.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from pymongo.errors import PyMongoError

from taskscheduler.store import Store
from taskscheduler.store.feed import GAP, Feed, message_pipeline
from taskscheduler_daemon.duty import Crashed, duty

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
        self._feed = Feed(store.database, message_pipeline(*names))
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
            except PyMongoError as error:
                logger.warning("messages not followed", extra={"reason": str(error)[:200]})
                continue
            if event is GAP:
                self._missed()
            elif isinstance(event, dict):
                self._heard(event.get("fullDocument") or {})
