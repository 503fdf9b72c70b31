"""EarlyListener: has jobs claimed of which this node hears while they are being stored."""

from __future__ import annotations

import threading

from taskscheduler.store import Store
from taskscheduler.store.messages.coming_jobs import ComingJobs
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.system.threads import SessionThreads, join

_CHECK_IDLE = 0.1  #: seconds after which a busy node asks itself whether it still is


class EarlyListener:
    """Follows the messages about coming jobs, unless the node looks for jobs anyway. None of them is needed."""

    def __init__(self, store: Store, search: Search, claimer: Claimer, threads: SessionThreads) -> None:
        self._coming = ComingJobs(store.streams.for_few(), store.options)
        self._idle = search.idle
        self._claimer = claimer
        self._threads = threads
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = self._threads.start("early", self._loop)

    def stop(self) -> None:
        """Returns when nothing is claimed early any more."""
        self._stopped.set()
        self._idle.set()
        self._coming.close()
        join(self._thread)

    def _loop(self) -> None:
        while not self._stopped.is_set():
            if not self._idle.is_set():
                self._coming.rest()
                self._idle.wait(_CHECK_IDLE)
                continue
            ids, queues = self._coming.next()
            if ids:
                self._claimer.hint(ids, queues, forced=False, later=False)
