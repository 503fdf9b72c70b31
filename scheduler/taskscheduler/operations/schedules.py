"""Adds, changes, pauses and deletes schedules, and adds runs of them beside the plan."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from bson import ObjectId

from taskscheduler.calendars.options import ScheduleOptions, moment, split
from taskscheduler.calendars.schedule import Schedule, fault_of_schedule
from taskscheduler.clock import Clock, Deadline
from taskscheduler.connection import Connection
from taskscheduler.errors import InvalidOptionError, InvalidStateError, ScheduleNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import encoded
from taskscheduler.model.payload import UNENCODABLE
from taskscheduler.model.process_state import ProcessState
from taskscheduler.model.schedules import job_template, redefined_wholly, scheduled_run, scheduled_run_id
from taskscheduler.model.services import service_name
from taskscheduler.model.sound import is_text
from taskscheduler.operations.add import JobAdder
from taskscheduler.operations.schedule_runs import look_at
from taskscheduler.operations.wake import wake_nodes
from taskscheduler.store import Store

_PATIENCE = 10.0  #: seconds for which a change is repeated while others change the same schedule
_PAUSE = 0.02
_INSTANT = timedelta(microseconds=1)
MOST_BACKFILLED = 10_000
_LONGEST_REASON = 500


class ScheduleControl:
    """The schedules of one database."""

    def __init__(self, connection: Connection, adder: JobAdder, clock: Clock) -> None:
        self._connection = connection
        self._adder = adder
        self._clock = clock

    @property
    def _store(self) -> Store:
        return self._connection.store

    def get(self, name: str) -> Schedule:
        """Returns a schedule; ScheduleNotFoundError if there is none of this name."""
        return self.viewed([self._document(name)])[0]

    def all(self) -> list[Schedule]:
        """Returns all schedules by their names."""
        return self.viewed(self._store.schedules.all())

    def add(self, name: str, job: Any, data: Any, given: Mapping[str, Any]) -> Schedule:
        """Adds a schedule that belongs to the database, or changes the one of this name; a paused one stays paused."""
        created = self.new_schedule(name, job, data, given)
        if self._store.schedules.insert(created):
            changed: Document = {**created, "rev": 0}
        else:
            changed = self._changed(name, lambda known: self.redefined(known, created))
        self._store.wakeups.schedules_changed()
        return self.viewed([changed])[0]

    def new_schedule(self, name: str, job: Any, data: Any, given: Mapping[str, Any]) -> Document:
        """Returns the document of a schedule that belongs to the database; nothing is stored."""
        service_name("name", name)
        times, options = split(given)
        template = job_template(self._adder.new(job, data, options).document)
        now = self._store.clock.now()
        chosen = ScheduleOptions.of(name, times, now)
        self._store.on_demand.before([{**template, "schedule": name}])  # as this user may, and nodes may not
        fresh = {"job": template, "times": chosen.stored(), "owner": "database"}
        next_at = chosen.timetable(name, now).after(now)
        created = {"_id": name, **fresh, "created": now, "next_at": next_at, "due_at": next_at}
        return {key: value for key, value in created.items() if value is not None}

    def redefined(self, known: Mapping[str, Any], created: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the fields that a stored schedule gets when it is added anew."""
        whole = {"next_at": None, "due_at": None, **created}  # it may have no time left
        return _redefined(known, {name: created[name] for name in ("job", "times", "owner")}, whole)

    def pause(self, name: str, reason: str | None) -> Schedule:
        """Keeps a schedule from adding runs until it is resumed; runs that were added go on."""
        if reason is not None and not (_is_printable(reason) and len(reason) <= _LONGEST_REASON):
            raise InvalidOptionError(
                f"option reason must be a printable text of at most {_LONGEST_REASON} characters, not {reason!r:.60}"
            )
        now = self._store.clock.now()
        return self.viewed(
            [self._changed(name, lambda _known: {"paused": True, "reason": reason, "paused_at": now, "due_at": now})]
        )[0]

    def resume(self, name: str) -> Schedule:
        """Lets a schedule run again, from its next time on: times that came while it was paused are not made up for."""
        now = self._store.clock.now()

        def resumed(known: Document) -> dict[str, Any]:
            _check(known)
            next_at = ScheduleOptions.read(known["times"]).timetable(name, known["created"]).after(now)
            values = {"paused": None, "reason": None, "paused_at": None, "next_at": next_at}
            return {**values, "due_at": look_at({**known, "next_at": next_at}, now)}

        changed = self._changed(name, resumed)
        self._store.wakeups.schedules_changed()
        return self.viewed([changed])[0]

    def delete(self, name: str) -> None:
        """Deletes a schedule; its runs stay. ScheduleNotFoundError."""
        if not (_may_be_stored(name) and self._store.schedules.delete(name)):
            raise ScheduleNotFoundError(name)

    def run(self, name: str) -> Document:
        """Adds one run now, beside the plan, and returns its document."""
        run = self.manual_run(name, self._readable(name))
        self._store.inserts.insert_missing([run])
        wake_nodes(self._store, [run])
        return run

    def manual_run(self, name: str, known: Mapping[str, Any]) -> Document:
        """Returns a run of a schedule for now; nothing is stored."""
        now = self._store.clock.now()
        return {**scheduled_run(name, known["job"], now, now, now), "_id": ObjectId()}

    def backfill(self, name: str, start: datetime, end: datetime) -> list[Document]:
        """Adds the runs for all times of a period up to now for which there is none; returns their documents."""
        planned = self.planned_runs(name, self._readable(name), start, end)
        stored = set(self._store.inserts.taken_ids(list(planned)))
        runs = [run for key, run in planned.items() if key not in stored]
        self._store.inserts.insert_missing(runs)
        wake_nodes(self._store, runs)
        return runs

    def planned_runs(self, name: str, known: Document, start: datetime, end: datetime) -> dict[ObjectId, Document]:
        """Returns the runs of all times of a period up to now, by their ids; nothing is stored."""
        start, end = moment("start", start), moment("end", end)
        if start > end:
            raise InvalidOptionError("option end must not be before option start")
        now = self._store.clock.now()
        until = min(end, now)
        times = list(islice(Schedule(known, now).timetable().times(start - _INSTANT, until), MOST_BACKFILLED + 1))
        if len(times) > MOST_BACKFILLED:
            raise InvalidOptionError(
                f"from {start} to {end} there are more than {MOST_BACKFILLED} times; choose a part"
            )
        return {scheduled_run_id(name, time): scheduled_run(name, known["job"], time, now, now) for time in times}

    def _document(self, name: str) -> Document:
        found = self._store.schedules.get(name) if _may_be_stored(name) else None
        if found is None:
            raise ScheduleNotFoundError(name)
        return found

    def _readable(self, name: str) -> Document:
        return self.checked(self._document(name))

    def checked(self, known: Document) -> Document:
        """Returns a stored schedule; InvalidStateError if it cannot be read."""
        _check(known)
        return known

    def _changed(self, name: str, change: Callable[[Document], Mapping[str, Any]]) -> Document:
        deadline = Deadline(_PATIENCE, self._clock)
        while True:
            known = self._document(name)
            changed = self._store.schedules.change(known, change(known))
            if changed is not None:
                return changed
            if deadline.passed:
                raise InvalidStateError(f"others changed schedule {name!r} again and again; try again")
            threading.Event().wait(_PAUSE)

    def viewed(self, documents: list[Document]) -> list[Schedule]:
        """Returns what users see of these schedules."""
        last = [_last_id(document) for document in documents]
        known = [one for one in last if one is not None]
        found, now = self._store.jobs.all_of(known) if known else {}, self._store.clock.now()
        return [
            Schedule(one, now, _state(found.get(last_id or ObjectId())))
            for one, last_id in zip(documents, last, strict=True)
        ]


def _is_printable(text: Any) -> bool:
    return is_text(text) and text.isprintable()


def _may_be_stored(name: Any) -> bool:
    """Whether somebody may have stored a schedule of this name, an odd one perhaps: BSON does not hold all texts."""
    try:
        encoded({"_id": name})
    except UNENCODABLE:
        return False
    return True


def _last_id(document: Document) -> ObjectId | None:
    last_id = document.get("last_id")
    return last_id if isinstance(last_id, ObjectId) else None


def _check(document: Document) -> None:
    fault = fault_of_schedule(document)
    if fault is not None:
        raise InvalidStateError(f"schedule {document['_id']!r} cannot be read: {fault}; delete it, or add it anew")


def _state(document: Document | None) -> ProcessState | None:
    return None if document is None else ProcessState(document)


def _redefined(known: Mapping[str, Any], fresh: Mapping[str, Any], created: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a schedule that is defined anew; its plan goes on if its times are the same."""
    if fault_of_schedule(known) is not None:
        return redefined_wholly(known, created)
    values: dict[str, Any] = {**fresh, "undeclared": None, "boots": None, "code_read_at": None}
    if known.get("times") == fresh["times"] and not known.get("undeclared"):
        return values
    next_at = created["next_at"]
    return {**values, "next_at": next_at, "due_at": None if known.get("paused") else next_at, "buffered": None}
