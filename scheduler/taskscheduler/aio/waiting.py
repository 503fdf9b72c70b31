"""Waiting in asyncio without a thread: completions are handed to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

from bson import ObjectId

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.aio.threads import LoopThreads, call_in_loop
from taskscheduler.clock import Deadline
from taskscheduler.errors import WaitTimeoutError
from taskscheduler.model.document import Document
from taskscheduler.model.job_errors import error_for_status
from taskscheduler.waiting.batch import BatchProgress
from taskscheduler.waiting.completion_watcher import CompletionWatcher, Subscription


class AsyncWait:
    """Waits for the end of some jobs in an event loop. With `throw`, one that did not end DONE ends the wait."""

    def __init__(self, processes: Iterable[AsyncProcess], loop: asyncio.AbstractEventLoop, throw: bool = False) -> None:
        self._loop = loop
        self._throw = throw
        self._done: asyncio.Future[None] = loop.create_future()
        self._done.add_done_callback(lambda done: done.cancelled() or done.exception())  # retrieved, if nobody asks
        self._waiting: dict[ObjectId, list[AsyncProcess]] = {}
        for process in processes:
            self._waiting.setdefault(process.id, []).append(process)
        self.known = {job_id: found[0].status for job_id, found in self._waiting.items()}

    @property
    def left(self) -> int:
        return len(self._waiting)

    async def wait(self, timeout: float | None) -> None:
        """Returns when all have ended or the time is over. Raises the error that keeps one from ending."""
        if self._waiting or self._done.done():
            await asyncio.wait([self._done], timeout=timeout)
        if self._done.done():
            self._done.result()

    def completed(self, job_id: ObjectId, outcome: Document | Exception) -> None:
        """Takes over how a job ended; from any thread."""
        call_in_loop(self._loop, self._take, job_id, outcome)

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


async def wait_for(watcher: CompletionWatcher, threads: LoopThreads, wait: AsyncWait, timeout: float | None) -> None:
    """Returns when all jobs have ended. WaitTimeoutError, or the error that keeps one from ending."""
    deadline, subscription = Deadline(timeout), Subscription(wait)
    try:
        await threads.run(watcher.subscribe, subscription, wait.known)
        await wait.wait(None if timeout is None else deadline.left(timeout))
    finally:
        watcher.unsubscribe(subscription)
    if wait.left:
        raise WaitTimeoutError.of(wait.left, timeout)


class _Arrivals:
    """The completions that the event loop has not taken yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: asyncio.Queue[tuple[ObjectId, Document | Exception]] = asyncio.Queue()

    def completed(self, job_id: ObjectId, outcome: Document | Exception) -> None:
        call_in_loop(self._loop, self._queue.put_nowait, (job_id, outcome))

    async def next(self, timeout: float | None) -> tuple[ObjectId, Document | Exception]:
        if not self._queue.empty():
            return self._queue.get_nowait()  # also when no time is left, like a queue of threads
        return await asyncio.wait_for(self._queue.get(), timeout)


async def as_completed(
    watcher: CompletionWatcher, threads: LoopThreads, progress: BatchProgress[AsyncProcess], timeout: float | None
) -> AsyncGenerator[AsyncProcess, None]:
    """Yields the jobs of a batch in the order in which they end. WaitTimeoutError, or what keeps one from ending."""
    arrivals, deadline = _Arrivals(asyncio.get_running_loop()), Deadline(timeout)
    subscription = Subscription(arrivals)
    try:
        await threads.run(watcher.subscribe, subscription, progress.known)
        while progress.left:
            try:
                arrival = await arrivals.next(None if timeout is None else deadline.left(timeout))
            except TimeoutError:
                raise progress.late(timeout) from None
            process = progress.take(*arrival)
            if process is not None:
                yield process
    finally:
        watcher.unsubscribe(subscription)
