"""Schedules: the methods of `scheduler.schedules`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskscheduler.calendars.schedule import Schedule
from taskscheduler.facade.actions import action
from taskscheduler.facade.methods import Methods
from taskscheduler.model.document import Document
from taskscheduler.process import Process
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.transactions.steps import AnySession, Steps


class Schedules(Methods):
    """Jobs that run at the times of a timetable: exactly one run for each time in the whole cluster."""

    @action("schedule.add", target="name", facts=("job",))
    def add(
        self, /, name: str, job: Any, data: Any = None, *, session: AnySession | None = None, **given: Any
    ) -> Schedule:
        """Makes a job run by a timetable, from now on and until it is deleted; the same name again changes it.

        When it runs: `cron` (an expression or a list), `every` (seconds or a timedelta), `rrule` (RFC 5545); `timezone`
        ("UTC"), `seconds` (whether cron has six fields, the seconds first), `exclude` (cron expressions or dates),
        `start`, `end`, `runs`, `jitter`. `overlap` says what to do if the run before has not ended: "skip",
        "buffer_one", "buffer_all", "cancel_other", "allow". `missed` says which runs to make up for that were missed
        while no node was there: "latest", "all", "skip", none older than `missed_window` (86,400 s). All job options
        but `at`, `interval`, `id`, `parent`, `dedupe`, `unique_for` and `debounce` are those of its runs; the `jitter`
        of their retries stands on the class. Raises InvalidOptionError and as add_job does. `session`: as for add_job.
        """
        if session is not None:
            return self._core.in_session.carry_out(session, lambda work: work.schedules.add(name, job, data, given))
        with translated():
            return self._core.schedules.add(name, job, data, given)

    def get(self, name: str) -> Schedule:
        """Returns the schedule of this name; ScheduleNotFoundError if there is none."""
        with translated():
            return self._core.schedules.get(name)

    def all(self) -> list[Schedule]:
        """Returns all schedules by their names."""
        with translated():
            return self._core.schedules.all()

    @action("schedule.pause", target="name")
    def pause(self, name: str, reason: str | None = None) -> Schedule:
        """Keeps a schedule from adding runs until it is resumed; those that were added go on. ScheduleNotFoundError."""
        with translated():
            return self._core.schedules.pause(name, reason)

    @action("schedule.resume", target="name")
    def resume(self, name: str) -> Schedule:
        """Lets a schedule run again, from its next time on. ScheduleNotFoundError."""
        with translated():
            return self._core.schedules.resume(name)

    @action("schedule.delete", target="name")
    def delete(self, name: str) -> None:
        """Deletes a schedule; runs that were added stay. ScheduleNotFoundError."""
        with translated():
            self._core.schedules.delete(name)

    @action("schedule.run", target="name")
    def run(self, name: str, *, session: AnySession | None = None) -> Process:
        """Adds one run now, beside the plan: whatever `overlap` says, and also if it is paused.

        `session`: as for add_job. ScheduleNotFoundError.
        """
        if session is not None:
            return self._core.in_session.carry_out(session, lambda work: self._one(work.schedules.run(name)))
        with translated():
            return self._core.announcer.announce_added(self._core.processes.process(self._core.schedules.run(name)))

    @action("schedule.backfill", target="name", facts=("start", "end"))
    def backfill(
        self, name: str, start: datetime, end: datetime, *, session: AnySession | None = None
    ) -> list[Process]:
        """Adds the runs for all times from `start` to `end`, both included, for which there is none yet.

        Times to come are left to the plan. `session`: as for add_job. InvalidOptionError for more than 10,000 times.
        ScheduleNotFoundError.
        """
        if session is not None:
            return self._core.in_session.carry_out(
                session, lambda work: self._many(work.schedules.backfill(name, start, end))
            )
        with translated():
            return [self._core.processes.process(run) for run in self._core.schedules.backfill(name, start, end)]

    def _one(self, steps: Steps[Document]) -> Steps[Process]:
        return self._core.processes.process((yield from steps))

    def _many(self, steps: Steps[list[Document]]) -> Steps[list[Process]]:
        return [self._core.processes.process(run) for run in (yield from steps)]
