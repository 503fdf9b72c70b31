"""The options of a schedule: names, defaults, checks, and the timetable that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from taskscheduler.calendars.cron import CronTimes
from taskscheduler.calendars.exclusions import Exclusions
from taskscheduler.calendars.intervals import IntervalTimes
from taskscheduler.calendars.recurrence import RuleTimes
from taskscheduler.calendars.timetable import Times, Timetable
from taskscheduler.calendars.zones import zone
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import Check, aware, boolean, checked, integer, near_miss, seconds
from taskscheduler.model.options import JOB_CHECKS

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow"]
Missed = Literal["latest", "all", "skip"]

_CRON_FIELDS = 5
_OVERLAPS = ("skip", "buffer_one", "buffer_all", "cancel_other", "allow")
_MISSED = ("latest", "all", "skip")
_YEARS = (1970, 9000)  #: of `start` and `end`; beyond them calculations with dates fail

#: options of a job that make no sense for the runs of a schedule, and why
_REFUSED = {
    "at": "each run has a time of its own; give start",
    "interval": "the timetable says when it runs again; give cron or every",
    "interval_reference": "the timetable says when it runs again; give cron or every",
    "id": "the id of each run is derived from its time",
    "dedupe": "give overlap",
    "unique_for": "each run has a time of its own, for which it is added once; give overlap",
    "unique_key": "each run has a time of its own, for which it is added once; give overlap",
    "debounce": "the timetable says when it runs; give overlap",
    "debounce_max": "the timetable says when it runs; give overlap",
    "ignore_data": "it is for add_job_once",
    "parent": "a schedule has no parent",
}


def _one_of(allowed: tuple[str, ...]) -> Check:
    def check(name: str, value: Any) -> str:
        if value in allowed:
            return str(value)
        raise InvalidOptionError(
            f"option {name} must be one of {', '.join(allowed)}, not {value!r:.60}{near_miss(value, allowed)}"
        )

    return check


def _texts(name: str, value: Any) -> tuple[str, ...]:
    """Returns one expression or several as a tuple; each is checked where it is read."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and value:
        return tuple(value)
    raise InvalidOptionError(
        f"option {name} must be a cron expression such as '30 2 * * *', or a list, not {value!r:.60}"
    )


def _exclude(name: str, value: Any) -> tuple[str, ...]:
    """Returns cron expressions and dates as texts."""
    values = value if isinstance(value, list | tuple | set | frozenset) else [value]
    found = []
    for one in values:
        if isinstance(one, date):
            found.append(one.isoformat() if not isinstance(one, datetime) else one.date().isoformat())
        elif isinstance(one, str):
            found.append(one)
        else:
            raise InvalidOptionError(
                f"option {name} must be cron expressions or dates such as 2027-12-25, not {one!r:.60}"
            )
    return tuple(found)


def moment(name: str, value: Any) -> datetime:
    """Returns an aware datetime in UTC; InvalidOptionError for anything else, and for very early and late ones."""
    if not isinstance(value, datetime):
        raise InvalidOptionError(f"option {name} must be an aware datetime, not {value!r:.60}")
    if not _YEARS[0] <= value.year <= _YEARS[1]:
        raise InvalidOptionError(f"option {name} must be within the years {_YEARS[0]} to {_YEARS[1]}, not {value}")
    return aware(name, value)


def _optional(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


SCHEDULE_CHECKS: Mapping[str, Check] = {
    "cron": _optional(_texts),
    "every": _optional(lambda name, value: seconds(name, value, least=1)),
    "rrule": lambda _name, value: value,  # read by the timetable
    "timezone": lambda _name, value: zone(value).key,
    "seconds": boolean,
    "exclude": _optional(_exclude),
    "start": _optional(moment),
    "end": _optional(moment),
    "runs": _optional(lambda name, value: integer(name, value, least=1)),
    "jitter": seconds,
    "overlap": _one_of(_OVERLAPS),
    "missed": _one_of(_MISSED),
    "missed_window": seconds,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """When a schedule runs, and what becomes of runs that overlap or were missed. Build it with `of`."""

    cron: tuple[str, ...] | None = None  #: one cron expression or several
    every: float | int | None = None  #: seconds between two runs, counted from the epoch plus a stable phase
    rrule: str | None = None  #: a recurrence rule of RFC 5545
    timezone: str = "UTC"  #: an IANA name
    seconds: bool = False  #: whether a cron expression may have six fields, the seconds first
    exclude: tuple[str, ...] | None = None  #: cron expressions, or dates, on which it does not run
    start: datetime | None = None  #: the first moment
    end: datetime | None = None  #: the last moment
    runs: int | None = None  #: how many runs at most; manual and skipped ones do not count
    jitter: float | int = 0  #: up to so many seconds later than its time
    overlap: Overlap = "skip"  #: what to do if the run before has not ended
    missed: Missed = "latest"  #: which runs to make up for that were missed while no node was there
    missed_window: float | int = 86_400  #: seconds; older ones are never made up for

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any], now: datetime) -> ScheduleOptions:
        """Validates the options that a caller gave for the schedule `name`; InvalidOptionError if one is wrong."""
        options = cls(**checked(given, SCHEDULE_CHECKS))
        if not (options.cron or options.every or options.rrule):
            raise InvalidOptionError(f"schedule {name!r} has no times: give cron, every or rrule")
        if options.start and options.end and options.start > options.end:
            raise InvalidOptionError("option end must not be before option start")
        if options.timetable(name, now).after(options.start or now) is None and not options.end:
            cause = "option exclude leaves no time" if options.exclude else "option rrule has no time that is to come"
            raise InvalidOptionError(f"{cause} at which the schedule would run")
        return options

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Returns the options that a schedule was stored with; fields that this version does not know are ignored.

        InvalidOptionError if somebody else has stored one that is wrong.
        """
        known = {name: value for name, value in stored.items() if name in SCHEDULE_CHECKS}
        return cls(**checked(known, SCHEDULE_CHECKS))

    def stored(self) -> dict[str, Any]:
        """Returns the options as they are stored, without those that hold their default."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def timetable(self, name: str, since: datetime) -> Timetable:
        """Returns the times of the schedule `name`; a rule without a start counts from the day of `since`."""
        where, sources = zone(self.timezone), list[Times]()
        sources += [CronTimes(one, where, name, seconds=self.seconds) for one in self.cron or ()]
        if self.every is not None:
            sources.append(IntervalTimes(self.every, name))
        if self.rrule is not None:
            midnight = since.astimezone(where).replace(hour=0, minute=0, second=0, microsecond=0)
            sources.append(RuleTimes(self.rrule, where, self.start or midnight))
        dates = frozenset(found for one in self.exclude or () if (found := _date(one)) is not None)
        expressions = [_excluded(one, where, name) for one in self.exclude or () if _date(one) is None]
        return Timetable(tuple(sources), Exclusions(dates, expressions, where), self.start, self.end)


def _excluded(text: str, where: ZoneInfo, name: str) -> CronTimes:
    if len(text.split()) != _CRON_FIELDS and not text.startswith("@"):
        raise InvalidOptionError(
            f"option exclude must be dates such as 2027-12-25 or cron expressions of five fields, not {text!r:.60}"
        )
    try:
        return CronTimes(text, where, name)
    except InvalidOptionError as error:
        raise InvalidOptionError(str(error).replace("option cron", "option exclude", 1)) from None


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits given options into those of the schedule and those of its runs; InvalidOptionError for any other."""
    schedule = {option: value for option, value in given.items() if option in SCHEDULE_CHECKS}
    job = {option: value for option, value in given.items() if option not in SCHEDULE_CHECKS}
    for option in job:
        if option in _REFUSED:
            raise InvalidOptionError(f"option {option} is not for a schedule: {_REFUSED[option]}")
        if option not in JOB_CHECKS:
            known = [*SCHEDULE_CHECKS, *(name for name in JOB_CHECKS if name not in _REFUSED)]
            raise InvalidOptionError(f"invalid option {option} given{near_miss(option, known)}")
    return schedule, job
