"""Calling jobs like functions in asyncio: the twin of `calling`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.aio.waiting import tell
from taskscheduler.calls import NO_OPTIONS, call, check_callbacks, checked_options, with_common
from taskscheduler.clock import Deadline
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.model.document import Document
from taskscheduler.validation import batch
from taskscheduler.waiting.batch import BatchProgress
from taskscheduler.waiting.completion_watcher import CompletionWatcher, Subscription

if TYPE_CHECKING:
    from taskscheduler.aio.scheduler import AsyncScheduler


class AsyncCalls:
    """Calls jobs like functions, all with the same job options. See AsyncScheduler.with_options."""

    def __init__(
        self, scheduler: AsyncScheduler, options: Mapping[str, Any] | None = None, given: Mapping[str, Any] = NO_OPTIONS
    ) -> None:
        self._scheduler = scheduler
        self._options = checked_options(options, given)

    async def submit(self, job: Any, /, *args: Any, **named: Any) -> AsyncProcess:
        """Add the job; it runs in the background. See Scheduler.submit."""
        return await self._scheduler.add_job(*call(job, *args, **named), self._options)

    async def run(self, job: Any, /, *args: Any, **named: Any) -> Any:
        """Add the job and wait for its result. See Scheduler.run."""
        return await (await self.submit(job, *args, **named)).result()

    async def run_batch(
        self,
        calls: Iterable[Any],
        callback: Callable[[AsyncProcess], Any] | None = None,
        progress: Callable[[int, int], Any] | None = None,
        timeout: Seconds | None = None,
    ) -> bool:
        """Add many jobs and wait until all have ended; callbacks may be coroutines. See Scheduler.run_batch."""
        check_callbacks(callback=callback, progress=progress)
        limit = waiting_time(timeout)
        added = await self._scheduler.add_jobs([with_common(entry, self._options) for entry in batch(calls)])
        tally = BatchProgress(added)
        async with aclosing(self._scheduler.ends(tally, limit)) as ends:
            async for process in ends:
                if callback is not None:
                    await _settled(callback(process))
                if progress is not None:
                    await _settled(progress(tally.done, tally.total))
        return tally.succeeded


async def _settled(answer: Any) -> None:
    if isawaitable(answer):
        await answer


async def ends(
    endings: CompletionWatcher,
    tally: BatchProgress[AsyncProcess],
    timeout: float | None,
    in_thread: Callable[..., Awaitable[Any]],
) -> AsyncGenerator[AsyncProcess, None]:
    """The jobs of a batch in the order in which they end. WaitTimeoutError, or what keeps one from ending."""
    loop, deadline = asyncio.get_running_loop(), Deadline(timeout)
    told: asyncio.Queue[tuple[ObjectId, Document | Exception]] = asyncio.Queue()

    def hear(job_id: ObjectId, outcome: Document | Exception) -> None:
        tell(loop, told.put_nowait, (job_id, outcome))

    watch = Subscription(hear)
    try:
        await in_thread(endings.subscribe, watch, tally.known)
        while tally.left:
            try:
                news = await asyncio.wait_for(told.get(), None if timeout is None else deadline.left(timeout))
            except TimeoutError:
                raise tally.late(timeout) from None
            process = tally.take(*news)
            if process is not None:
                yield process
    finally:
        endings.unsubscribe(watch)
