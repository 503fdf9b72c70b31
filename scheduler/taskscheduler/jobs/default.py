"""The scheduler that is used where none is named: `resize.add("a.png")`."""

from __future__ import annotations

import asyncio
import threading
from weakref import WeakKeyDictionary

from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.errors import InvalidOptionError
from taskscheduler.scheduler import Scheduler


class _Default:
    """One scheduler for a process, made on first use, and its twins for event loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scheduler: Scheduler | None = None
        self._twins: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncScheduler] = WeakKeyDictionary()

    def get(self) -> Scheduler:
        with self._lock:
            if self._scheduler is None:
                self._scheduler = Scheduler()
            return self._scheduler

    def set(self, scheduler: Scheduler | None) -> None:
        with self._lock:
            self._scheduler, self._twins = scheduler, WeakKeyDictionary()

    def twin(self) -> AsyncScheduler:
        """Returns the one for the running event loop."""
        loop, scheduler = asyncio.get_running_loop(), self.get()
        with self._lock:
            twin = self._twins.get(loop)
            if twin is None:
                twin = self._twins[loop] = AsyncScheduler.of(scheduler)
            return twin


_DEFAULT = _Default()


def default_scheduler() -> Scheduler:
    """Returns the scheduler of this process that `add` of a `@job` function uses; made on first use.

    In a job it is the scheduler of the worker, else the one given to `set_default_scheduler`, else `Scheduler()`:
    that of the environment variable TASKSCHEDULER_URI, or of the embedded server.
    """
    return _DEFAULT.get()


def set_default_scheduler(scheduler: Scheduler | None) -> None:
    """Makes this the default scheduler of the process; None: one is made on the next use.

    It stays yours to close; set None then. InvalidOptionError for anything but a Scheduler.
    """
    if scheduler is not None and not isinstance(scheduler, Scheduler):
        raise InvalidOptionError(f"the default scheduler must be a Scheduler, not {type(scheduler).__name__}")
    _DEFAULT.set(scheduler)


def default_async_scheduler() -> AsyncScheduler:
    """Returns the twin of the default scheduler for the running event loop."""
    return _DEFAULT.twin()
