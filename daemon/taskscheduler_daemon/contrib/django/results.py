"""What Django calls a task result, made of a job."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taskscheduler import Process, Status
from taskscheduler_daemon.contrib.django.framework import Task, TaskError, TaskResult, TaskResultStatus

if TYPE_CHECKING:
    from taskscheduler_daemon.contrib.django.framework import BaseTaskBackend

_STATUS = {
    Status.WAITING: TaskResultStatus.READY,
    Status.POSTPONED: TaskResultStatus.READY,
    Status.PROCESSING: TaskResultStatus.RUNNING,
    Status.DONE: TaskResultStatus.SUCCESSFUL,
    Status.FAILED: TaskResultStatus.FAILED,
    Status.CANCELED: TaskResultStatus.FAILED,
    Status.TIMEOUT: TaskResultStatus.FAILED,
}


def result_of(backend: BaseTaskBackend, task: Task, process: Process) -> TaskResult:
    """Returns a job as the result of this task. A cancelled job is FAILED, since Django knows nothing else."""
    attempts, data = process.attempts, process.data if isinstance(process.data, Mapping) else {}
    started = [one["started"] for one in attempts if one.get("started") is not None]
    result = TaskResult(
        task=task,
        id=process.id_text,
        status=_STATUS[process.status],
        enqueued_at=process.created,
        started_at=started[0] if started else None,
        last_attempted_at=started[-1] if started else None,
        finished_at=process.ended,
        args=data.get("args", []),
        kwargs=data.get("kwargs", {}),
        backend=backend.alias,
        errors=[error_of(one["error"]) for one in attempts if one.get("error")],
        worker_ids=[str(one.get("worker")) for one in attempts if one.get("started") is not None],
    )
    if process.status is Status.DONE:
        object.__setattr__(result, "_return_value", process.result_value)
    return result


def error_of(error: Mapping[str, Any]) -> TaskError:
    """Returns the stored error of an attempt as Django's; its class is imported only by who asks for it."""
    name, text = str(error.get("type")), str(error.get("traceback") or error.get("message") or "")
    path = f"builtins.{name}" if hasattr(builtins, name) else name
    return TaskError(exception_class_path=path, traceback=text)
