"""Executes attempts and notifications of jobs in a worker, and emits their events."""

from __future__ import annotations

import logging
import os
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import nullcontext
from inspect import iscoroutine
from typing import Any

from taskscheduler.jobs.async_executor import INTERRUPTED, AsyncRuntime, execute_async
from taskscheduler.jobs.batches import BatchRun
from taskscheduler.jobs.executor import Container, execute, notify
from taskscheduler.jobs.forks import leave_fork
from taskscheduler.model.attempt_result import AttemptResult
from taskscheduler.process import Process
from taskscheduler.tracing import Tracing
from taskscheduler_daemon.system.leftover_processes import LeftoverProcesses
from taskscheduler_daemon.system.resource_limits import LimitGuard, ResourceLimits
from taskscheduler_daemon.system.surroundings import Surroundings
from taskscheduler_daemon.worker.events import FETCHED, EventSource, WorkerEvents
from taskscheduler_daemon.worker.runtime import JobRuntime

logger = logging.getLogger(__name__)


class JobExecution:
    """Executes jobs within the limits of the worker."""

    def __init__(
        self,
        worker: EventSource,
        events: WorkerEvents,
        container: Container | None,
        max_payload: int,
        limits: ResourceLimits,
        tracing: Tracing | None = None,
    ) -> None:
        """`tracing`: what makes spans of attempts, if that is switched on."""
        self.common_guard = LimitGuard(limits.without_cpu())  #: around async jobs, which share their CPU time
        self._worker = worker
        self._events = events
        self._container = container
        self._max_payload = max_payload
        self._tracing = tracing
        self._guard = LimitGuard(limits)
        self._limited = self._guard if limits else None
        self._pid = os.getpid()
        self._surroundings: Surroundings | None = None
        self._leftovers: LeftoverProcesses | None = None
        self.is_spoiled = False  #: whether a job has changed something that cannot be restored for the next one

    def keep_surroundings(self, keep_children: bool) -> None:
        """Restores from now on, after each job, what this process is like now; `keep_children`: but kills nothing."""
        self._surroundings = Surroundings()
        self._leftovers = None if keep_children else LeftoverProcesses()

    def ordinary(self, document: dict[str, Any], runtime: JobRuntime, batch: BatchRun | None = None) -> AttemptResult:
        """Executes one attempt of an ordinary job, or of all jobs of a batch; `document` is its first job."""
        if self._events.has_handlers:
            self._fetched(document, batch)
        if self._tracing is None:
            result = execute(document, runtime, self._container, self._max_payload, self._limited, batch)
        else:
            with self._tracing.processing(_jobs(document, batch)) as span:
                result = execute(document, runtime, self._container, self._max_payload, self._limited, batch)
                span.ended(*_told(result))
        self.clean_up()
        if self._events.has_handlers:
            self._ended(document, batch, result)
        return result

    async def attempt(
        self, document: dict[str, Any], runtime: AsyncRuntime, batch: BatchRun | None = None
    ) -> AttemptResult:
        """Does the same for an async job; raises nothing."""
        self._fetched(document, batch)
        if self._tracing is None:
            result = await execute_async(document, runtime, self._container, self._max_payload, batch)
        else:
            with self._tracing.processing(_jobs(document, batch)) as span:
                result = await execute_async(document, runtime, self._container, self._max_payload, batch)
                span.ended(*_told(result))
        if result is not INTERRUPTED:
            self._ended(document, batch, result)
        return result

    def _fetched(self, document: Mapping[str, Any], batch: BatchRun | None) -> None:
        for one in _jobs(document, batch):
            self._events.emit(FETCHED, self._worker, one)

    def _ended(self, document: Mapping[str, Any], batch: BatchRun | None, result: AttemptResult) -> None:
        if batch is None:
            self._events.emit_end(self._worker, document, *result)
            return
        outcomes = batch.outcomes(result)
        for place, one in enumerate(batch.documents):
            self._events.emit_end(self._worker, one, *outcomes.get(place, result))

    def notification(self, document: dict[str, Any], runtime: JobRuntime) -> Coroutine[Any, Any, Any] | None:
        """Calls the job's `notification`; returns the coroutine of an async one. Exceptions pass through."""
        with self._limited or nullcontext():
            answer = notify(document, runtime, self._container, Process(runtime.scheduler(), document))
        return answer if iscoroutine(answer) else None

    def clean_up(self) -> None:
        """Restores, while no job runs, what the last one has changed, and kills what it left running.

        Lifts the limits, as CpuLimitError may have come in between. Exits if this is a fork.
        """
        if os.getpid() != self._pid:
            self.exit_if_forked()
        if self._limited is not None:
            self._limited.loosen()
        if self._surroundings is not None and (spoiled := self._surroundings.restore()):
            self._spoil(", ".join(spoiled))
        if self._leftovers is not None and not self._leftovers.end():
            self._spoil("processes that cannot be killed")

    def close(self) -> None:
        """Sends the spans that are left, as the worker ends."""
        if self._tracing is not None:
            try:
                self._tracing.flush()
            except Exception:  # of the exporter that the application has set up
                logger.exception("spans are not sent")

    def _spoil(self, what: str) -> None:
        self.is_spoiled = True
        logger.info("a job left changes that cannot be undone; its worker is replaced", extra={"left": what})

    def exit_if_forked(self, error: BaseException | None = None) -> None:
        """Exits if this is a fork that a job made and let return: it is no worker, and must not report or take runs."""
        if os.getpid() != self._pid:
            leave_fork(self._pid, error)


def _jobs(document: Mapping[str, Any], batch: BatchRun | None) -> Sequence[Mapping[str, Any]]:
    return (document,) if batch is None else batch.documents


def _told(result: AttemptResult) -> tuple[str, Mapping[str, Any] | None]:
    """Returns what a span tells of the end of an attempt."""
    error = result.content.get("error")
    return result.ending.name.lower(), error if isinstance(error, Mapping) else None
