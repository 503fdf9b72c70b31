"""Adds schedules, and runs of them beside the plan, in a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskscheduler.calendars.schedule import Schedule
from taskscheduler.errors import ScheduleNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.operations.schedules import ScheduleControl
from taskscheduler.operations.transactions.adding import wake
from taskscheduler.store import Store
from taskscheduler.store.transactions.jobs import JobSteps
from taskscheduler.store.transactions.preparing import apart
from taskscheduler.store.transactions.schedules import ScheduleSteps
from taskscheduler.store.transactions.steps import Apart, Steps


class TransactionSchedules:
    """The schedules of one database, in transactions. Raises as the methods of `scheduler.schedules` say."""

    def __init__(self, store: Store, control: ScheduleControl) -> None:
        self._store = store
        self._control = control
        self._steps = ScheduleSteps()
        self._jobs = JobSteps(store.options, store.on_demand)

    def add(self, name: str, job: Any, data: Any, given: Mapping[str, Any]) -> Steps[Schedule]:
        """Adds a schedule, or changes the one of this name."""
        created = apart(lambda: self._control.new_schedule(name, job, data, given), "the first schedule")
        self._store.schedules.ensure()
        return self._add(created)

    def _add(self, created: Document) -> Steps[Schedule]:
        known = yield from self._steps.get(created["_id"])
        if known is None:
            stored = yield from self._steps.insert(created)
        else:
            stored = yield from self._steps.change(known, self._control.redefined(known, created))
        found: list[Schedule] = yield Apart(lambda: self._control.viewed([stored]))
        return found[0]

    def run(self, name: str) -> Steps[Document]:
        """Adds one run now, beside the plan."""
        known = yield from self._readable(name)
        run = self._control.manual_run(name, known)
        yield from self._insert([run])
        return run

    def backfill(self, name: str, start: datetime, end: datetime) -> Steps[list[Document]]:
        """Adds the runs for all times of a period up to now for which there is none."""
        known = yield from self._readable(name)
        planned = self._control.planned_runs(name, known, start, end)
        stored = yield from self._jobs.taken_ids(list(planned))
        runs = [run for key, run in planned.items() if key not in set(stored)]
        if runs:
            yield from self._insert(runs)
        return runs

    def _insert(self, runs: list[Document]) -> Steps[None]:
        wake(runs)
        yield from self._jobs.prepare(runs)
        yield from self._jobs.insert_documents(self._store.options.job_store, runs)

    def _readable(self, name: str) -> Steps[Document]:
        found = (yield from self._steps.get(name)) if isinstance(name, str) else None
        if found is None:
            raise ScheduleNotFoundError(name)
        return self._control.checked(found)
