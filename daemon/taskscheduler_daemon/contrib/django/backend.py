"""The backend for Django's TASKS: adds tasks as jobs, and returns their results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from taskscheduler import InvalidOptionError, JobNotFoundError, Process, Scheduler, SchedulerError, default_scheduler
from taskscheduler.calls import checked_options
from taskscheduler_daemon.contrib.django.framework import (
    BaseTaskBackend,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    task_enqueued,
)
from taskscheduler_daemon.contrib.django.results import result_of
from taskscheduler_daemon.contrib.django.runs import register

_OPTIONS = ("uri", "job", "tasks")


class TaskSchedulerBackend(BaseTaskBackend):
    """Runs Django's tasks as jobs, each under its path such as `shop.tasks.send_mail`.

    OPTIONS: `uri`, that of a MongoDB database (default: as for `Scheduler()`); `job`, job options for all tasks;
    `tasks`, job options for single ones, by their paths.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._own: Scheduler | None = None
        self._check()

    def _check(self) -> None:
        where = f"TASKS[{self.alias!r}]['OPTIONS']"
        unknown = sorted(set(self.options) - set(_OPTIONS))
        if unknown:
            raise ImproperlyConfigured(f"{where} has no option {unknown[0]!r}; it takes {', '.join(_OPTIONS)}")
        try:
            checked_options(self.options.get("job"), {})
            for options in (self.options.get("tasks") or {}).values():
                checked_options(options, {})
            if self.options.get("uri") is not None:
                self._own = Scheduler(self.options["uri"])
        except SchedulerError as error:
            raise ImproperlyConfigured(f"{where}: {error}") from None

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler of these tasks; it connects on first use."""
        return default_scheduler() if self._own is None else self._own

    def validate_task(self, task: Task) -> None:
        """Refuses what Django refuses; a task that may run is known to the nodes from now on."""
        super().validate_task(task)
        register(self, task)

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """Adds the task as a job. The arguments are JSON, as Django asks for."""
        self.validate_task(task)
        data = {"args": list(args), "kwargs": dict(kwargs)}
        process = self.scheduler.add_job(task.module_path, data, self._job_options(task))
        result = result_of(self, task, process)
        task_enqueued.send(type(self), task_result=result)
        return result

    def _job_options(self, task: Task) -> Mapping[str, Any]:
        options = {**(self.options.get("job") or {}), **(self.options.get("tasks") or {}).get(task.module_path, {})}
        options |= {"queue": task.queue_name, "priority": task.priority}
        return options if task.run_after is None else {**options, "at": task.run_after}

    def get_result(self, result_id: str) -> TaskResult:
        """Returns a task as it is now; TaskResultDoesNotExist for an unknown id, or a task that is not known here."""
        process = self._found(result_id)
        task = register.known(process.job)
        if task is None:
            raise TaskResultDoesNotExist(f"{result_id}: the task {process.job} is not known in this process")
        return result_of(self, task, process)

    def _found(self, result_id: str) -> Process:
        try:
            return self.scheduler.get_job(result_id)
        except (JobNotFoundError, InvalidOptionError):
            raise TaskResultDoesNotExist(result_id) from None
