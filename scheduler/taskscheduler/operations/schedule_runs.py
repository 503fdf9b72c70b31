"""Adds the runs of schedules whose time has come. Any process may do it at any time; no two add the same run twice."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from bson.errors import BSONError

from taskscheduler.calendars.agenda import ON_TIME, ScheduleState, Step, next_step
from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.calendars.schedule import fault_of_schedule
from taskscheduler.calendars.timetable import Timetable, delay
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import lease_of
from taskscheduler.model.schedules import scheduled_run, scheduled_run_id
from taskscheduler.operations.cancel import cancel
from taskscheduler.operations.wake import wake_nodes
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, brief, is_refusal

logger = logging.getLogger(__name__)

_UNSETTLED = timedelta(seconds=2)  #: after which others do what a node has decided and not done
_BUFFER_LOOK = timedelta(seconds=0.25)  #: between two looks whether a run that was put off may begin
_AT_PRESENT = timedelta()
_RECENT = 20  #: skipped times that a schedule remembers

#: errors that a value in a document may cause, which no check has found
_CAUSED_BY_A_VALUE = (ArithmeticError, AttributeError, BSONError, LookupError, RecursionError, TypeError, ValueError)


class _Due:
    """A schedule whose time has come."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.name = str(document["_id"])
        self.options = ScheduleOptions.read(document["times"])
        self.timetable: Timetable = self.options.timetable(self.name, document["created"])

    def state(self, live: Mapping[ObjectId, Status], on_time: timedelta) -> ScheduleState:
        last = live.get(self.document.get("last_id", ObjectId()))
        return ScheduleState(
            self.options,
            self.timetable,
            self.document.get("next_at"),
            tuple(self.document.get("buffered", ())),
            self.document.get("runs_made", 0),
            last is not None and not last.is_final,
            on_time,
        )


def add_due_runs(store: Store, ahead: timedelta = _AT_PRESENT, on_time: timedelta = ON_TIME) -> int:
    """Adds the runs whose time has come, for some schedules at most; returns how many schedules it looked at.

    `ahead`: as if it were so much later, and `on_time`: as if a node had been there for so long; for tests.
    """
    now = store.clock.now() + ahead
    found = store.schedules.due(now)
    _advance(store, [document for document in found if _is_readable(store, document)], now, ahead, on_time)
    return len(found)


def _advance(store: Store, schedules: Sequence[Document], now: datetime, ahead: timedelta, on_time: timedelta) -> None:
    """Takes the next step of these schedules; sets one aside, alone, if that cannot be done with what stands in it."""
    try:
        _take_steps(store, schedules, now, ahead, on_time)
    except (StoreError, *_CAUSED_BY_A_VALUE) as error:
        if not schedules or (isinstance(error, StoreError) and not is_refusal(error)):
            raise
        if len(schedules) == 1:
            _set_aside(store, schedules[0], f"no run can be added: {type(error).__name__}: {brief(error)}")
            return
        half = len(schedules) // 2
        _advance(store, schedules[:half], now, ahead, on_time)
        _advance(store, schedules[half:], now, ahead, on_time)


def _take_steps(
    store: Store, schedules: Sequence[Document], now: datetime, ahead: timedelta, on_time: timedelta
) -> None:
    _finish(store, [document for document in schedules if "adding" in document], now, ahead)
    due = [_Due(document) for document in schedules if "adding" not in document]
    asleep, awake = _sorted(store, due)
    store.schedules.decide([(one.document, _asleep(one)) for one in asleep], ObjectId())
    last = [one.document["last_id"] for one in awake if "last_id" in one.document]
    live = store.jobs.statuses(last) if last else {}
    changes = [(one.document, _decision(one, next_step(one.state(live, on_time), now), now)) for one in awake]
    _finish(store, store.schedules.decide(changes, ObjectId()), now, ahead)


def _is_readable(store: Store, document: Document) -> bool:
    fault = fault_of_schedule(document)
    if fault is not None:
        _set_aside(store, document, fault)
    return fault is None


def _set_aside(store: Store, document: Document, reason: str) -> None:
    """Looks no more at a schedule that cannot be read, until it is defined anew."""
    logger.warning("schedule set aside", extra={"schedule": str(document["_id"]), "reason": reason[:200]})
    store.schedules.set_aside(document["_id"])


def _sorted(store: Store, due: Sequence[_Due]) -> tuple[list[_Due], list[_Due]]:
    """Splits schedules into those that do not run, as they are paused or undeclared, and the others."""
    declared = any(one.document.get("owner") == "code" for one in due)
    alive = _live_nodes(store) if declared else set()
    asleep = [
        one
        for one in due
        if one.document.get("paused")
        or (one.document.get("owner") == "code" and alive.isdisjoint(one.document.get("boots", ())))
    ]
    return asleep, [one for one in due if one not in asleep]


def _live_nodes(store: Store) -> set[Any]:
    return {node["_id"] for node in store.nodes.all() if "lost" not in node and float(node["silent"]) <= lease_of(node)}


def _asleep(one: _Due) -> dict[str, Any]:
    """Returns what is written for a schedule that does not run: nobody looks at it until it is resumed or declared."""
    values: dict[str, Any] = {"due_at": None}
    return values if one.document.get("paused") else {**values, "undeclared": True}


def _decision(one: _Due, step: Step, now: datetime) -> dict[str, Any]:
    document = one.document
    runs = [{"time": time, "at": max(now, time + delay(one.options.jitter, one.name, time))} for time in step.runs]
    values: dict[str, Any] = {
        "next_at": step.next_at,
        "due_at": now + _UNSETTLED,
        "adding": runs,
        "buffered": step.buffered or None,
    }
    if step.skipped:
        values["skipped"] = document.get("skipped", 0) + len(step.skipped)
        values["skipped_times"] = [*document.get("skipped_times", ()), *step.skipped][-_RECENT:]
    if step.cancels:
        values["cancelling"] = document.get("last_id")
    if step.runs:
        ids = [scheduled_run_id(one.name, time) for time in step.runs]
        values |= {"last_at": step.runs[-1], "last_id": ids[-1]}
        values["runs_made"] = document.get("runs_made", 0) + len(ids)
    return values


def _finish(store: Store, decided: Sequence[Document], now: datetime, ahead: timedelta) -> None:
    """Does what was decided, by whomever; repeating it changes nothing."""
    if not decided:
        return
    for document in decided:
        if "cancelling" in document:
            cancel(store, document["cancelling"])
    runs = [
        scheduled_run(document["_id"], document["job"], run["time"], run["at"] - ahead, now - ahead)
        for document in decided
        for run in document.get("adding", ())
    ]
    if runs:
        store.inserts.insert_missing(runs)
        wake_nodes(store, runs)
    store.schedules.settle([(document, look_at(document, now)) for document in decided])


def look_at(document: Mapping[str, Any], now: datetime) -> datetime | None:
    """Returns when to look at a schedule again; None if it does not run any more."""
    times = [document["next_at"]] if document.get("next_at") is not None else []
    if document.get("buffered"):
        times.append(now + _BUFFER_LOOK)
    return min(times, default=None)
