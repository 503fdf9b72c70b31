"""Declares the schedules that stand in the code of a node, and takes the declarations of a node back.

A schedule of the code runs as long as a live node declares it. If nodes declare it differently, as in a rolling deploy,
the one that has read the code last wins: an old node that goes on, or that comes back after it was taken for lost, does
not change back what a new one has declared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.calendars.schedule import fault_of_schedule
from taskscheduler.declarations.schedules import DeclaredSchedule
from taskscheduler.model.document import Document, new_document
from taskscheduler.model.options import JobOptions
from taskscheduler.model.schedules import job_template, redefined_wholly
from taskscheduler.operations.control.naming import put_under_controls
from taskscheduler.operations.schedule_runs import look_at
from taskscheduler.store import Store

logger = logging.getLogger(__name__)

_DEFAULTS = JobOptions()  #: some options are not stored as long as they hold these
_AHEAD = timedelta(minutes=1)  #: of now; a declaration from a later time was made by a clock that was wrong
_TRIES = 100  #: to change a schedule that others change as well


def declare(store: Store, boot: ObjectId, declared: Iterable[DeclaredSchedule], read_at: datetime) -> None:
    """Notes that the node started as `boot` declares these schedules; it has read the code at `read_at`.

    That is a date by the server's clock, since the clocks of hosts differ by more than a deploy takes.
    """
    now, defaults, any_declared = store.clock.now(), store.options.job_defaults(), False
    for one in declared:
        any_declared = True
        fresh: Document = {"job": _template(one, defaults, now), "times": dict(one.times), "owner": "code"}
        fresh["code_read_at"] = read_at
        if "sequence" in fresh["job"]:
            store.sequences.ensure()
        next_at = ScheduleOptions.read(one.times).timetable(one.name, now).after(now)
        created = {"_id": one.name, **fresh, "boots": [boot], "created": now, "next_at": next_at, "due_at": next_at}
        if not store.schedules.insert({key: value for key, value in created.items() if value is not None}):
            _join(store, one.name, boot, fresh, next_at, now)
    if any_declared:
        store.wakeups.schedules_changed()


def _template(one: DeclaredSchedule, defaults: JobOptions, now: datetime) -> Document:
    options = JobOptions.of(one.options, defaults)
    document = new_document(one.job, one.data, options, now)
    document["hook"] = one.hook
    if one.is_async and not options.force_spawn:
        document["async"] = True
    if one.batch is not None and not options.force_spawn:
        document["batch"] = one.batch.stored()
    put_under_controls(document, options, one.solo)
    return job_template(document)


def _join(
    store: Store, name: str, boot: ObjectId, fresh: Mapping[str, Any], next_at: datetime | None, now: datetime
) -> None:
    for _ in range(_TRIES):
        known = store.schedules.get(name)
        if known is None:
            return  # deleted by a person in this moment; the next node that starts declares it again
        if known.get("owner") != "code":
            logger.warning("schedule not declared: the database has one of this name", extra={"schedule": name})
            return
        is_odd = fault_of_schedule(known) is not None
        change = _mended if is_odd else joined
        if store.schedules.change(known, change(known, boot, fresh, next_at, now)) is not None:
            return
    logger.warning("schedule not declared: others change it all the time", extra={"schedule": name})


def _mended(
    known: Mapping[str, Any], boot: ObjectId, fresh: Mapping[str, Any], next_at: datetime | None, now: datetime
) -> dict[str, Any]:
    anew = {**fresh, "boots": [boot], "created": now, "next_at": next_at, "due_at": next_at}
    return redefined_wholly(known, anew)


def joined(
    known: Mapping[str, Any], boot: ObjectId, fresh: Mapping[str, Any], next_at: datetime | None, now: datetime
) -> dict[str, Any]:
    """Returns the fields of a schedule that one more node declares; only the newest code defines it."""
    boots = _others(known, boot)
    values: dict[str, Any] = {"boots": [*boots, boot], "undeclared": None}
    is_newest = _is_newest(known.get("code_read_at"), fresh["code_read_at"], now)
    changes_times = is_newest and known.get("times") != fresh["times"]
    if is_newest:
        values |= fresh
    if changes_times or known.get("undeclared"):
        values |= {"next_at": next_at, "buffered": None}
    if known.get("paused"):
        return values
    return {**values, "due_at": look_at({**known, **values}, now)}


def _is_newest(known: Any, read_at: datetime, now: datetime) -> bool:
    """Whether code that was read at a time overrules what is declared."""
    return not isinstance(known, datetime) or known <= read_at or known > now + _AHEAD


def _others(known: Mapping[str, Any], boot: ObjectId) -> list[ObjectId]:
    boots = known.get("boots")
    return [one for one in boots if isinstance(one, ObjectId) and one != boot] if isinstance(boots, list) else []


def difference(declared: Iterable[DeclaredSchedule], stored: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Returns what declaring these schedules would do: `add`, `change`, `keep`, `remove` or `taken`, and the name.

    `remove` are those of the code that are not among them; `taken` names belong to schedules of the database.
    """
    known = {str(one["_id"]): one for one in stored}
    found = {one.name: _change(one, known.get(one.name)) for one in declared}
    gone = [name for name, one in known.items() if one.get("owner") == "code" and name not in found]
    return [*((change, name) for name, change in sorted(found.items())), *(("remove", name) for name in sorted(gone))]


def _change(declared: DeclaredSchedule, known: Mapping[str, Any] | None) -> str:
    if known is None:
        return "add"
    if known.get("owner") != "code":
        return "taken"
    job = known.get("job")
    if not isinstance(job, Mapping) or not isinstance(job.get("options", {}), Mapping):
        return "change"
    same = known.get("times") == declared.times and (job.get("class"), job.get("data")) == (declared.job, declared.data)
    wanted = {name: list(value) if isinstance(value, tuple) else value for name, value in declared.options.items()}
    stored = {**job.get("options", {}), **{name: job[name] for name in ("queue", "priority", "tags") if name in job}}
    as_declared = all(stored.get(name, getattr(_DEFAULTS, name)) == value for name, value in wanted.items())
    return "keep" if same and as_declared else "change"


def withdraw(store: Store, boot: ObjectId) -> None:
    """Takes the declarations of a node back that ends; a schedule that nobody declares any more stops."""
    now = store.clock.now()
    for known in store.schedules.declared_by(boot):
        for _ in range(_TRIES):
            boots = _others(known, boot)
            gone: dict[str, Any] = {} if boots else {"undeclared": True, "due_at": None}
            if "adding" in known:
                gone |= {"due_at": now}  # what was decided is done first
            if store.schedules.change(known, {"boots": boots, **gone}) is not None:
                break
            again = store.schedules.get(known["_id"])
            if again is None:
                break
            known = again
