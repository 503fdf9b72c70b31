"""ControlWatch: the thread that reads what people have set for the whole cluster."""

from __future__ import annotations

import logging
import threading

from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.dispatch.stacks import StackQuestions
from taskscheduler_daemon.node.maintenance.duty import CHECK_WHEN_BUSY
from taskscheduler_daemon.node.maintenance.gatekeeper import Gatekeeper
from taskscheduler_daemon.node.state.controls import ControlView
from taskscheduler_daemon.system.threads import SessionThreads, join

logger = logging.getLogger(__name__)

_EVERY = 1.0  #: seconds between two looks while nobody follows the changes

_FOLLOWED = 30.0  #: seconds while somebody does


class ControlWatch:
    """Reads the settings as soon as one has changed; once a second while the changes cannot be followed.

    It has a thread of its own since a pause is obeyed within a second, whatever the maintainer is doing.
    """

    def __init__(
        self,
        view: ControlView,
        claimer: Claimer,
        gatekeeper: Gatekeeper,
        search: Search,
        stacks: StackQuestions,
        threads: SessionThreads,
    ) -> None:
        self._view = view
        self._claimer = claimer
        self._gatekeeper = gatekeeper
        self._idle = search.idle
        self._stacks = stacks
        self._threads = threads
        self._wake = threading.Event()
        self._stopped = False
        self._is_followed = False
        self._is_blind = False  #: whether the last look failed
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Reads the settings, so that nothing is claimed against them, then watches them. Raises StoreError."""
        self._view.refresh()
        self._thread = self._threads.start("controls", self._loop)

    def look_soon(self) -> None:
        """Looks at once. Safe to use from any thread."""
        self._wake.set()

    def follows(self, is_followed: bool) -> None:
        """Notes whether `look_soon` is called when a setting changes. Safe to use from any thread."""
        was, self._is_followed = self._is_followed, is_followed
        if was and not is_followed:
            self._wake.set()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped = True
        self._wake.set()
        join(self._thread)

    def _loop(self) -> None:
        while True:
            self._wake.wait(self._pause())
            self._wake.clear()
            if self._stopped:
                return
            self._look()

    def _pause(self) -> float:
        if not self._idle.is_set():
            return CHECK_WHEN_BUSY
        return _FOLLOWED if self._is_followed else _EVERY

    def _look(self) -> None:
        try:
            if self._view.refresh():
                self._claimer.look_everywhere()  # what was held back may go on
                self._gatekeeper.limits_changed()
            self._stacks.asked(self._view.controls.questions)
            self._is_blind = False
        except StoreError as error:
            if not self._is_blind:  # the last known settings hold until the database is back
                logger.warning("settings of the cluster not read", extra={"reason": str(error)[:200]})
            self._is_blind = True
        except Exception:  # what somebody has stored there must not stop the jobs that run
            logger.exception("settings of the cluster not read")
            self._is_blind = True
