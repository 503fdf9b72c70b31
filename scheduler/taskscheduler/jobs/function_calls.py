"""`resize.options(retry=3).add("a.png")`: adding a `@job` function with its own arguments, which type checkers know."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, Protocol, TypeVar, Unpack, overload

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.calls import checked_options
from taskscheduler.declarations.typed import JobOptionArguments, P, R_co, TypedJob
from taskscheduler.jobs.default import default_async_scheduler, default_scheduler
from taskscheduler.process import Process

R = TypeVar("R")


class FunctionCalls(Generic[P, R_co]):
    """Adds a `@job` function, always with the same job options, by the default scheduler."""

    def __init__(self, job: TypedJob[P, R_co], options: Mapping[str, Any]) -> None:
        self._job = job
        self._options = checked_options(None, options)

    def add(self, /, *args: P.args, **named: P.kwargs) -> Process[R_co]:
        """Adds the job with these arguments and returns at once. Raises as Scheduler.add_job does.

        See default_scheduler for where it goes.
        """
        return default_scheduler().with_options(self._options).submit(self._job, *args, **named)

    async def add_async(self, /, *args: P.args, **named: P.kwargs) -> AsyncProcess[R_co]:
        """Does the same in an event loop."""
        return await default_async_scheduler().with_options(self._options).submit(self._job, *args, **named)


class _Declared(TypedJob[P, R_co], Protocol[P, R_co]):
    """What a function gets from `@job`, besides being one."""

    __name__: str
    __qualname__: str
    __module__: str

    @staticmethod
    def options(**options: Unpack[JobOptionArguments]) -> FunctionCalls[P, R_co]:
        """Returns calls with these job options. InvalidOptionError for an unknown one or a wrong value."""
        ...

    @staticmethod
    def add(*args: P.args, **named: P.kwargs) -> Process[R_co]:
        """Adds the job with these arguments and returns at once. See FunctionCalls.add."""
        ...

    @staticmethod
    async def add_async(*args: P.args, **named: P.kwargs) -> AsyncProcess[R_co]:
        """Does the same in an event loop."""
        ...


class JobFunction(_Declared[P, R_co], Protocol[P, R_co]):
    """A `@job` function: called, it runs here and now, as any function."""

    def __call__(self, /, *args: P.args, **named: P.kwargs) -> R_co: ...


class AsyncJobFunction(_Declared[P, R_co], Protocol[P, R_co]):
    """A `@job` coroutine function; the result of its job is what the coroutine returns."""

    def __call__(self, /, *args: P.args, **named: P.kwargs) -> Coroutine[Any, Any, R_co]: ...


class JobDecorator(Protocol):
    """What `@job(...)` with options returns."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncJobFunction[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> JobFunction[P, R]: ...


def attach_calls(function: Any) -> None:
    """Gives a function that was made a job what _Declared says."""

    def options(**options: Any) -> FunctionCalls[..., Any]:
        return FunctionCalls(function, options)

    calls: FunctionCalls[..., Any] = FunctionCalls(function, {})
    function.options, function.add, function.add_async = options, calls.add, calls.add_async
