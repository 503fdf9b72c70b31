"""AsyncLimits and AsyncSequences: the methods of `scheduler.limits` and `scheduler.sequences` as coroutines."""

from __future__ import annotations

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.facade.limits import Limits, Sequences
from taskscheduler.facade.methods import AsyncMethods, coroutine


class AsyncLimits(AsyncMethods[Limits, AsyncProcess]):
    """How many jobs of a name may run at the same time in the whole cluster, or start in a time."""

    set = coroutine(Limits.set)
    all = coroutine(Limits.all)
    delete = coroutine(Limits.delete)


class AsyncSequences(AsyncMethods[Sequences, AsyncProcess]):
    """Jobs that run one at a time, in the order in which they were added."""

    blocked = coroutine(Sequences.blocked)
    release = coroutine(Sequences.release)
