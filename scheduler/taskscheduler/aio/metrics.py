"""AsyncMetrics: the methods of `scheduler.metrics` as coroutines."""

from __future__ import annotations

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.facade.methods import AsyncMethods, coroutine
from taskscheduler.facade.metrics import Metrics


class AsyncMetrics(AsyncMethods[Metrics, AsyncProcess]):
    """What nodes have counted: attempts by how they ended, how long they waited and how long they ran."""

    points = coroutine(Metrics.points)
    totals = coroutine(Metrics.totals)
