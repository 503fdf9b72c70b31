"""Decides what becomes of a schedule whose time has come: which runs are added, skipped, put off, cancelled.

A time counts as missed once it is `ON_TIME` old: no node was there. Of missed times `missed` keeps the latest, all or
none; none is older than `missed_window`. Then `overlap` decides, time by time, with the run before:

| overlap        | the run before has ended | it has not ended                                |
|----------------|--------------------------|-------------------------------------------------|
| `skip`         | the run is added         | the run is skipped, and counted                 |
| `buffer_one`   | the run is added         | one run is put off, further ones are skipped    |
| `buffer_all`   | the run is added         | the run is put off, behind those before it      |
| `cancel_other` | the run is added         | the run before is cancelled, this one is added  |
| `allow`        | the run is added         | the run is added                                |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.calendars.timetable import Timetable

ON_TIME = timedelta(seconds=10)
MOST_RUNS = 1000  #: added or put off in one step; the rest follows in the next one
_SPANS = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1))
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """What is known about a schedule when its time has come."""

    options: ScheduleOptions
    timetable: Timetable
    next_at: datetime | None  #: the time that comes next; None if there is none any more
    buffered: tuple[datetime, ...] = ()  #: times whose runs were put off
    runs_made: int = 0
    run_is_live: bool = False  #: whether the run before has not ended
    on_time: timedelta = ON_TIME  #: no older time counts as missed


@dataclass(slots=True)
class Step:
    """What is written, and done, for a schedule whose time has come."""

    next_at: datetime | None
    runs: list[datetime] = field(default_factory=list)  #: times whose runs are added, in order
    buffered: list[datetime] = field(default_factory=list)
    skipped: list[datetime] = field(default_factory=list)  #: times that have no run, or whose run was replaced
    cancels: bool = False  #: whether the run before is cancelled


def next_step(state: ScheduleState, now: datetime) -> Step:
    """Returns what becomes of a schedule at `now`."""
    times, next_at = _due(state, now)
    step = Step(next_at, buffered=list(state.buffered))
    left = state.options.runs - state.runs_made if state.options.runs is not None else MOST_RUNS
    if step.buffered and not state.run_is_live and left > 0:
        step.runs.append(step.buffered.pop(0))
    for time in times:
        if len(step.runs) + len(step.buffered) >= left:
            step.next_at = None if state.options.runs is not None else time
            break
        _take(step, time, state)
    if state.options.runs is not None and len(step.runs) + len(step.buffered) >= left:
        step.next_at = None
    return step


def _take(step: Step, time: datetime, state: ScheduleState) -> None:
    is_live = state.run_is_live or bool(step.runs)
    overlap = state.options.overlap
    if overlap == "allow" or (not is_live and not step.buffered):
        step.runs.append(time)
    elif overlap == "cancel_other":
        step.cancels, step.skipped = state.run_is_live, step.skipped + step.runs
        step.runs = [time]
    elif overlap == "buffer_all" or (overlap == "buffer_one" and not step.buffered):
        step.buffered.append(time)
    else:
        step.skipped.append(time)


def _due(state: ScheduleState, now: datetime) -> tuple[list[datetime], datetime | None]:
    """Returns the times up to `now` whose turn it is, and the first time that comes after them."""
    if state.next_at is None or state.next_at > now:
        return [], state.next_at
    on_time = now - state.on_time
    fresh = list(islice(_times(state, max(state.next_at, on_time), now), MOST_RUNS))
    if state.options.missed == "all" and state.next_at < on_time:
        oldest = max(state.next_at, now - timedelta(seconds=state.options.missed_window))
        due = list(islice(_times(state, oldest, now), MOST_RUNS))
        return due, state.timetable.after(due[-1] if due else now)
    missed = [] if fresh or state.options.missed == "skip" else _latest(state, now)
    return missed + fresh, state.timetable.after(now)


def _times(state: ScheduleState, first: datetime, until: datetime) -> Iterator[datetime]:
    """Yields the times from `first` on, including it."""
    return state.timetable.times(first - _INSTANT, until)


def _latest(state: ScheduleState, now: datetime) -> list[datetime]:
    """Returns the latest time up to `now`, if it is not too old; looks first where there are few."""
    assert state.next_at is not None
    oldest = max(state.next_at, now - timedelta(seconds=state.options.missed_window))
    for span in (*_SPANS, now - oldest):
        found = list(_times(state, max(oldest, now - span), now))
        if found:
            return found[-1:]
    return []
