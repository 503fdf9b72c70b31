"""The scheduler that is used where none is named: `resize.add("a.png")`."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.errors import InvalidOptionError
from taskscheduler.scheduler import Scheduler


class _Default:
    """One scheduler for a process, made on first use, and its twins for event loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scheduler: Scheduler | None = None
        self._twins: dict[asyncio.AbstractEventLoop, tuple[Scheduler, AsyncScheduler]] = {}

    def forget_threads(self) -> None:
        """Forgets, in a forked child, that a thread of its parent may have been in here."""
        self._lock = threading.Lock()

    def get(self) -> Scheduler:
        if (running := _OF_THE_JOB.get()) is not None:
            return running
        with self._lock:
            if self._scheduler is None:
                self._scheduler = Scheduler()
            return self._scheduler

    def set(self, scheduler: Scheduler | None) -> Scheduler | None:
        """Returns the one before."""
        with self._lock:
            before = self._scheduler
            self._scheduler, self._twins = scheduler, {}
        return before

    def twin(self) -> AsyncScheduler:
        """Returns the one for the running event loop."""
        loop, scheduler = asyncio.get_running_loop(), self.get()
        with self._lock:
            known = self._twins.get(loop)
            if known is None or known[0] is not scheduler:
                self._twins = {one: twin for one, twin in self._twins.items() if not one.is_closed()}
                known = self._twins[loop] = (scheduler, AsyncScheduler.of(scheduler))
            return known[1]


_DEFAULT = _Default()

os.register_at_fork(after_in_child=_DEFAULT.forget_threads)

#: that of the job that runs in this context, where jobs of several schedulers may run in one process
_OF_THE_JOB: ContextVar[Scheduler | None] = ContextVar("taskscheduler_default", default=None)


@contextmanager
def lent(scheduler: Scheduler) -> Iterator[None]:
    """Makes this the default scheduler of what runs in this context."""
    token = _OF_THE_JOB.set(scheduler)
    try:
        yield
    finally:
        _OF_THE_JOB.reset(token)


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


@contextmanager
def as_default(scheduler: Scheduler) -> Iterator[None]:
    """Makes this the default scheduler of the process for a while; afterwards it is the one before."""
    before = _DEFAULT.set(scheduler)
    try:
        yield
    finally:
        _DEFAULT.set(before)


def default_async_scheduler() -> AsyncScheduler:
    """Returns the twin of the default scheduler for the running event loop."""
    return _DEFAULT.twin()
