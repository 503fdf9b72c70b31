"""@job makes a job of a function, which stays an ordinary function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, NoReturn, TypeVar, overload

from taskscheduler.declarations.batches import wants_job
from taskscheduler.declarations.class_options import decorated_options
from taskscheduler.declarations.registry import JobSpec
from taskscheduler.declarations.signature import Signature
from taskscheduler.declarations.typed import P
from taskscheduler.errors import InvalidJobError, InvalidStateError
from taskscheduler.jobs.function_calls import AsyncJobFunction, JobDecorator, JobFunction, attach_calls
from taskscheduler.jobs.job import (
    ASYNC_BATCH_FUNCTION_JOB,
    ASYNC_FUNCTION_JOB,
    BATCH_FUNCTION_JOB,
    FUNCTION_JOB,
    Job,
    check_no_generator,
    module_name,
)
from taskscheduler.model.raised import Exceptions
from taskscheduler.model.solo import Solo

R = TypeVar("R")


class _NoJob:
    """Stands for the running job in a function that was called directly."""

    def __getattr__(self, name: str) -> NoReturn:
        raise InvalidStateError("no job runs here: the function was called directly; call it with job=...")

    def __repr__(self) -> str:
        return "CURRENT_JOB"


#: the default of the parameter `job` of a `@job` function: callers leave it out, and the worker gives the running job
CURRENT_JOB: Any = _NoJob()


class FunctionJob(Job):
    """The job that `@job` makes of a function."""

    name = FUNCTION_JOB
    function: ClassVar[Callable[..., Any]]

    @classmethod
    def _make_spec(cls, is_async: bool) -> JobSpec:
        return JobSpec(cls, Job, is_async=is_async, function=cls.function)

    def start(self) -> Any:
        return self._call()

    def _call(self) -> Any:
        signature = self.declaration()
        args, named = signature.load(self.data)
        running = {"job": self} if signature.wants_job else {}
        return type(self).function(*args, **named, **running)

    @classmethod
    def declaration(cls) -> Signature:
        """Returns the arguments that the function takes."""
        signature = None if cls.__job__ is None else cls.__job__.signature
        if signature is None:
            raise InvalidJobError(f"{cls.__qualname__} has no function; decorate one with @job")
        return signature


class AsyncFunctionJob(FunctionJob):
    """The job that `@job` makes of a coroutine function."""

    name = ASYNC_FUNCTION_JOB

    async def start(self) -> Any:
        return await self._call()


class BatchFunctionJob(FunctionJob):
    """The job that `@job` with the option `batch` makes of a function."""

    name = BATCH_FUNCTION_JOB

    def start(self, items: Any = None) -> Any:
        return self._call_with(items)

    def _call_with(self, items: Any) -> Any:
        function = type(self).function
        return function(items, job=self) if wants_job(function) else function(items)


class AsyncBatchFunctionJob(BatchFunctionJob):
    """The job that `@job` with the option `batch` makes of a coroutine function."""

    name = ASYNC_BATCH_FUNCTION_JOB

    async def start(self, items: Any = None) -> Any:
        return await self._call_with(items)


@overload
def job(function: Callable[P, Coroutine[Any, Any, R]]) -> AsyncJobFunction[P, R]: ...


@overload
def job(function: Callable[P, R]) -> JobFunction[P, R]: ...


@overload
def job(  # one argument stands for the data of many jobs
    *,
    batch: int,
    name: str | None = None,
    retry_on: Exceptions = (),
    discard_on: Exceptions = (),
    **options: Any,
) -> Callable[[Callable[..., Any]], JobFunction[..., Any]]: ...


@overload
def job(
    *,
    name: str | None = None,
    solo: Solo = False,
    retry_on: Exceptions = (),
    discard_on: Exceptions = (),
    **options: Any,
) -> JobDecorator: ...


def job(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    solo: Solo = False,
    retry_on: Exceptions = (),
    discard_on: Exceptions = (),
    **options: Any,
) -> Any:
    """Registers a function as a job; it stays an ordinary function, and gets `add`, `add_async` and `options`.

    `resize.options(retry=3).add("a.png", width=9)` adds a job with these arguments by the default scheduler,
    `scheduler.add_job(resize, data)` one with data. The data becomes the arguments: a mapping by name, a list by
    position, anything else as the only one. A keyword-only parameter `job` receives the running Job (id, attempt,
    update_progress, logger, fail, snooze, scheduler); its default CURRENT_JOB tells type checkers that callers leave
    it out. Data that do not fit the signature and its annotations are refused when the job is added, and before it
    runs.

    `solo` and `options`, job options such as `retry=3`, are the defaults of this job, as they are on a class. So are
    the exceptions `retry_on` and `discard_on`. InvalidOptionError for an unknown one or a wrong value.

    With `batch=100` the function takes one argument, the list of the data of up to so many jobs: see Job.
    """
    checked = decorated_options(options)

    def register(function: Any) -> Any:
        _check_function(function)
        if name is None and function.__name__ == "<lambda>":
            raise InvalidJobError(
                "a lambda has no name to be found by, and others would take its place: @job(name=...)"
            )
        qualified = f"{module_name(function.__module__)}.{function.__qualname__}"
        body = {
            **checked,
            "name": qualified if name is None else name,
            "solo": solo,
            "retry_on": retry_on,
            "discard_on": discard_on,
            "function": staticmethod(function),
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
            "__doc__": function.__doc__,
        }
        base = _base_of(function, "batch" in checked)
        made: type[FunctionJob] = type(function.__name__, (base,), body)
        function.__job__ = made.__job__
        attach_calls(function)
        return function

    return register if function is None else register(function)


def _base_of(function: Callable[..., Any], in_batches: bool) -> type[FunctionJob]:
    if inspect.iscoroutinefunction(function):
        return AsyncBatchFunctionJob if in_batches else AsyncFunctionJob
    return BatchFunctionJob if in_batches else FunctionJob


def _check_function(function: Any) -> None:
    if isinstance(function, type):
        raise InvalidJobError(
            f"@job is for functions, not for the class {function.__qualname__}; a Job needs no decorator"
        )
    if not callable(function) or not hasattr(function, "__qualname__"):
        raise InvalidJobError(f"@job is for functions, not for {function!r:.60}; a name is given as @job(name=...)")
    if not hasattr(function, "__dict__") or inspect.ismethod(function):
        raise InvalidJobError(f"@job is for functions, not for {function!r:.60}; let a function call it")
    check_no_generator(function, function.__qualname__)
