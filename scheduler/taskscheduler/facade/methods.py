"""The one place where a method of a scheduler is defined once and served blocking and as a coroutine.

A method is a plain blocking function of a class of `Methods`. The asyncio scheduler runs the same function in a thread
and turns each `Process` that it returns into an `AsyncProcess`. A new method costs two edits:

1. its definition, in the file of its group (`facade/jobs.py`, `facade/services.py`, ...);
2. one line in the asynchronous class: `pause = coroutine(Queues.pause)`.

A new group of methods, such as `scheduler.queues`, is one file:

    class Queues(Methods):
        def pause(self, name: str) -> bool:
            '''Keeps nodes from starting jobs of this queue; returns whether it was running.'''
            with translated():
                return pause(self._core.store, name)

    class AsyncQueues(AsyncMethods[Queues, P]):
        pause = coroutine(Queues.pause)

Operations makes `self.queues = Queues(self._core)`, and AsyncScheduler makes
`self.queues = AsyncQueues(blocking.queues, threads, processes)`. Type checkers see the parameters and results of both
forms; names, signatures and docstrings are those of the blocking method. A method that takes any keyword writes
`self, /`, so that `self` may be one of them. Do not serve this way a method that waits for long, since it would keep
one of few threads, or a method that returns data of the user, which must not be searched for processes. The tests of
this folder check that each group has both forms.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from taskscheduler.facade.core import Core
from taskscheduler.model.process_state import ProcessState
from taskscheduler.process import Process

A = ParamSpec("A")
M = TypeVar("M")
P = TypeVar("P", bound=ProcessState)
T = TypeVar("T")
M_co = TypeVar("M_co", covariant=True)
P_co = TypeVar("P_co", bound=ProcessState, covariant=True)


class Methods:
    """A group of blocking methods of a scheduler."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def core(self) -> Core:
        """The parts below these methods; for the asyncio twin, not for applications."""
        return self._core


class Threads(Protocol):
    """Runs blocking functions for an event loop."""

    async def run(self, function: Callable[..., T], /, *args: Any, **given: Any) -> T:
        """Runs it in a thread and returns its result."""
        ...


class Adopting(Protocol[P_co]):
    """Turns the processes of the blocking methods into those of the event loop."""

    def adopt(self, process: Process) -> P_co:
        """Returns the same job, with the same outcome."""
        ...


class AsyncMethods(Generic[M_co, P_co]):
    """The same methods as coroutines: each runs in a thread."""

    def __init__(self, blocking: M_co, threads: Threads, processes: Adopting[P_co]) -> None:
        self._blocking = blocking
        self._threads = threads
        self._processes = processes

    async def _call(self, method: Callable[..., Any], /, *args: Any, **given: Any) -> Any:
        return self._adopted(await self._threads.run(method, self._blocking, *args, **given))

    async def _call_in(self, session: Any, method: Callable[..., Any], /, *args: Any, **given: Any) -> Any:
        """Prepares in a thread what the method does in the transaction of a session, and does it in the loop."""

        def prepare(plan: Any) -> None:
            method(self._blocking, *args, session=plan, **given)

        work = cast(Methods, self._blocking).core.in_session
        return self._adopted(await work.carry_out_async(session, prepare, self._threads))

    def _adopted(self, result: Any) -> Any:
        if isinstance(result, Process):
            return self._processes.adopt(result)
        if isinstance(result, list):
            return [self._processes.adopt(one) if isinstance(one, Process) else one for one in result]
        return result


@overload
def coroutine(
    method: Callable[Concatenate[M, A], Process],
) -> Callable[Concatenate[AsyncMethods[M, P], A], Coroutine[Any, Any, P]]: ...


@overload
def coroutine(
    method: Callable[Concatenate[M, A], list[Process]],
) -> Callable[Concatenate[AsyncMethods[M, P], A], Coroutine[Any, Any, list[P]]]: ...


@overload
def coroutine(
    method: Callable[Concatenate[M, A], T],
) -> Callable[Concatenate[AsyncMethods[M, ProcessState], A], Coroutine[Any, Any, T]]: ...


def coroutine(
    method: Callable[Concatenate[M, A], Any],
) -> Callable[Concatenate[AsyncMethods[M, Any], A], Coroutine[Any, Any, Any]]:
    """Returns a blocking method as a coroutine function, with its name, parameters and docstring."""

    has_session = "session" in signature(method).parameters

    @wraps(method)
    async def served(self: AsyncMethods[M, Any], /, *args: A.args, **given: A.kwargs) -> Any:
        if has_session and (session := given.pop("session", None)) is not None:
            return await self._call_in(session, method, *args, **given)
        return await self._call(method, *args, **given)

    return served
