"""AsyncNodes: the methods of `scheduler.nodes` as coroutines."""

from __future__ import annotations

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.facade.methods import AsyncMethods, coroutine
from taskscheduler.facade.nodes import Nodes


class AsyncNodes(AsyncMethods[Nodes, AsyncProcess]):
    """The nodes that run jobs."""

    drain = coroutine(Nodes.drain)
