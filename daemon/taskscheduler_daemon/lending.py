"""Lends the jobs of a worker its scheduler; the database is opened when the first job asks."""

from __future__ import annotations

from typing import Any, TypeAlias

from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.jobs.default import default_scheduler, set_default_scheduler
from taskscheduler.scheduler import Scheduler

Lendable: TypeAlias = Scheduler  #: what a factory may give a worker to lend


class SchedulerLender:
    """Keeps the scheduler of one worker, and its asyncio twin."""

    def __init__(self, scheduler: Lendable | None = None) -> None:
        self._scheduler = scheduler
        self._async_scheduler: AsyncScheduler | None = None
        if scheduler is not None:
            set_default_scheduler(scheduler)  # jobs that add jobs use it, too

    def scheduler(self) -> Scheduler:
        """Returns the scheduler that the factory gave, else a default one, created on first use."""
        if self._scheduler is None:
            self._scheduler = default_scheduler()
        return self._scheduler

    def given_option(self, name: str) -> Any:
        """Returns a scheduler option that was set on the given scheduler; None if it was not. Connects nothing."""
        options = None if self._scheduler is None else self._scheduler.options
        return getattr(options, name) if options is not None and name in options.given else None

    def async_scheduler(self) -> AsyncScheduler:
        """Returns the asyncio twin, on the connection of the scheduler; created on first use."""
        if self._async_scheduler is None:
            self._async_scheduler = AsyncScheduler.of(self.scheduler())
        return self._async_scheduler

    def close(self) -> None:
        """Closes the scheduler, if there is one."""
        if self._scheduler is not None:
            self._scheduler.close()


class Borrower:
    """Has the scheduler of the worker at hand."""

    def __init__(self, lender: SchedulerLender) -> None:
        self._lender = lender

    def scheduler(self) -> Scheduler:
        """Returns the scheduler of this worker; it connects on first use."""
        return self._lender.scheduler()


class AsyncBorrower(Borrower):
    """Has both schedulers of the worker at hand."""

    def async_scheduler(self) -> AsyncScheduler:
        """Returns the asyncio twin of the worker's scheduler."""
        return self._lender.async_scheduler()
