"""Turns schedules and their runs into short plain values for the templates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlencode

from taskscheduler.calendars.schedule import Schedule
from taskscheduler.calendars.timetable import changes_clocks
from taskscheduler.calendars.zones import zone
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.lenient import Unreadable
from taskscheduler.model.sound import is_text
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import run_time
from taskscheduler_daemon.presentation.kinds import chosen
from taskscheduler_daemon.presentation.schedule import Mark, marks, state_of, times_of, wall, words_of
from taskscheduler_daemon.presentation.text import iso, local, plural
from taskscheduler_daemon.web.pages.schedules.actions import offered
from taskscheduler_daemon.web.pages.truncate import line, shown
from taskscheduler_daemon.web.pages.view_models import Row, state_view

NEXT = 5  #: times to come that are shown

LATEST = 20  #: runs and skipped times that are shown

_LATE = 10  #: seconds after its time from which a run that nobody has added is called late

_LONGEST_LINK = 4000  #: characters; servers refuse much longer addresses

_SIGNS = {"active": "●", "paused": "❚❚", "undeclared": "◌", "over": "■", "unreadable": "✗"}

_SKIPPED = {"name": "skipped", "sign": "↷"}


def key_of(schedule: Schedule) -> str:
    """Returns what names a schedule in an address; empty if it does not fit into one.

    Somebody else may have stored one whose name is no text; it is named by its `id`, as jobs are.
    """
    name = schedule.to_dict()["_id"]
    key = {"name": name} if is_text(name) and not isinstance(name, Unreadable) else {"id": id_text(name)}
    encoded = urlencode(key, errors="replace")
    return encoded if len(encoded) <= _LONGEST_LINK else ""


def schedule_row(schedule: Schedule, runs: Sequence[Process], now: datetime) -> Row:
    """Returns a schedule in a list, with its next times and its latest runs, the oldest first."""
    state, paused_at = state_of(schedule), _paused_at(schedule)
    return {
        "key": key_of(schedule),
        "name": line(schedule.name, 200) or "(empty name)",
        "job": line(schedule.job, 80),
        "words": line(words_of(schedule), 300),
        "cron": line(", ".join(schedule.cron or ()), 120),
        "owner": line(schedule.owner, 20),
        "state": {"name": state, "sign": _SIGNS[state]},
        "reason": line(schedule.fault or schedule.reason or "", 600),
        "since": brief(max(0.0, (now - paused_at).total_seconds())) if paused_at else "",
        "late": _late(schedule, now),
        "next": [] if schedule.fault else _next(schedule, now),
        "marks": [_mark(mark, schedule, now) for mark in marks(runs, schedule.skipped_times, LATEST)],
        "counts": _counts(schedule),
        "actions": offered(schedule),
    }


def schedule_page(schedule: Schedule, runs: Sequence[Process], now: datetime) -> Row:
    """Returns everything about one schedule."""
    return {
        **schedule_row(schedule, runs, now),
        "overlap": schedule.options.overlap,
        "facts": [(name, line(value, 500)) for name, value in _facts(schedule) if value],
        "history": urlencode({"schedule": schedule.name}, errors="replace"),
        "data": shown(schedule.data),
        "document": shown(schedule.to_dict()) if schedule.fault else None,
    }


def _paused_at(schedule: Schedule) -> datetime | None:
    return schedule.paused_at if schedule.paused and schedule.fault is None else None


def _late(schedule: Schedule, now: datetime) -> str:
    """Returns for how long a run is due that nobody has added, as no node is there; empty if none is."""
    due = schedule.next_at
    late = (now - due).total_seconds() if due is not None and not schedule.fault else 0.0
    return brief(late) if late > _LATE else ""


def _next(schedule: Schedule, now: datetime) -> list[Row]:
    where = zone(schedule.timezone)
    return [
        {
            "at": wall(time, schedule.timezone),
            "iso": iso(time),
            "in": brief((time - now).total_seconds()),
            "note": "the clocks change on this day" if changes_clocks(time, where) else "",
        }
        for time in schedule.next_times(NEXT)
    ]


def _mark(mark: Mark, schedule: Schedule, now: datetime) -> Row:
    time = wall(mark.time, schedule.timezone)
    if mark.run is None:
        return {"id": "", "status": _SKIPPED, "time": time, "run": "", "text": f"skipped, {time}"}
    status, lasted = state_view(mark.run), run_time(mark.run, now)
    text = f"{status.get('text') or status['name']}, {time}" + (f", {lasted}" if lasted else "")
    return {"id": mark.run.id_text, "status": status, "time": time, "run": lasted, "text": text}


def _counts(schedule: Schedule) -> str:
    """Returns how many runs were added, skipped and put off, in words."""
    counts = [f"{plural(schedule.runs_made, 'run')} added" if schedule.runs_made else "no run of the plan yet"]
    counts += [f"{schedule.skipped} skipped"] if schedule.skipped else []
    counts += [f"{len(schedule.buffered)} put off"] if schedule.buffered else []
    return ", ".join(counts)


def _facts(schedule: Schedule) -> list[tuple[str, str]]:
    options, run = schedule.options, schedule.run_options
    lists = {name: ", ".join(map(str, run[name])) for name in ("tags", "limits") if isinstance(run.get(name), list)}
    made_up = "" if options.missed == "skip" else f", none older than {brief(options.missed_window)}"
    return [
        ("Job", schedule.job),
        ("Times", times_of(schedule)),
        ("Owner", schedule.owner),
        ("Overlap", options.overlap),
        ("Missed", options.missed + made_up),
        ("Runs", _counts(schedule)),
        ("Last time", "" if schedule.last_at is None else wall(schedule.last_at, schedule.timezone)),
        ("Paused", local(_paused_at(schedule))),
        ("Queue", str(run.get("queue") or "")),
        ("Tags", lists.get("tags", "")),
        ("Limits", lists.get("limits", "")),
        ("Group", str(run.get("group") or "")),
        ("Priority", str(run.get("priority") or "")),
        ("Options", ", ".join(f"{name} {value}" for name, value in chosen(run, {"limits"}).items())),
    ]
