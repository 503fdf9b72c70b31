"""AsyncSchedules: the methods of `scheduler.schedules` as coroutines."""

from __future__ import annotations

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.facade.methods import AsyncMethods, coroutine
from taskscheduler.facade.schedules import Schedules


class AsyncSchedules(AsyncMethods[Schedules, AsyncProcess]):
    """Jobs that run at the times of a timetable: exactly one run for each time in the whole cluster."""

    add = coroutine(Schedules.add)
    get = coroutine(Schedules.get)
    all = coroutine(Schedules.all)
    pause = coroutine(Schedules.pause)
    resume = coroutine(Schedules.resume)
    delete = coroutine(Schedules.delete)
    run = coroutine(Schedules.run)
    backfill = coroutine(Schedules.backfill)
