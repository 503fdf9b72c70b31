"""Waiting and listening in asyncio: what the threads of the library tell is handed to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from bson import ObjectId

from taskscheduler.aioprocess import AsyncProcess
from taskscheduler.clock import Deadline
from taskscheduler.endings import Watch
from taskscheduler.handle import Process, failed_with
from taskscheduler.record import Document
from taskscheduler.store.client import translated
from taskscheduler.store.feed import Token
from taskscheduler.waiting import NOTICES, Listener

_MOST_AHEAD = 1000  #: events that are kept for a slow consumer
_LOOK = 0.2  #: seconds after which a thread that waits looks whether it shall stop


class Ends:
    """The ends of some jobs, told to an event loop. No thread waits. With `throw`, a bad one ends the wait."""

    def __init__(self, processes: Iterable[AsyncProcess], loop: asyncio.AbstractEventLoop, throw: bool = False) -> None:
        self._loop = loop
        self._throw = throw
        self._done: asyncio.Future[None] = loop.create_future()
        self._done.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, should nobody ask
        self._waiting: dict[ObjectId, list[AsyncProcess]] = {}
        for process in processes:
            self._waiting.setdefault(process.id, []).append(process)
        self.known = {job_id: found[0].status for job_id, found in self._waiting.items()}
        self.watch = Watch(self._told)

    @property
    def left(self) -> int:
        return len(self._waiting)

    async def wait(self, timeout: float | None) -> None:
        """Until all have ended or the time is over. Raises what keeps one from ever being known to have ended."""
        if self._waiting or self._done.done():
            await asyncio.wait([self._done], timeout=timeout)
        if self._done.done():
            self._done.result()

    def _told(self, job_id: ObjectId, outcome: Document | Exception) -> None:
        tell(self._loop, self._take, job_id, outcome)

    def _take(self, job_id: ObjectId, outcome: Document | Exception) -> None:
        processes = self._waiting.pop(job_id, [])
        if self._done.done():
            return
        if isinstance(outcome, Exception):
            self._done.set_exception(outcome)
            return
        for process in processes:
            process.replace(outcome)
        if self._throw and processes and (failure := failed_with(processes[0])) is not None:
            self._done.set_exception(failure)
        elif not self._waiting:
            self._done.set_result(None)


class AsyncListener:
    """All changes of status that match a query, as `async for process in ...`; `token` is the place behind the last.

    It begins with the first step, or as soon as it is entered with `async with`. Leaving the loop or the block ends
    its thread, and so does the cancellation of a task that waits for the next change, as in an async generator.
    """

    def __init__(
        self,
        listener: Callable[[], Listener],
        adopt: Callable[[Process], AsyncProcess],
        announce: Callable[[str, Process], None],
        deadline: Deadline,
    ) -> None:
        self._adopt = adopt
        self._work = _Relay(listener, announce, deadline)
        self.token: Token | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AsyncProcess:
        await self._open()
        try:
            item = await self._work.next()
        except asyncio.CancelledError:
            self.stop()  # at once: the task may be kept, and with it all that it holds
            raise
        if item is None:
            raise StopAsyncIteration
        process, token = item
        self.token = token or self.token
        return self._adopt(process)

    async def _open(self) -> None:
        if self._work.loop is None:
            try:
                await self._work.start(asyncio.get_running_loop())
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
        """End it now; the loop over it ends as well."""
        self.stop()

    def stop(self) -> None:
        """The same from any thread; the thread ends within a second."""
        self._work.stop()

    def join(self) -> None:
        """Block until the thread has ended."""
        self._work.join()

    def __del__(self) -> None:
        self._work.stop()


_Item = tuple[Process, Token | None]


class _Relay:
    """A thread that listens, and the queue to those who iterate. Knows nothing of them, so that they may vanish."""

    def __init__(
        self, listener: Callable[[], Listener], announce: Callable[[str, Process], None], deadline: Deadline
    ) -> None:
        self._listener = listener
        self._announce = announce
        self._deadline = deadline
        self._stop = threading.Event()
        self._room = threading.Semaphore(_MOST_AHEAD)
        self._items: asyncio.Queue[_Item | None] = asyncio.Queue()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Return when the stream is open."""
        self.loop, opened = loop, loop.create_future()

        def told(error: Exception | None) -> None:
            if not opened.done():
                opened.set_result(None) if error is None else opened.set_exception(error)

        self._thread = threading.Thread(target=self._run, args=(loop, told), name="taskscheduler-aio-listen")
        self._thread.daemon = True
        self._thread.start()
        await opened

    async def next(self) -> _Item | None:
        """The next change and, if it is the last of its event, the place behind it; None at the end."""
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
        if self.loop is not None:
            tell(self.loop, self._items.put_nowait, None)

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop, told: Callable[[Exception | None], None]) -> None:
        try:
            with translated():
                listener = self._listener()
                listener.open()
                tell(loop, told, None)
                for news in listener.batches(self._deadline, self._stop.is_set):
                    self._pass_on(loop, [one for one in news if self._announced(*one)], listener.token)
        except Exception as error:
            self._error = error
            tell(loop, told, error)
        tell(loop, self._items.put_nowait, None)

    def _announced(self, event: str, process: Process) -> bool:
        self._announce(event, process)
        return event not in NOTICES

    def _pass_on(self, loop: asyncio.AbstractEventLoop, news: list[tuple[str, Process]], token: Token | None) -> None:
        for number, (_, process) in enumerate(news, 1):
            while not self._room.acquire(timeout=_LOOK):
                if self._stop.is_set():
                    return
            if not tell(loop, self._items.put_nowait, (process, token if number == len(news) else None)):
                self._stop.set()


def tell(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> bool:
    """Call it in the event loop; False if that is closed, so that nobody is there to be told."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return False
    return True
