"""Time zones by their IANA names, and what becomes of a wall time that a change of the clocks skips or repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import near_miss

_MINUTE = timedelta(minutes=1)
_NOT_THE_SAME_EVERYWHERE = {"localtime", "Factory"}  #: what Debian has among its zones


def zone(name: Any) -> ZoneInfo:
    """Returns the zone of an IANA name like `Europe/Zurich`; InvalidOptionError if there is none."""
    if isinstance(name, str) and name in _names():
        return ZoneInfo(name)
    if not _names():
        raise InvalidOptionError("option timezone: this host has no time zones; install the package tzdata")
    raise InvalidOptionError(
        f"option timezone must be an IANA name such as Europe/Zurich or UTC, not {name!r:.60}{_near(name)}"
    )


@cache
def _names() -> frozenset[str]:
    try:
        return frozenset(available_timezones()) - _NOT_THE_SAME_EVERYWHERE
    except ZoneInfoNotFoundError:
        return frozenset()


def _near(name: Any) -> str:
    cities = {known.rpartition("/")[2].lower(): known for known in _names()}
    lowered = {known.lower(): known for known in _names()}
    return near_miss(name, (), cities | lowered) if isinstance(name, str) and name else ""


def on_the_wall(moment: datetime, where: ZoneInfo) -> datetime:
    """Returns a moment as the clocks of a zone show it; in UTC in the first and last hours of the calendar."""
    try:
        return moment.astimezone(where)
    except OverflowError:
        return moment.astimezone(UTC)


def at_wall_time(wall: datetime, where: ZoneInfo) -> datetime:
    """Returns the instant, in UTC, at which the clocks of a zone show a time that is given without a zone.

    A time that is skipped is the first instant after the gap; one that comes twice is the first of the two. Debian's
    cron does the same.
    """
    while True:
        instant = wall.replace(tzinfo=where, fold=0).astimezone(UTC)
        if instant.astimezone(where).replace(tzinfo=None) == wall:
            return instant
        wall = wall.replace(second=0, microsecond=0) + _MINUTE
