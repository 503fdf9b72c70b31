"""Sets of minutes of a day as the bits of an int, so that those of whole days are compared at once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from typing import Protocol

EVERY_MINUTE = (1 << 24 * 60) - 1


class HasMinutes(Protocol):
    """What comes at some minutes of a day."""

    def minutes_on(self, day: date, /) -> int:
        """Returns all minutes at which the clocks may stand then, unless they change around this day."""
        ...


def minutes_of(hours: Collection[int], minutes: Collection[int]) -> int:
    """Returns these minutes of each of these hours."""
    in_hour = sum(1 << minute for minute in minutes)
    return sum(in_hour << 60 * hour for hour in hours)


def minute_of(wall: datetime) -> int:
    """Returns which minute of its day a time on the wall is in."""
    return wall.hour * 60 + wall.minute


def first_of(minutes: int) -> int:
    """Returns the first minute of a set that is not empty."""
    return (minutes & -minutes).bit_length() - 1


def at_minute(day: date, minute: int) -> datetime:
    """Returns the time on the wall of a minute of a day."""
    return datetime.combine(day, time()) + timedelta(minutes=minute)
