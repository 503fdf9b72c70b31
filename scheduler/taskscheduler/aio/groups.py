"""AsyncGroups: the methods of `scheduler.groups` as coroutines."""

from __future__ import annotations

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.facade.groups import Groups
from taskscheduler.facade.methods import AsyncMethods, coroutine


class AsyncGroups(AsyncMethods[Groups, AsyncProcess]):
    """Groups of jobs that take turns within a queue and a priority, however many jobs each of them has waiting."""

    set = coroutine(Groups.set)
    all = coroutine(Groups.all)
    delete = coroutine(Groups.delete)
