"""AsyncListener: a thread that listens, and the queue to those who iterate."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.aio.waiting import tell
from taskscheduler.clock import Deadline
from taskscheduler.process import Process
from taskscheduler.store.change_feed import Token
from taskscheduler.store.driver_errors import translated
from taskscheduler.waiting.listener import NOTICES, Listener

_MOST_AHEAD = 1000  #: events that are kept for a slow consumer

_LOOK = 0.2  #: seconds after which a thread that waits looks whether it shall stop


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
