"""UrgentListener: hears of urgent jobs while the node does not follow the change stream."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from taskscheduler.model.control.urgency import read_urgent
from taskscheduler.model.document import Document
from taskscheduler.store import Store
from taskscheduler.store.wakeups import MessageTail
from taskscheduler_daemon.node.claiming.urgent import UrgentClaims
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)

_PAUSE = 0.5  #: seconds after an unexpected failure


class UrgentListener:
    """Reads the end of the message queue while the change stream rests. Costs nothing at other times."""

    def __init__(self, store: Store, claims: UrgentClaims, threads: SessionThreads) -> None:
        self._tail = MessageTail(store.streams.for_few(), store.options)
        self._claims = claims
        self._threads = threads
        self._listens = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread, which waits for `listen`."""
        self._thread = self._threads.start("urgent", self._loop)

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        self._listens.set()
        self._tail.close()
        join(self._thread)

    def listen(self, wanted: bool) -> None:
        """Reads messages from now on, or no more: then the thread rests when the call of the server ends."""
        if wanted:
            self._listens.set()
        elif not self._stopped.is_set():
            self._listens.clear()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            if not self._listens.is_set():
                self._tail.rest()
                self._listens.wait()
                continue
            messages = self._tail.next()
            if messages and self._listens.is_set():
                self._hear(messages)
        self._tail.rest()

    def _hear(self, messages: Sequence[Document]) -> None:
        try:
            self._claims.heard([job for message in messages for job in read_urgent(message.get("urgent"))])
        except Exception:  # what stands in a message or a job must not stop the jobs that run
            logger.exception("urgent jobs not claimed")
            self._stopped.wait(_PAUSE)
