"""Flask: a scheduler for the application, and jobs that run in its context.

>>> tasks = TaskScheduler()
>>> def create_app() -> Flask:
...     app = Flask(__name__)
...     app.config["TASKSCHEDULER_URI"] = "mongodb://host/app"
...     tasks.init_app(app)
...     return app
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import ParamSpec, TypeVar

from flask import Flask, current_app, has_app_context

from taskscheduler import InvalidJobError, Scheduler, SchedulerError, set_default_scheduler

P = ParamSpec("P")
R = TypeVar("R")

_NAME = "taskscheduler"


class TaskScheduler:
    """The extension. It reads TASKSCHEDULER_URI and TASKSCHEDULER_OPTIONS, a mapping, from the application's config."""

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Gives the application a scheduler, which connects on first use; it becomes the default one of the process.

        Without TASKSCHEDULER_URI it is the one of `Scheduler()`. InvalidOptionError for a wrong URI or option.
        """
        options = app.config.get("TASKSCHEDULER_OPTIONS") or {}
        scheduler = Scheduler(app.config.get("TASKSCHEDULER_URI"), options=options)
        app.extensions[_NAME] = scheduler
        set_default_scheduler(scheduler)

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler of the current application. SchedulerError if `init_app` was not called for it."""
        scheduler = current_app.extensions.get(_NAME)
        if not isinstance(scheduler, Scheduler):
            raise SchedulerError(f"{current_app.name} has no scheduler: call init_app(app) where you make it")
        return scheduler


def with_app_context(make_app: Callable[[], Flask]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Runs a function in the context of the application, which is made on the first run in a process.

    It stands below `@job`. A context that is there already, as in a test, is used. InvalidJobError for a coroutine
    function.
    """
    made: list[Flask] = []

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if iscoroutinefunction(function):
            raise InvalidJobError(f"with_app_context is for plain functions; {function.__qualname__} is a coroutine")

        @wraps(function)
        def run(*args: P.args, **named: P.kwargs) -> R:
            if has_app_context():
                return function(*args, **named)
            if not made:
                made.append(make_app())
            with made[0].app_context():
                return function(*args, **named)

        return run

    return decorate
