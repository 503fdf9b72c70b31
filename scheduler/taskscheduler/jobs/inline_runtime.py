"""What runs jobs in this process lends to them, instead of the worker of a node."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from inspect import iscoroutine
from time import process_time
from typing import Any, NamedTuple, TypeVar

from bson import ObjectId

from taskscheduler.aio.scheduler import AsyncScheduler
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.errors import SchedulerError
from taskscheduler.jobs.commits import RunningAttempt
from taskscheduler.jobs.executor import Container, notify
from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.raised import AttemptLost, JobSnoozed
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.completions import Sign
from taskscheduler.store.fence import Fence
from taskscheduler.store.outbox import HOOK

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Held(NamedTuple):
    """An attempt that was claimed, and its job."""

    fence: Fence
    document: Document


class InlineHooks:
    """Calls the notification hooks of ended jobs in this thread."""

    def __init__(self, scheduler: Scheduler, container: Container | None) -> None:
        self._scheduler = scheduler
        self._container = container

    def call(self, job_id: ObjectId) -> None:
        """Calls the hook of a job, unless it was called already."""
        store = self._scheduler.store
        document = store.jobs.get(job_id) if store.outbox.acknowledge(job_id, HOOK) else None
        if document is None:
            return
        process = Process(self._scheduler, document)
        runtime = InlineRuntime(self._scheduler, [], document, "")
        try:
            answer = notify(document, runtime, self._container, process)
            if iscoroutine(answer):
                in_a_loop(runtime.with_scheduler(answer))
        except (Exception, JobSnoozed, AttemptLost):
            logger.exception("notification failed", extra={"job": str(job_id)})


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine in an event loop of its own, beside the one that may be running here; returns its result."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_run, work).result()


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)
        while True:
            try:
                return loop.run_until_complete(task)
            except (SystemExit, RuntimeError) as error:  # of a task that a job has started, or of loop.stop()
                if task.done():
                    raise
                logger.warning("the event loop of an async job goes on after %s", type(error).__name__)


class _StopAtRest:
    """Requests a stop as soon as a service waits; an async service never waits, so the second time it asks."""

    def __init__(self, is_async: bool) -> None:
        self._more = 1 if is_async else math.inf

    def __bool__(self) -> bool:
        self._more -= 1
        return self._more < 0

    def wait(self, _seconds: float) -> bool:
        self._more = 0
        return True


class InlineRuntime:
    """The services that a running job may use; every sign of life is written at once."""

    def __init__(self, scheduler: Scheduler, held: Sequence[Held], document: Mapping[str, Any], worker: str) -> None:
        """`held` are the attempts that run; none for a notification."""
        self._scheduler = scheduler
        self._held = held
        self._worker = worker
        self.stop_request = _StopAtRest(REGISTRY.is_async(document["class"]))
        self.said: dict[str, Any] = {}
        self.is_interrupted = False
        self._document = document
        self._began, self._spent = SYSTEM_CLOCK.monotonic(), process_time()
        self._twin: AsyncScheduler | None = None

    def report(self, progress: float | None, message: str | None) -> None:
        if progress is not None:
            self.said["progress"] = progress
        if message is not None:
            self.said["message"] = message[:1000].encode(errors="replace").decode()
        if self._held:
            said = {**self.said, "worker": self._worker}
            signs = [Sign(fence, said, document.get("parent")) for fence, document in self._held]
            self._scheduler.store.completions.progress(signs)

    def attempt(self) -> RunningAttempt:
        if not self._held:
            raise SchedulerError("a job can commit only while it runs")
        document = {**self._document, "claim": self._held[0].fence.claim}
        return RunningAttempt(document, self._worker, self._began, self.said, Cost(process_time() - self._spent))

    def scheduler(self) -> Scheduler:
        return self._scheduler

    def async_scheduler(self) -> AsyncScheduler:
        self._twin = self._twin or AsyncScheduler.of(self._scheduler)
        return self._twin

    async def with_scheduler(self, work: Awaitable[T]) -> T:
        """Runs it, with a scheduler for the event loop as long as it takes; returns its result."""
        try:
            return await work
        finally:
            if self._twin is not None:
                await self._twin.part()

    def interruption(self) -> Status:
        return Status.CANCELED  # never asked: nothing interrupts a job here
