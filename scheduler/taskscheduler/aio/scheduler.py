"""`AsyncScheduler`: the asyncio twin of `Scheduler`, on top of it, so that every guarantee has one implementation."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from inspect import iscoroutine
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

from bson import ObjectId

from taskscheduler.aio.calls import AsyncCalls, ends
from taskscheduler.aio.listener import AsyncListener
from taskscheduler.aio.process import AsyncProcess
from taskscheduler.aio.record import AsyncRecord
from taskscheduler.aio.waiting import AsyncWait, tell
from taskscheduler.clock import Deadline
from taskscheduler.errors import InvalidOptionError, SchedulerError, WaitTimeoutError
from taskscheduler.events import event_name
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.solo import Solo
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.change_feed import Token
from taskscheduler.validation import batch, listed
from taskscheduler.waiting.batch import BatchProgress

T = TypeVar("T")

AsyncHandler = Callable[[str, AsyncProcess], Any]

_THREADS = 4

_LOOK_EVERY = 0.1  #: seconds between two looks for a message of a service

_PAGE = 100  #: jobs that get_jobs reads at a time


class _Core(Scheduler):
    """The scheduler that does the work, with what its twin needs of the inside."""

    def share(self, other: Scheduler) -> None:
        """Work on the connection of another one, by its options."""
        self._connection, self._options = other._connection, other._options
        self._adding.use(other._options)

    def announce(self, event: str, process: Process) -> None:
        self._announce(event, process)

    @contextmanager
    def logging_failures(self, event: str, process: AsyncProcess) -> Iterator[None]:
        """A handler that raises is logged and harms nobody."""
        try:
            yield
        except Exception:
            self._logger.exception("event handler failed", extra={"event": event, "job": str(process.id)})


class AsyncScheduler:
    """A Scheduler for asyncio: the same arguments, methods and errors, as coroutines. For one event loop.

    Each call runs in a small pool of threads, so the loop is never blocked. Waiting takes no thread, however many jobs
    are waited for; a listener has one of its own. A task may be cancelled at any time: what it waits for is left
    alone, and a call to MongoDB that is under way goes on, so a cancelled `add_job` may have stored its job.
    """

    def __init__(self, *args: Any, **given: Any) -> None:
        self._scheduler = _Core(*args, **given)
        self._pool: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: weakref.WeakSet[AsyncListener] = weakref.WeakSet()
        self._handling: set[asyncio.Task[Any]] = set()

    @classmethod
    def of(cls, scheduler: Scheduler) -> AsyncScheduler:
        """The twin of a scheduler, on its connection; closing either closes that."""
        twin = cls()
        twin._scheduler.share(scheduler)
        return twin

    # -- adding, finding, ending ------------------------------------------------------------------------------------

    async def add_job(
        self, job: Any, data: Any = None, options: Mapping[str, Any] | None = None, **given: Any
    ) -> AsyncProcess:
        """Store a job durably. See Scheduler.add_job."""
        return self._adopt(await self._call(self._scheduler.add_job, job, data, options, **given))

    async def add_jobs(self, jobs: Iterable[Any]) -> list[AsyncProcess]:
        """Store many jobs in few writes. See Scheduler.add_jobs."""
        return [self._adopt(process) for process in await self._call(self._scheduler.add_jobs, list(batch(jobs)))]

    async def add_job_once(
        self, job: Any, data: Any = None, options: Mapping[str, Any] | None = None, **given: Any
    ) -> AsyncProcess:
        """Store a job unless the same one is live already. See Scheduler.add_job_once."""
        return self._adopt(await self._call(self._scheduler.add_job_once, job, data, options, **given))

    def with_options(self, options: Mapping[str, Any] | None = None, **given: Any) -> AsyncCalls:
        """Calls with these job options. See Scheduler.with_options."""
        return AsyncCalls(self, options, given)

    async def submit(self, job: Any, /, *args: Any, **named: Any) -> AsyncProcess:
        """Add a job with plain arguments; it runs in the background. See Scheduler.submit."""
        return await AsyncCalls(self).submit(job, *args, **named)

    async def run(self, job: Any, /, *args: Any, **named: Any) -> Any:
        """Add a job with plain arguments and wait for its result. See Scheduler.run."""
        return await AsyncCalls(self).run(job, *args, **named)

    async def run_batch(
        self,
        calls: Iterable[Any],
        callback: Callable[[AsyncProcess], Any] | None = None,
        progress: Callable[[int, int], Any] | None = None,
        timeout: Seconds | None = None,
    ) -> bool:
        """Add many jobs and wait until all have ended; callbacks may be coroutines. See Scheduler.run_batch."""
        return await AsyncCalls(self).run_batch(calls, callback, progress, timeout)

    async def get_job(self, job_id: ObjectId) -> AsyncProcess:
        """The job with this id; JobNotFoundError if there is none."""
        return self._adopt(await self._call(self._scheduler.get_job, job_id))

    async def get_jobs(self, query: Mapping[str, Any] | None = None) -> AsyncIterator[AsyncProcess]:
        """The jobs that match, for `async for`, read as you iterate. See Scheduler.get_jobs."""
        found = self._scheduler.get_jobs(query)
        while page := await self._call(lambda: list(islice(found, _PAGE))):
            for process in page:
                yield self._adopt(process)

    async def cancel_job(self, job_id: ObjectId, only_queued: bool = False) -> bool:
        """Cancel a job and the runs that would follow it. See Scheduler.cancel_job."""
        return await self._call(self._scheduler.cancel_job, job_id, only_queued)

    async def flush(self, job: Any = None, queue: str | None = None) -> int:
        """Delete all jobs, or all of one class or queue. See Scheduler.flush."""
        return await self._call(self._scheduler.flush, job, queue)

    async def retry_job(self, job_id: ObjectId) -> AsyncProcess:
        """Put an ended job back to the queue. See Scheduler.retry_job."""
        return self._adopt(await self._call(self._scheduler.retry_job, job_id))

    async def delete_job(self, job_id: ObjectId) -> bool:
        """Delete a job whatever it does. See Scheduler.delete_job."""
        return await self._call(self._scheduler.delete_job, job_id)

    async def restore(self, queue: str | None = None) -> int:
        """Take back at once what nodes hold that are gone. See Scheduler.restore."""
        return await self._call(self._scheduler.restore, queue)

    async def end_silent(self, job: Any = None) -> list[AsyncProcess]:
        """End the records of programs that have fallen silent. See Scheduler.end_silent."""
        return [self._adopt(process) for process in await self._call(self._scheduler.end_silent, job)]

    async def delete_old_jobs(self, age: Seconds, job: Any = None) -> int:
        """Delete the jobs that ended longer ago than `age`. See Scheduler.delete_old_jobs."""
        return await self._call(self._scheduler.delete_old_jobs, age, job)

    def track(
        self, name: Any, /, solo: Solo = False, timeout: Seconds = 300, tags: Collection[str] = (), **fields: Any
    ) -> AsyncRecord:
        """A record of this program, for `async with`. See Scheduler.track."""
        return AsyncRecord(self._call, partial(self._scheduler.track, name, solo, timeout, tags, **fields))

    async def counts(self, by: str = "job") -> dict[str, dict[Status, int]]:
        """How many jobs there are in each status, by `"job"` or `"queue"`. See Scheduler.counts."""
        return await self._call(self._scheduler.counts, by)

    async def stats(self) -> dict[str, Any]:
        """Jobs per status, queues, nodes and their slots. See Scheduler.stats."""
        return await self._call(self._scheduler.stats)

    # -- services ---------------------------------------------------------------------------------------------------

    async def start_service(self, job: Any, data: Any = None, *, name: str | None = None, **given: Any) -> AsyncProcess:
        """Make a service run, and keep it running. See Scheduler.start_service."""
        return self._adopt(await self._call(self._scheduler.start_service, job, data, name=name, **given))

    async def stop_service(self, name: str, wait: bool = True) -> AsyncProcess:
        """Stop a service and do not start it again. See Scheduler.stop_service."""
        return self._adopt(await self._call(self._scheduler.stop_service, name, wait))

    async def restart_service(self, name: str) -> AsyncProcess:
        """Stop a service and start it again at once. See Scheduler.restart_service."""
        return self._adopt(await self._call(self._scheduler.restart_service, name))

    async def service(self, name: str) -> AsyncProcess:
        """The service of this name. See Scheduler.service."""
        return self._adopt(await self._call(self._scheduler.service, name))

    async def services(self) -> list[AsyncProcess]:
        """All services by their names. See Scheduler.services."""
        return [self._adopt(process) for process in await self._call(self._scheduler.services)]

    async def send(self, service: str | AsyncProcess, value: Any) -> None:
        """Send a value to a service. See Scheduler.send."""
        await self._call(self._scheduler.send, self._core(service), value)

    async def receive(self, service: str | AsyncProcess, timeout: Seconds | None = None, default: Any = None) -> Any:
        """The oldest value that a service has sent. See Scheduler.receive."""
        deadline, missing = Deadline(waiting_time(timeout)), object()
        while True:
            value = await self._call(self._scheduler.receive, self._core(service), 0, missing)
            if value is not missing:
                return value
            if deadline.passed:
                return default
            await asyncio.sleep(deadline.left(_LOOK_EVERY))

    def _core(self, service: str | AsyncProcess) -> str | Process:
        return Process(self._scheduler, service.to_dict()) if isinstance(service, AsyncProcess) else service

    # -- waiting and listening --------------------------------------------------------------------------------------

    async def wait_for(
        self, processes: Iterable[AsyncProcess], throw: bool = False, timeout: Seconds | None = None
    ) -> list[AsyncProcess]:
        """Return when all jobs have ended, and refresh them. See Scheduler.wait_for."""
        waited, limit = listed(processes, AsyncProcess), waiting_time(timeout)
        if waited:
            await self._wait(AsyncWait(waited, asyncio.get_running_loop(), throw), limit)
        return waited

    async def _wait(self, ends: AsyncWait, timeout: float | None) -> None:
        deadline, endings = Deadline(timeout), self._scheduler.endings
        try:
            await self._call(endings.subscribe, ends.watch, ends.known)
            await ends.wait(None if timeout is None else deadline.left(timeout))
        finally:
            endings.unsubscribe(ends.watch)
        if ends.left:
            raise WaitTimeoutError.of(ends.left, timeout)

    def ends(self, tally: BatchProgress[AsyncProcess], timeout: float | None) -> AsyncGenerator[AsyncProcess, None]:
        """The jobs of a batch as they end; for `run_batch`."""
        return ends(self._scheduler.endings, tally, timeout, self._call)

    def listen(
        self, query: Mapping[str, Any] | None = None, timeout: Seconds | None = None, after: Token | None = None
    ) -> AsyncListener:
        """The changes of status of all jobs that match, for `async for`, until `timeout` seconds are over.

        With `async with scheduler.listen() as changes` everything from there on is delivered, else from the first
        step on. A later `listen(after=changes.token)` goes on there. See Scheduler.listen.
        """
        self._bind()
        deadline = Deadline(waiting_time(timeout))
        listener = AsyncListener(
            partial(self._scheduler.listener, query, after), self._adopt, self._scheduler.announce, deadline
        )
        self._listeners.add(listener)
        return listener

    def on(self, event: str, handler: AsyncHandler) -> AsyncScheduler:
        """Call `handler(event_name, process)`, a function or a coroutine function, in the event loop.

        See Scheduler.on.
        """
        event_name(event)
        if not callable(handler):
            raise InvalidOptionError(f"the handler of {event!r} must be callable, not {type(handler).__name__}")

        def receive(name: str, process: Process) -> None:
            if self._loop is not None:
                tell(self._loop, self._handle, handler, name, self._adopt(process))

        self._scheduler.on(event, receive)
        return self

    def _handle(self, handler: AsyncHandler, event: str, process: AsyncProcess) -> None:
        with self._scheduler.logging_failures(event, process):
            answer = handler(event, process)
            if iscoroutine(answer):
                task = asyncio.ensure_future(self._handled(answer, event, process))
                self._handling.add(task)  # the loop itself would let it be collected
                task.add_done_callback(self._handling.discard)

    async def _handled(self, answer: Coroutine[Any, Any, Any], event: str, process: AsyncProcess) -> None:
        with self._scheduler.logging_failures(event, process):
            await answer

    # -- settings and life ------------------------------------------------------------------------------------------

    @property
    def options(self) -> SchedulerOptions:
        return self._scheduler.options

    def set_options(self, options: Mapping[str, Any] | None = None, **given: Any) -> AsyncScheduler:
        """Change scheduler options. See Scheduler.set_options."""
        self._scheduler.set_options(options, **given)
        return self

    async def close(self) -> None:
        """End what waits and listens, and close what this scheduler opened itself."""
        await self.part()
        await self._call(self._scheduler.close)
        self._end_threads()

    async def part(self) -> None:
        """End what waits and listens here, and leave the connection to the scheduler whose twin this is."""
        listeners = list(self._listeners)
        for listener in listeners:
            listener.stop()
        for listener in listeners:
            await self._call(listener.join)
        await self._call(self._scheduler.endings.stop)
        self._end_threads()

    def _end_threads(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    async def __aenter__(self) -> AsyncScheduler:
        self._bind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _adopt(self, process: Process) -> AsyncProcess:
        return AsyncProcess(self, process.to_dict(), process.outcome)

    def _bind(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop and not self._loop.is_closed():
            raise SchedulerError("an AsyncScheduler belongs to one event loop; make another one for this loop")
        self._loop = loop
        return loop

    async def _call(self, function: Callable[..., T], *args: Any, **given: Any) -> T:
        """Run it in a thread of the pool."""
        loop = self._bind()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, "taskscheduler-aio")
        return await loop.run_in_executor(self._pool, partial(function, *args, **given))
