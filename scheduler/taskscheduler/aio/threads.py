"""A small pool of threads that runs blocking calls for one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from taskscheduler.errors import SchedulerError

T = TypeVar("T")

_THREADS = 4

_PATIENCE = 5.0  #: seconds for which a call under way is waited for; one without a server takes longer


class LoopThreads:
    """Runs blocking calls of an AsyncScheduler, which belongs to the event loop in which it is first used."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: set[Future[Any]] = set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop to which they belong; None before the first use."""
        return self._loop

    def bind(self) -> asyncio.AbstractEventLoop:
        """Returns the running event loop; SchedulerError if they belong to another one."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop and not self._loop.is_closed():
            raise SchedulerError("an AsyncScheduler belongs to one event loop; make another one for this loop")
        self._loop = loop
        return loop

    async def run(self, function: Callable[..., T], /, *args: Any, **given: Any) -> T:
        """Runs a blocking function in a thread of the pool, with the context variables of the task."""
        loop = self.bind()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "taskscheduler-aio")
        call: Future[T] = self._pool.submit(partial(copy_context().run, function, *args, **given))
        self._under_way.add(call)
        call.add_done_callback(self._under_way.discard)
        return await asyncio.wrap_future(call, loop=loop)

    async def settle(self) -> None:
        """Waits, but not for ever, for the calls under way, also for those whose task was cancelled."""
        if calls := list(self._under_way):
            await asyncio.to_thread(wait, calls, _PATIENCE)

    def end(self) -> None:
        """Lets the threads end after their current calls; the next call starts new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)


def call_in_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> bool:
    """Calls a function in the event loop, from any thread; returns False if the loop is closed."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return False
    return True
