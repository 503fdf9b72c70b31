"""The schedules that job modules declare. A node that imports them makes them run as long as it lives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.declarations.registry import JobSpec
from taskscheduler.errors import InvalidJobError
from taskscheduler.model.batches.options import BatchOptions
from taskscheduler.model.options import JobOptions, SchedulerOptions, check_repeatable
from taskscheduler.model.payload import payload
from taskscheduler.model.solo import Solo


class DeclaredSchedule(NamedTuple):
    """A schedule that stands beside a job in the code, with what its runs need of that job."""

    name: str
    job: str  #: the registered name
    data: Any
    times: Mapping[str, Any]  #: the options of the schedule, as they are stored
    options: Mapping[str, Any]  #: those of its runs, of the class or given here; checked
    solo: Solo
    hook: bool
    is_async: bool
    batch: BatchOptions | None = None

    @classmethod
    def of(cls, name: str, spec: JobSpec, data: Any, times: ScheduleOptions, given: Mapping[str, Any]) -> Self:
        """Checks the options of the runs and their data.

        InvalidOptionError, InvalidJobError, InvalidArgumentsError, InvalidDataError, PayloadTooLargeError.
        """
        spec.check_kind(serves=False)
        chosen = {**spec.options, **given}
        options = JobOptions.of(chosen)
        check_repeatable(options.start_by)
        plain = {option: getattr(options, option) for option in chosen}
        kept = payload(f"the data of schedule {name}", "data", spec.accept(data), SchedulerOptions().max_payload)
        return cls(name, spec.name, kept, times.stored(), plain, spec.solo, spec.has_hook, spec.is_async, spec.batch)


class DeclaredSchedules:
    """The schedules that were declared in this process, by name. Filled by imports."""

    def __init__(self) -> None:
        self._known: dict[str, DeclaredSchedule] = {}

    def add(self, declared: DeclaredSchedule) -> None:
        """Adds one; a module that is imported again replaces its own. InvalidJobError for a name of another job."""
        known = self._known.get(declared.name)
        if known is not None and known.job != declared.job:
            raise InvalidJobError(
                f"schedule {declared.name!r} is declared for job {known.job} already; give that of {declared.job} "
                "another name"
            )
        self._known[declared.name] = declared

    def all(self) -> tuple[DeclaredSchedule, ...]:
        """Returns all of them."""
        return tuple(self._known.values())


SCHEDULES = DeclaredSchedules()
