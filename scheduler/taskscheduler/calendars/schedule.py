"""Schedule: a read-only view of a stored schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from bson import ObjectId

from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.calendars.timetable import Timetable
from taskscheduler.calendars.words import in_words
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import integer
from taskscheduler.model.process_state import ProcessState, stored_options
from taskscheduler.model.readable import fault_of_decoding, fault_of_template
from taskscheduler.model.sound import is_count, is_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_TIMES = 10_000


def fault_of_schedule(document: Mapping[str, Any]) -> str | None:
    """Returns what is wrong with a stored schedule, so that no run can be added; None if nothing is."""
    job = document.get("job")
    if not isinstance(job, Mapping):
        return "its field job is no job"
    if fault := fault_of_decoding(document):
        return f"its field {fault.field} {fault.problem}"
    if fault := fault_of_template(job):
        return f"its field job.{fault.field} {fault.problem}"
    for name, is_right in _SHAPES.items():
        if not (is_right(document[name]) if name in document else name not in _NEEDED):
            return f"its field {name} is wrong: {document.get(name)!r:.60}"
    return fault_of_times(document)


def fault_of_times(document: Mapping[str, Any]) -> str | None:
    """Returns what is wrong with the times of a stored schedule; None if nothing is."""
    try:
        _options(document).timetable(str(document.get("_id")), _sound(document, "created") or _EPOCH)
    except (InvalidOptionError, TypeError, ValueError, AttributeError, OverflowError) as error:
        return f"its field times is wrong: {error}"
    return None


def _options(document: Mapping[str, Any]) -> ScheduleOptions:
    return ScheduleOptions.read(document.get("times", {}))


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types) and not isinstance(value, bool)


def _list_of(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(is_right, value))


def _is_run(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(name), datetime) for name in ("time", "at"))


_NEEDED = frozenset({"_id", "rev", "times", "created"})

_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("_id", "owner"), is_text),
    **dict.fromkeys(("rev", "runs_made", "skipped"), is_count),
    **dict.fromkeys(("created", "next_at", "last_at"), _is(datetime)),
    **dict.fromkeys(("last_id", "cancelling"), _is(ObjectId)),
    "boots": _list_of(_is(ObjectId)),
    "times": _is(Mapping),
    "adding": _list_of(_is_run),
    **dict.fromkeys(("buffered", "skipped_times"), _list_of(_is(datetime))),
}


def _sound(document: Mapping[str, Any], name: str, default: Any = None) -> Any:
    value = document.get(name)
    return value if value is not None and _SHAPES[name](value) else default


class Schedule:
    """One schedule as last read: what it runs, when, and what has become of it."""

    def __init__(self, document: Mapping[str, Any], now: datetime, last: ProcessState | None = None) -> None:
        self._document = document
        self._now = now
        self.last_process = last  #: the last run that was added by the plan, if it is still stored
        self._is_timed = fault_of_times(document) is None
        self.options = _options(document) if self._is_timed else ScheduleOptions()  #: when it runs, with all defaults

    @cached_property
    def fault(self) -> str | None:
        """What is wrong with it, so that it does not run; None if nothing is. Delete it, or add it anew."""
        return fault_of_schedule(self._document)

    @property
    def name(self) -> str:
        return str(self._document["_id"])

    @property
    def job(self) -> str:
        """The registered name of the job that it runs."""
        return str(self._job.get("class", ""))

    @property
    def data(self) -> Any:
        """The data of its runs."""
        return self._job.get("data")

    @property
    def run_options(self) -> dict[str, Any]:
        """The job options of its runs."""
        return stored_options(self._job)

    @property
    def _job(self) -> Mapping[str, Any]:
        job = self._document.get("job")
        return job if isinstance(job, Mapping) else {}

    @property
    def cron(self) -> tuple[str, ...] | None:
        return self.options.cron

    @property
    def every(self) -> float | int | None:
        """Seconds between two runs."""
        return self.options.every

    @property
    def timezone(self) -> str:
        return self.options.timezone

    @property
    def paused(self) -> bool:
        return bool(self._document.get("paused"))

    @property
    def reason(self) -> str | None:
        """Why it is paused, as whoever paused it said."""
        reason = self._document.get("reason")
        return reason if isinstance(reason, str) else None

    @property
    def paused_at(self) -> datetime | None:
        """When it was paused."""
        paused_at = self._document.get("paused_at")
        return paused_at if isinstance(paused_at, datetime) else None

    @property
    def owner(self) -> str:
        """Who it belongs to: `database` until it is deleted, `code` as long as a live node declares it."""
        return str(_sound(self._document, "owner", "database"))

    @property
    def undeclared(self) -> bool:
        """Whether it belongs to the code, and no live node declares it any more, so that it does not run."""
        return bool(self._document.get("undeclared"))

    @property
    def next_at(self) -> datetime | None:
        """When it runs next, without jitter; None if it is paused, undeclared or over."""
        next_at: datetime | None = _sound(self._document, "next_at")
        return None if self.paused or self.undeclared or not self._is_timed else next_at

    @property
    def last_at(self) -> datetime | None:
        """The time of the last run that was added by the plan."""
        last_at: datetime | None = _sound(self._document, "last_at")
        return last_at

    @property
    def skipped(self) -> int:
        """How many runs were skipped, since the run before had not ended."""
        return int(_sound(self._document, "skipped", 0))

    @property
    def skipped_times(self) -> list[datetime]:
        """The times of the runs that were skipped, the latest 20."""
        return list(_sound(self._document, "skipped_times", ()))

    @property
    def buffered(self) -> list[datetime]:
        """The times of the runs that begin when the one before has ended."""
        return list(_sound(self._document, "buffered", ()))

    @property
    def runs_made(self) -> int:
        """How many runs the plan has added."""
        return int(_sound(self._document, "runs_made", 0))

    def timetable(self) -> Timetable:
        """Returns its times."""
        return self._timetable

    @cached_property
    def _timetable(self) -> Timetable:
        return self.options.timetable(self.name, _sound(self._document, "created") or _EPOCH)

    def in_words(self) -> str:
        """Returns when it runs as a sentence; empty if its times cannot be read."""
        return in_words(self.options, self.timetable()) if self._is_timed else ""

    def next_times(self, count: int = 5) -> list[datetime]:
        """Returns its next times after it was read, in UTC, whether it is paused or not; fewer if it ends before.

        At most 10 000; InvalidOptionError.
        """
        integer("count", count, least=0, most=_MOST_TIMES)
        if not self._is_timed:
            return []
        return self.timetable().next_times(count, self._now)

    def to_dict(self) -> dict[str, Any]:
        """Returns its document."""
        return dict(self._document)

    def __repr__(self) -> str:
        return f"<Schedule {self.name} of {self.job}, next at {self.next_at}>"
