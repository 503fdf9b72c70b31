"""Times at a fixed distance, counted from the epoch, so that a restart does not shift them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from taskscheduler.calendars.minutes import EVERY_MINUTE
from taskscheduler.calendars.stable import stable_number
from taskscheduler.model.checks import seconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST = 1  #: second
_UNITS = {"day": 86_400, "hour": 3600, "minute": 60}


class IntervalTimes:
    """The times `epoch + phase + n * every`; the phase is derived from a name, so that not all come together."""

    def __init__(self, every: Any, name: str = "") -> None:
        """`every` is in seconds, or a timedelta; at least one second. InvalidOptionError."""
        self.every = timedelta(seconds=seconds("every", every, least=_LEAST))
        self._first = _EPOCH + timedelta(milliseconds=stable_number(self.every // timedelta(milliseconds=1), name))

    def after(self, moment: datetime) -> datetime:
        """Returns the first time later than an aware moment, in UTC."""
        return self._first + ((moment - self._first) // self.every + 1) * self.every

    def minutes_on(self, _day: date) -> int:
        """Returns all minutes of a day: any may be one of them."""
        return EVERY_MINUTE

    def in_words(self) -> str:
        """Returns the distance of the times as a text, in the largest unit that fits."""
        total = self.every.total_seconds()
        unit, size = next(((unit, size) for unit, size in _UNITS.items() if total % size == 0), ("second", 1))
        count = f"{total / size:.3f}".rstrip("0").rstrip(".")
        return f"Every {unit}" if count == "1" else f"Every {count} {unit}s"
