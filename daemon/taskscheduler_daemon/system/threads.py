"""Starts the threads of a session. A crash of one is logged and ends the session."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class SessionThreads:
    """Starts threads whose unexpected exceptions are logged and reported to `on_crash`."""

    def __init__(self, on_crash: Callable[[], None]) -> None:
        self._on_crash = on_crash

    def start(self, name: str, target: Callable[[], None]) -> threading.Thread:
        """Starts a thread that calls `target`, and returns it."""
        # a daemon: if the session cannot end it, it must not keep the process either
        thread = threading.Thread(target=self._guarded, args=(name, target), name=f"taskscheduler-{name}", daemon=True)
        thread.start()
        return thread

    def _guarded(self, name: str, target: Callable[[], None]) -> None:
        try:
            target()
        except Exception:
            logger.exception("a thread of the node ended by an exception", extra={"duty": name})
            self._on_crash()


def join(thread: threading.Thread | None) -> None:
    """Waits for the end of a thread, if it was started."""
    if thread is not None:
        thread.join()
