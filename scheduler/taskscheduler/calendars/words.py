"""Says when a schedule runs, in words."""

from __future__ import annotations

from datetime import datetime

from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.calendars.timetable import Timetable
from taskscheduler.calendars.zones import on_the_wall, zone


def in_words(options: ScheduleOptions, timetable: Timetable) -> str:
    """Returns the times of a schedule, their zone and their bounds as a sentence without a full stop.

    Such as `At 02:30 on Monday through Friday, Europe/Zurich, except on 2027-12-25, at most 10 runs`.
    """
    has_zone = options.cron or options.rrule or options.timezone != "UTC"
    parts = (
        timetable.in_words(),
        options.timezone if has_zone else "",
        timetable.exclusions.in_words(),
        f"from {_wall(options.start, options)} on" if options.start else "",
        f"until {_wall(options.end, options)}" if options.end else "",
        f"at most {options.runs} run{'' if options.runs == 1 else 's'}" if options.runs else "",
        f"each up to {options.jitter:g} seconds later" if options.jitter else "",
    )
    return ", ".join(part for part in parts if part)


def _wall(moment: datetime, options: ScheduleOptions) -> str:
    return f"{on_the_wall(moment, zone(options.timezone)):%Y-%m-%d %H:%M}"
