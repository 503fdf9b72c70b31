"""AsyncScheduler: the methods of Scheduler as coroutines, made of the same parts."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, overload

from blinker import Namespace
from bson import ObjectId

from taskscheduler.aio.audit import AsyncAudit
from taskscheduler.aio.calls import AsyncCalls
from taskscheduler.aio.flows import AsyncFlows
from taskscheduler.aio.groups import AsyncGroups
from taskscheduler.aio.handlers import AsyncHandler, AsyncHandlers
from taskscheduler.aio.inspection import AsyncInspection
from taskscheduler.aio.limits import AsyncLimits, AsyncSequences
from taskscheduler.aio.listener import AsyncListener, Listening
from taskscheduler.aio.logs import AsyncLogs
from taskscheduler.aio.metrics import AsyncMetrics
from taskscheduler.aio.nodes import AsyncNodes
from taskscheduler.aio.process import AsyncProcess, AsyncProcesses
from taskscheduler.aio.record import AsyncRecord
from taskscheduler.aio.schedules import AsyncSchedules
from taskscheduler.aio.selections import AsyncSelection
from taskscheduler.aio.threads import LoopThreads
from taskscheduler.aio.waiting import AsyncWait, as_completed, wait_for
from taskscheduler.clock import SYSTEM_CLOCK, Clock, Deadline
from taskscheduler.connection import Source
from taskscheduler.declarations.typed import P, R_co, TypedJob
from taskscheduler.facade.core import Foundation
from taskscheduler.facade.methods import AsyncMethods, coroutine
from taskscheduler.facade.operations import Operations
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.model.control.reasons import Code, Reason
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.process_state import ProcessState
from taskscheduler.model.solo import Solo
from taskscheduler.operations.add import merged
from taskscheduler.operations.programs import Tracked
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.change_feed import Token
from taskscheduler.store.client import AsyncDatabase
from taskscheduler.store.transactions.steps import AnySession
from taskscheduler.validation import batch, listed
from taskscheduler.waiting.batch import BatchProgress

_LOOK_EVERY = 0.1  #: seconds between two looks for a message of a service

_PAGE = 100  #: jobs that get_jobs reads at a time


class AsyncScheduler(AsyncMethods[Operations, AsyncProcess]):
    """A Scheduler for asyncio: the same arguments, methods and errors, as coroutines. For one event loop.

    Each call runs in a small pool of threads, so the loop is never blocked. Waiting takes no thread, however many jobs
    are waited for; a listener has one of its own. A task may be cancelled at any time: the job that it waits for is
    left alone, and a call to MongoDB that is under way goes on, so a cancelled `add_job` may have stored its job.
    """

    def __init__(
        self,
        database: Source | None = None,
        *,
        logger: logging.Logger | None = None,
        emitter: Namespace | None = None,
        options: Mapping[str, Any] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **given: Any,
    ) -> None:
        self._compose(Foundation.of(database, logger, emitter, merged(options, given), clock))

    @classmethod
    def of(cls, scheduler: Scheduler) -> AsyncScheduler:
        """Returns the twin of a scheduler, on its connection and options; closing either closes that."""
        twin = cls.__new__(cls)
        twin._compose(Foundation.on(scheduler.connection))
        return twin

    def _compose(self, foundation: Foundation) -> None:
        threads, processes, blocking = LoopThreads(), AsyncProcesses(self), Operations(foundation)
        super().__init__(blocking, threads, processes)
        self._loop_threads = threads
        self._async_processes = processes
        self._core = blocking.core
        self.schedules = AsyncSchedules(blocking.schedules, threads, processes)
        self.limits = AsyncLimits(blocking.limits, threads, processes)
        self.sequences = AsyncSequences(blocking.sequences, threads, processes)
        self.groups = AsyncGroups(blocking.groups, threads, processes)
        self.flows = AsyncFlows(blocking.flows, threads, processes, blocking.core)
        self.metrics = AsyncMetrics(blocking.metrics, threads, processes)
        self.inspect = AsyncInspection(blocking.inspect, threads, processes)
        self.audit = AsyncAudit(blocking.audit, threads, processes)
        self.logs = AsyncLogs(blocking.logs, threads, processes)
        self.nodes = AsyncNodes(blocking.nodes, threads, processes)
        self._handlers = AsyncHandlers(foundation.events, threads, processes, self.flows)
        self._listeners: weakref.WeakSet[AsyncListener] = weakref.WeakSet()
        self._database: AsyncDatabase[Any] | None = None

    # -- the same methods as coroutines -----------------------------------------------------------------------------

    add_job = coroutine(Operations.add_job)
    add_job_once = coroutine(Operations.add_job_once)
    get_job = coroutine(Operations.get_job)
    cancel_job = coroutine(Operations.cancel_job)
    retry_job = coroutine(Operations.retry_job)
    delete_job = coroutine(Operations.delete_job)
    update_job = coroutine(Operations.update_job)
    signal = coroutine(Operations.signal)

    pause = coroutine(Operations.pause)
    resume = coroutine(Operations.resume)
    pauses = coroutine(Operations.pauses)

    @overload
    async def why(self) -> dict[Code, int]: ...

    @overload
    async def why(self, job_id: ObjectId | str) -> Reason: ...

    async def why(self, job_id: ObjectId | str | None = None) -> Reason | dict[Code, int]:
        """Returns why a job does not run now. See Scheduler.why."""
        found: Reason | dict[Code, int] = await self._call(Operations.why, *(() if job_id is None else (job_id,)))
        return found

    flush = coroutine(Operations.flush)
    restore = coroutine(Operations.restore)
    end_silent = coroutine(Operations.end_silent)
    delete_old_jobs = coroutine(Operations.delete_old_jobs)
    counts = coroutine(Operations.counts)
    failures = coroutine(Operations.failures)
    stats = coroutine(Operations.stats)

    start_service = coroutine(Operations.start_service)
    stop_service = coroutine(Operations.stop_service)
    restart_service = coroutine(Operations.restart_service)
    service = coroutine(Operations.service)
    services = coroutine(Operations.services)
    send = coroutine(Operations.send)

    # -- adding and finding many ------------------------------------------------------------------------------------

    async def add_jobs(self, jobs: Iterable[Any], *, session: AnySession | None = None) -> list[AsyncProcess]:
        """Stores many jobs in few writes. See Scheduler.add_jobs."""
        entries, call = list(batch(jobs)), self._call
        if session is not None:
            call = partial(self._call_in, session)
        added: list[AsyncProcess] = await call(Operations.add_jobs, entries)
        return added

    async def get_jobs(self, query: Mapping[str, Any] | None = None) -> AsyncIterator[AsyncProcess]:
        """Yields the jobs that match, for `async for`, read as you iterate. See Scheduler.get_jobs."""
        found = self._blocking.get_jobs(query)
        while page := await self._loop_threads.run(lambda: list(islice(found, _PAGE))):
            for process in page:
                yield self._async_processes.adopt(process)

    def select(
        self, where: str | Mapping[str, Any] | None = None, *, everything: bool = False, slow: bool = False
    ) -> AsyncSelection:
        """Returns all jobs that match, to look at, count, retry, cancel or delete. See Scheduler.select."""
        found = self._blocking.select(where, everything=everything, slow=slow)
        return AsyncSelection(found, self._loop_threads, self._async_processes)

    # -- calling jobs like functions, tracking programs -------------------------------------------------------------

    def with_options(
        self, options: Mapping[str, Any] | None = None, *, session: AnySession | None = None, **given: Any
    ) -> AsyncCalls:
        """Returns calls with these job options. See Scheduler.with_options."""
        return AsyncCalls(self, options, given, session)

    @overload
    async def submit(self, job: TypedJob[P, R_co], /, *args: P.args, **named: P.kwargs) -> AsyncProcess[R_co]: ...

    @overload
    async def submit(self, job: type | str, /, *args: Any, **named: Any) -> AsyncProcess: ...

    async def submit(self, job: Any, /, *args: Any, **named: Any) -> AsyncProcess:
        """Adds a job with plain arguments; it runs in the background. See Scheduler.submit."""
        return await AsyncCalls(self).submit(job, *args, **named)

    @overload
    async def run(self, job: TypedJob[P, R_co], /, *args: P.args, **named: P.kwargs) -> R_co: ...

    @overload
    async def run(self, job: type | str, /, *args: Any, **named: Any) -> Any: ...

    async def run(self, job: Any, /, *args: Any, **named: Any) -> Any:
        """Adds a job with plain arguments and waits for its result. See Scheduler.run."""
        return await AsyncCalls(self).run(job, *args, **named)

    async def run_batch(
        self,
        calls: Iterable[Any],
        callback: Callable[[AsyncProcess], Any] | None = None,
        progress: Callable[[int, int], Any] | None = None,
        timeout: Seconds | None = None,
    ) -> bool:
        """Adds many jobs and waits until all have ended; callbacks may be coroutines. See Scheduler.run_batch."""
        return await AsyncCalls(self).run_batch(calls, callback, progress, timeout)

    def track(
        self, name: Any, /, solo: Solo = False, timeout: Seconds = 300, tags: Collection[str] = (), **fields: Any
    ) -> AsyncRecord:
        """Returns a record of this program, for `async with`. See Scheduler.track."""
        return AsyncRecord(self._loop_threads, self._core.connection, Tracked(name, solo, timeout, tags, fields))

    # -- waiting and listening --------------------------------------------------------------------------------------

    async def wait_for(
        self, processes: Iterable[AsyncProcess], throw: bool = False, timeout: Seconds | None = None
    ) -> list[AsyncProcess]:
        """Returns when all jobs have ended, and refreshes them. See Scheduler.wait_for."""
        waited, limit = listed(processes, AsyncProcess), waiting_time(timeout)
        if waited:
            self._core.announcer.follow(waited)
            wait = AsyncWait(waited, asyncio.get_running_loop(), throw)
            await wait_for(self._core.completions, self._loop_threads, wait, limit)
        return waited

    def as_completed(
        self, progress: BatchProgress[AsyncProcess], timeout: float | None
    ) -> AsyncGenerator[AsyncProcess, None]:
        """Yields the jobs of a batch as they end; for `run_batch`."""
        return as_completed(self._core.completions, self._loop_threads, progress, timeout)

    async def receive(self, service: str | ProcessState, timeout: Seconds | None = None, default: Any = None) -> Any:
        """Returns the oldest value that a service has sent. See Scheduler.receive."""
        deadline, missing = Deadline(waiting_time(timeout)), object()
        while True:
            value = await self._loop_threads.run(self._blocking.receive, service, 0, missing)
            if value is not missing:
                return value
            if deadline.passed:
                return default
            await asyncio.sleep(deadline.left(_LOOK_EVERY))

    def listen(
        self, query: Mapping[str, Any] | None = None, timeout: Seconds | None = None, after: Token | None = None
    ) -> AsyncListener:
        """Returns the changes of status of all jobs that match, for `async for`, until `timeout` seconds are over.

        With `async with scheduler.listen() as changes` everything from there on is delivered, else from the first
        step on. A later `listen(after=changes.token)` goes on there. See Scheduler.listen.
        """
        self._loop_threads.bind()
        listening = Listening(query, after, Deadline(waiting_time(timeout)))
        listener = AsyncListener(self._core, self._async_processes, listening)
        self._listeners.add(listener)
        return listener

    def on(self, event: str, handler: AsyncHandler) -> AsyncScheduler:
        """Calls `handler(event_name, process)`, a function or a coroutine function, in the event loop.

        See Scheduler.on.
        """
        self._handlers.on(event, handler)
        return self

    @property
    def threads(self) -> LoopThreads:
        """The threads that run blocking calls for the event loop; for jobs, not for applications."""
        return self._loop_threads

    # -- settings and life ------------------------------------------------------------------------------------------

    @property
    def database(self) -> AsyncDatabase[Any]:
        """The database in which the jobs are, as an AsyncDatabase of pymongo: opened on first use, closed with this.

        Dates that it reads are aware, writes wait for a majority. InvalidOptionError if this scheduler was given a
        Database: the driver makes no client for an event loop of that.
        """
        self._loop_threads.bind()
        if self._database is None:
            self._database = self._core.connection.open_for_loop()
        return self._database

    @property
    def options(self) -> SchedulerOptions:
        return self._core.connection.options

    def set_options(self, options: Mapping[str, Any] | None = None, **given: Any) -> AsyncScheduler:
        """Changes scheduler options. See Scheduler.set_options."""
        self._core.connection.use(SchedulerOptions.of(merged(options, given), self.options))
        return self

    async def close(self) -> None:
        """Ends all waiting and listening, and closes what this scheduler opened itself.

        What a cancelled task has begun, such as a batch of a selection, is waited for, for five seconds at most.
        """
        await self.part()
        await self._loop_threads.settle()
        await self._loop_threads.run(self._core.close)
        self._loop_threads.end()

    async def part(self) -> None:
        """Ends all waiting and listening here, and leaves the connection to the scheduler of which this is the twin."""
        listeners = list(self._listeners)
        for listener in listeners:
            listener.stop()
        for listener in listeners:
            await self._loop_threads.run(listener.join)
        await self._loop_threads.run(self._core.stop_streams)
        self._loop_threads.end()
        database, self._database = self._database, None
        if database is not None:
            await database.client.close()

    async def __aenter__(self) -> AsyncScheduler:
        self._loop_threads.bind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
