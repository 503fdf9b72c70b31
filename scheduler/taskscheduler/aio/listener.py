"""AsyncListener: a thread that listens, and the queue to those who iterate."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from taskscheduler.aio.process import AsyncProcess, AsyncProcesses
from taskscheduler.aio.threads import call_in_loop
from taskscheduler.clock import Deadline
from taskscheduler.facade.core import Core
from taskscheduler.process import Process
from taskscheduler.store.change_feed import Token
from taskscheduler.store.driver_errors import translated
from taskscheduler.waiting.listener import NOTICES, JobEvent, Listener

_MOST_AHEAD = 1000  #: events that wait for a slow consumer

_LOOK = 0.2  #: seconds after which a thread that waits checks whether it was stopped


class Listening(NamedTuple):
    """The arguments of AsyncScheduler.listen: a query, the place behind which to begin, and the end."""

    query: Mapping[str, Any] | None
    after: Token | None
    deadline: Deadline


class AsyncListener:
    """All changes of status that match a query, as `async for process in ...`; `token` is the place behind the last.

    It begins with the first step, or as soon as it is entered with `async with`. Leaving the loop or the block ends
    its thread, and so does the cancellation of a task that waits for the next change, as in an async generator.
    """

    def __init__(self, core: Core, processes: AsyncProcesses, listening: Listening) -> None:
        self._processes = processes
        self._relay = _Relay(core, listening)
        self.token: Token | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AsyncProcess:
        await self._open()
        try:
            item = await self._relay.next()
        except asyncio.CancelledError:
            self.stop()  # at once: the task may be kept, and with it all that it holds
            raise
        if item is None:
            raise StopAsyncIteration
        process, token = item
        self.token = token or self.token
        return self._processes.adopt(process)

    async def _open(self) -> None:
        if self._relay.loop is None:
            try:
                await self._relay.start(asyncio.get_running_loop())
            except asyncio.CancelledError:
                self.stop()
                raise

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends the listener now; a loop over it ends as well."""
        self.stop()

    def stop(self) -> None:
        """Does the same from any thread; the thread of the listener ends within a second."""
        self._relay.stop()

    def join(self) -> None:
        """Blocks until the thread has ended."""
        self._relay.join()

    def __del__(self) -> None:
        self._relay.stop()


_Item = tuple[Process, Token | None]


class _Relay:
    """A thread that listens, and a queue to the AsyncListener, which it does not refer to: that may be collected."""

    def __init__(self, core: Core, listening: Listening) -> None:
        self._core = core
        self._listening = listening
        self._stop = threading.Event()
        self._room = threading.Semaphore(_MOST_AHEAD)
        self._items: asyncio.Queue[_Item | None] = asyncio.Queue()
        self._error: Exception | None = None
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts the thread and returns when the stream is open."""
        self.loop, opened = loop, loop.create_future()

        def resolve(error: Exception | None) -> None:
            if not opened.done():
                opened.set_result(None) if error is None else opened.set_exception(error)

        self._thread = threading.Thread(target=self._run, args=(loop, resolve), name="taskscheduler-aio-listen")
        self._thread.daemon = True
        self._thread.start()
        await opened

    async def next(self) -> _Item | None:
        """Returns the next change and, if it is the last of its event, the place behind it; None at the end."""
        item = await self._items.get()
        if item is None:
            self._items.put_nowait(None)
            if self._error is not None:
                raise self._error
            return None
        self._room.release()
        return item

    def stop(self) -> None:
        self._stop.set()
        if self._listener is not None:
            self._listener.wake()
        if self.loop is not None:
            call_in_loop(self.loop, self._items.put_nowait, None)

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop, resolve: Callable[[Exception | None], None]) -> None:
        try:
            with translated():
                listener = self._listener = self._core.listener(self._listening.query, self._listening.after)
                listener.open()
                call_in_loop(loop, resolve, None)
                for events in listener.batches(self._listening.deadline, self._stop.is_set):
                    self._pass_on(loop, [one.process for one in events if self._announced(one)], listener.token)
        except Exception as error:
            self._error = error
            call_in_loop(loop, resolve, error)
        call_in_loop(loop, self._items.put_nowait, None)

    def _announced(self, event: JobEvent) -> bool:
        self._core.announcer.announce(*event)
        return event.name not in NOTICES

    def _pass_on(self, loop: asyncio.AbstractEventLoop, processes: list[Process], token: Token | None) -> None:
        for number, process in enumerate(processes, 1):
            while not self._room.acquire(timeout=_LOOK):
                if self._stop.is_set():
                    return
            if not call_in_loop(loop, self._items.put_nowait, (process, token if number == len(processes) else None)):
                self._stop.set()
