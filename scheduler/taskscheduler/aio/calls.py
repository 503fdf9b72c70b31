"""AsyncCalls: calling jobs like functions in asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from inspect import isawaitable
from typing import Any, Protocol, overload

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.calls import NO_OPTIONS, call, check_callbacks, check_no_session, checked_options, with_common
from taskscheduler.declarations.typed import P, R_co, TypedJob
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.store.transactions.steps import AnySession
from taskscheduler.validation import batch
from taskscheduler.waiting.batch import BatchProgress


class AsyncSubmitting(Protocol):
    """The part of an asyncio scheduler that calls use."""

    async def add_job(
        self,
        job: Any,
        data: Any = None,
        options: Mapping[str, Any] | None = None,
        *,
        session: AnySession | None = None,
        **given: Any,
    ) -> AsyncProcess:
        """Stores a job. See Scheduler.add_job."""
        ...

    async def add_jobs(self, jobs: Iterable[Any]) -> list[AsyncProcess]:
        """Stores many jobs. See Scheduler.add_jobs."""
        ...

    def as_completed(
        self, progress: BatchProgress[AsyncProcess], timeout: float | None
    ) -> AsyncGenerator[AsyncProcess, None]:
        """Yields the jobs of a batch as they end."""
        ...


class AsyncCalls:
    """Calls jobs like functions, all with the same job options. See AsyncScheduler.with_options."""

    def __init__(
        self,
        scheduler: AsyncSubmitting,
        options: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] = NO_OPTIONS,
        session: AnySession | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._session = session
        self._options = checked_options(options, given)

    @overload
    async def submit(self, job: TypedJob[P, R_co], /, *args: P.args, **named: P.kwargs) -> AsyncProcess[R_co]: ...

    @overload
    async def submit(self, job: type | str, /, *args: Any, **named: Any) -> AsyncProcess: ...

    async def submit(self, job: Any, /, *args: Any, **named: Any) -> AsyncProcess:
        """Adds the job; it runs in the background. See Scheduler.submit."""
        return await self._scheduler.add_job(*call(job, *args, **named), self._options, session=self._session)

    @overload
    async def run(self, job: TypedJob[P, R_co], /, *args: P.args, **named: P.kwargs) -> R_co: ...

    @overload
    async def run(self, job: type | str, /, *args: Any, **named: Any) -> Any: ...

    async def run(self, job: Any, /, *args: Any, **named: Any) -> Any:
        """Adds the job and waits for its result. See Scheduler.run."""
        check_no_session(self._session)
        return await (await self.submit(job, *args, **named)).result()

    async def run_batch(
        self,
        calls: Iterable[Any],
        callback: Callable[[AsyncProcess], Any] | None = None,
        progress: Callable[[int, int], Any] | None = None,
        timeout: Seconds | None = None,
    ) -> bool:
        """Adds many jobs and waits until all have ended; callbacks may be coroutines. See Scheduler.run_batch."""
        check_no_session(self._session)
        check_callbacks(callback=callback, progress=progress)
        limit = waiting_time(timeout)
        entries = [with_common(entry, self._options) for entry in batch(calls)]
        added = BatchProgress(await self._scheduler.add_jobs(entries))
        async with aclosing(self._scheduler.as_completed(added, limit)) as completed:
            async for process in completed:
                if callback is not None:
                    await _settle(callback(process))
                if progress is not None:
                    await _settle(progress(added.done, added.total))
        return added.succeeded


async def _settle(answer: Any) -> None:
    if isawaitable(answer):
        await answer
