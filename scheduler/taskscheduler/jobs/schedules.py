"""The decorator `schedule`: declares beside a job when it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from taskscheduler.calendars.options import ScheduleOptions, split
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.declarations.registry import is_job
from taskscheduler.declarations.schedules import SCHEDULES, DeclaredSchedule
from taskscheduler.errors import InvalidJobError
from taskscheduler.model.services import service_name

J = TypeVar("J")


def schedule(*, name: str | None = None, data: Any = None, **given: Any) -> Callable[[J], J]:
    """Declares that a job runs by a timetable: above a Job class or a `@job` function, also several times by `name`.

        @schedule(cron="@daily", timezone="Europe/Zurich", retry=3)
        @job
        def clean_up(): ...

    Takes the options of `Scheduler.schedules.add`; `name` is that of the job if it is not given. Nodes declare it when
    they start. It runs as long as a live node declares it; that of the newest node wins. Raises InvalidOptionError,
    InvalidJobError and InvalidArgumentsError when the module is imported.
    """

    def declare(target: J) -> J:
        if not is_job(target):
            raise InvalidJobError(f"@schedule must stand above @job or a Job class, not above {target!r:.80}")
        spec = target.__job__  # type: ignore[attr-defined]
        chosen = service_name("name", spec.name if name is None else name)
        times, options = split(given)
        found = ScheduleOptions.of(chosen, times, SYSTEM_CLOCK.now())
        SCHEDULES.add(DeclaredSchedule.of(chosen, spec, data, found, options))
        return target

    return declare
