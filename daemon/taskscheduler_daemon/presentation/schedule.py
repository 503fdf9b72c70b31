"""How a schedule looks: its times in words, its state, its latest runs, and as a record for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from taskscheduler.calendars.schedule import Schedule
from taskscheduler.calendars.timetable import changes_clocks
from taskscheduler.calendars.zones import on_the_wall, zone
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.durations import brief


def state_of(schedule: Schedule) -> str:
    """Returns one word: `active`, `paused`, `undeclared`, `over`, or `unreadable` if that keeps it from running."""
    if schedule.fault is not None:
        return "unreadable"
    if schedule.paused:
        return "paused"
    if schedule.undeclared:
        return "undeclared"
    return "active" if schedule.next_at is not None else "over"


def times_of(schedule: Schedule) -> str:
    """Returns when it runs, as it was given."""
    parts = list(schedule.cron or ())
    if schedule.every is not None:
        parts.append(f"every {brief(schedule.every)}")
    if schedule.options.rrule is not None:
        parts.append(schedule.options.rrule)
    where = "" if schedule.timezone == "UTC" else f" ({schedule.timezone})"
    return ", ".join(parts) + where


def words_of(schedule: Schedule) -> str:
    """Returns when it runs, in words; its times as they were given if those cannot be read."""
    return schedule.in_words() or times_of(schedule)


def wall(moment: datetime, timezone: str) -> str:
    """Returns a moment for people as the clocks of a time zone show it, with the day of the week."""
    shown = on_the_wall(moment, zone(timezone))
    return f"{shown:%a %Y-%m-%d %H:%M}{f':{shown:%S}' if shown.second else ''} {shown:%Z}"


def local(moment: datetime | None, timezone: str) -> str:
    """Returns a moment as the clocks of a time zone show it, with its offset; empty for None."""
    return "" if moment is None else on_the_wall(moment, zone(timezone)).isoformat(" ", timespec="seconds")


def next_lines(schedule: Schedule, count: int) -> list[str]:
    """Returns the next times as its clocks show them, with a note on days on which those change."""
    where = zone(schedule.timezone)
    return [
        local(time, schedule.timezone) + ("  the clocks change on this day" if changes_clocks(time, where) else "")
        for time in schedule.next_times(count)
    ]


def record(schedule: Schedule) -> dict[str, Any]:
    """Returns a schedule for programs."""
    last = schedule.last_process
    return {
        "name": schedule.name,
        "job": schedule.job,
        "state": state_of(schedule),
        "in_words": schedule.in_words(),
        "times": schedule.options.stored(),
        "owner": schedule.owner,
        "reason": schedule.reason,
        "fault": schedule.fault,
        "next_at": schedule.next_at,
        "last_at": schedule.last_at,
        "last_id": None if last is None else last.id,
        "last_state": None if last is None else last.status.label,
        "runs_made": schedule.runs_made,
        "skipped": schedule.skipped,
    }


class Mark(NamedTuple):
    """A time of a schedule that has come: its run, or None if it was skipped."""

    time: datetime
    run: Process | None


def marks(runs: Sequence[Process], skipped: Sequence[datetime], count: int) -> list[Mark]:
    """Returns the latest runs and skipped times in one order, the oldest first; a run that was added later counts."""
    dated = [(run.scheduled_at or run.created, run) for run in runs]
    found = [Mark(time, run) for time, run in dated if isinstance(time, datetime)]
    added = {mark.time for mark in found}
    found += [Mark(time, None) for time in skipped if time not in added]
    return sorted(found, key=lambda mark: mark.time)[-count:]
