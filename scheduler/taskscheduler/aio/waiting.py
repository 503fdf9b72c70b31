"""Waiting and listening in asyncio: what the threads of the library tell is handed to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from bson import ObjectId

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.model.document import Document
from taskscheduler.model.job_errors import error_for_status
from taskscheduler.waiting.completion_watcher import Subscription


class AsyncWait:
    """The ends of some jobs, told to an event loop. No thread waits. With `throw`, a bad one ends the wait."""

    def __init__(self, processes: Iterable[AsyncProcess], loop: asyncio.AbstractEventLoop, throw: bool = False) -> None:
        self._loop = loop
        self._throw = throw
        self._done: asyncio.Future[None] = loop.create_future()
        self._done.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, should nobody ask
        self._waiting: dict[ObjectId, list[AsyncProcess]] = {}
        for process in processes:
            self._waiting.setdefault(process.id, []).append(process)
        self.known = {job_id: found[0].status for job_id, found in self._waiting.items()}
        self.watch = Subscription(self._told)

    @property
    def left(self) -> int:
        return len(self._waiting)

    async def wait(self, timeout: float | None) -> None:
        """Until all have ended or the time is over. Raises what keeps one from ever being known to have ended."""
        if self._waiting or self._done.done():
            await asyncio.wait([self._done], timeout=timeout)
        if self._done.done():
            self._done.result()

    def _told(self, job_id: ObjectId, outcome: Document | Exception) -> None:
        tell(self._loop, self._take, job_id, outcome)

    def _take(self, job_id: ObjectId, outcome: Document | Exception) -> None:
        processes = self._waiting.pop(job_id, [])
        if self._done.done():
            return
        if isinstance(outcome, Exception):
            self._done.set_exception(outcome)
            return
        for process in processes:
            process.replace(outcome)
        if self._throw and processes and (failure := error_for_status(processes[0])) is not None:
            self._done.set_exception(failure)
        elif not self._waiting:
            self._done.set_result(None)


def tell(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> bool:
    """Call it in the event loop; False if that is closed, so that nobody is there to be told."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return False
    return True
