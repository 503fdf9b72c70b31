"""Makes a job of each task, and runs it as Django expects: with its signals, context and database connections."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.utils import timezone

from taskscheduler import Job, job
from taskscheduler_daemon.contrib.django.framework import (
    Task,
    TaskContext,
    TaskError,
    TaskResult,
    TaskResultStatus,
    task_finished,
    task_started,
)

if TYPE_CHECKING:
    from taskscheduler_daemon.contrib.django.framework import BaseTaskBackend


class _Register:
    """Registers a job under the path of each task that this process has defined."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    def __call__(self, backend: BaseTaskBackend, task: Task) -> None:
        known = self._tasks.get(task.module_path)
        if known is not None and known.func is task.func:
            return  # the same one with other options
        self._tasks[task.module_path] = task
        make = _async_run if inspect.iscoroutinefunction(task.func) else _run
        function = make(backend, task)
        function.__module__, function.__qualname__ = task.func.__module__, task.func.__qualname__
        function.__name__, function.__doc__ = task.func.__name__, task.func.__doc__
        job(name=task.module_path)(function)

    def known(self, path: str) -> Task | None:
        """Returns the task of this path, if this process has defined it. Never imports anything."""
        return self._tasks.get(path)


register = _Register()


def _run(backend: BaseTaskBackend, task: Task) -> Any:
    def run(args: list[Any], kwargs: dict[str, Any], *, job: Job) -> Any:
        attempt = _Attempt(backend, task, job, args, kwargs)
        attempt.begin()
        try:
            value = task.func(*attempt.context, *args, **kwargs)
        except Exception as error:
            attempt.failed(error)
            raise
        finally:
            close_old_connections()
        attempt.succeeded()
        return value

    return run


def _async_run(backend: BaseTaskBackend, task: Task) -> Any:
    async def run(args: list[Any], kwargs: dict[str, Any], *, job: Job) -> Any:
        attempt = _Attempt(backend, task, job, args, kwargs)
        await sync_to_async(attempt.begin)()
        try:
            value = await task.func(*attempt.context, *args, **kwargs)
        except Exception as error:
            await sync_to_async(attempt.failed)(error)
            raise
        finally:
            await sync_to_async(close_old_connections)()
        await sync_to_async(attempt.succeeded)()
        return value

    return run


class _Attempt:
    """One attempt, as signals and the context of the task show it."""

    def __init__(self, backend: BaseTaskBackend, task: Task, job: Job, args: list[Any], kwargs: dict[str, Any]) -> None:
        now = timezone.now()
        self._sender = type(backend)
        self.result = TaskResult(
            task=task,
            id=str(job.id),
            status=TaskResultStatus.RUNNING,
            enqueued_at=getattr(job.id, "generation_time", None),
            started_at=now,
            last_attempted_at=now,
            finished_at=None,
            args=args,
            kwargs=kwargs,
            backend=backend.alias,
            errors=[],
            worker_ids=["" for _ in range(job.attempt)],  # whose length is the number of the attempt
        )
        self.context = (TaskContext(task_result=self.result),) if task.takes_context else ()

    def begin(self) -> None:
        """Closes connections that are broken or too old, as Django does before a request."""
        close_old_connections()
        task_started.send(self._sender, task_result=self.result)

    def failed(self, error: Exception) -> None:
        """Tells of an attempt that raised; whether the job is tried again is not known here."""
        path = f"{type(error).__module__}.{type(error).__qualname__}"
        self.result.errors.append(TaskError(exception_class_path=path, traceback=str(error)))
        self._end(TaskResultStatus.FAILED)

    def succeeded(self) -> None:
        """Tells of an attempt that returned."""
        self._end(TaskResultStatus.SUCCESSFUL)

    def _end(self, status: TaskResultStatus) -> None:
        object.__setattr__(self.result, "finished_at", timezone.now())
        object.__setattr__(self.result, "status", status)
        task_finished.send(self._sender, task_result=self.result)
