"""Executes attempts and notifications of jobs in a worker, and emits their events."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from contextlib import AbstractContextManager, nullcontext
from inspect import iscoroutine
from typing import Any

from taskscheduler.jobs.async_executor import INTERRUPTED, AsyncRuntime, execute_async
from taskscheduler.jobs.executor import Container, execute, notify
from taskscheduler.jobs.forks import leave_fork
from taskscheduler.model.attempt_result import AttemptResult
from taskscheduler.process import Process
from taskscheduler_daemon.system.resource_limits import LimitGuard, ResourceLimits
from taskscheduler_daemon.worker.events import FETCHED, EventSource, WorkerEvents
from taskscheduler_daemon.worker.runtime import JobRuntime


class JobExecution:
    """Executes jobs within the limits of the worker."""

    def __init__(
        self,
        worker: EventSource,
        events: WorkerEvents,
        container: Container | None,
        max_payload: int,
        limits: ResourceLimits,
    ) -> None:
        self.common_guard = LimitGuard(limits.without_cpu())  #: around async jobs, which share their CPU time
        self._worker = worker
        self._events = events
        self._container = container
        self._max_payload = max_payload
        self._guard = LimitGuard(limits)
        self._limited: AbstractContextManager[Any] = self._guard if limits else nullcontext()
        self._pid = os.getpid()

    def ordinary(self, document: dict[str, Any], runtime: JobRuntime) -> AttemptResult:
        """Executes one attempt of an ordinary job."""
        self._events.emit(FETCHED, self._worker, document)
        result = execute(document, runtime, self._container, self._max_payload, self._limited)
        self.clean_up()
        self._events.emit_end(self._worker, document, *result)
        return result

    async def attempt(self, document: dict[str, Any], runtime: AsyncRuntime) -> AttemptResult:
        """Executes one attempt of an async job; raises nothing."""
        self._events.emit(FETCHED, self._worker, document)
        result = await execute_async(document, runtime, self._container, self._max_payload)
        if result is not INTERRUPTED:
            self._events.emit_end(self._worker, document, *result)
        return result

    def notification(self, document: dict[str, Any], runtime: JobRuntime) -> Coroutine[Any, Any, Any] | None:
        """Calls the job's `notification`; returns the coroutine of an async one. Exceptions pass through."""
        with self._limited:
            answer = notify(document, runtime, self._container, Process(runtime.scheduler(), document))
        return answer if iscoroutine(answer) else None

    def clean_up(self) -> None:
        """Lifts the limits after a job, as CpuLimitError may have come in between; exits if this is a fork."""
        self.exit_if_forked()
        self._guard.loosen()

    def exit_if_forked(self, error: BaseException | None = None) -> None:
        """Exits if this is a fork that a job made and let return: it is no worker, and must not report or take runs."""
        leave_fork(self._pid, error)
