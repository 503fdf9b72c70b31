"""Lets time pass for what a database holds: jobs, schedules, rates, windows and pauses."""

from __future__ import annotations

from datetime import timedelta

from taskscheduler.calendars.agenda import ON_TIME
from taskscheduler.model.checks import seconds as checked_seconds
from taskscheduler.operations.schedule_runs import add_due_runs
from taskscheduler.scheduler import Scheduler

_STEPS = 100  #: in which time is let pass at most, beside the times of schedules


class PassingTime:
    """The time that a test has let pass beyond that of the server, which stays as it is."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.passed = timedelta()  #: in all, for schedules

    def advance(self, seconds: float | timedelta) -> None:
        """Makes everything that waits for a time happen so much earlier. InvalidOptionError for a negative time."""
        passed = timedelta(seconds=checked_seconds("seconds", seconds))
        store = self._scheduler.store
        for part in (store.jobs, store.windows, store.rates, store.controls):
            part.bring_forward(passed.total_seconds())
        store.admission.rate_lists.look_at_all()
        self._advance_schedules(passed)

    def _advance_schedules(self, passed: timedelta) -> None:
        """Adds the runs of schedules as a node does that is there all the time, one time after the other."""
        store, until = self._scheduler.store, self.passed + passed
        while (due := store.schedules.next_due()) is not None and due <= store.clock.now() + until:
            self.passed = min(until, max(self.passed + passed / _STEPS, due - store.clock.now()))
            add_due_runs(store, self.passed, max(passed, ON_TIME))
        self.passed = until
