"""AsyncRecord: the record of a program in asyncio."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from taskscheduler.aio.threads import LoopThreads
from taskscheduler.connection import Connection
from taskscheduler.operations.programs import Record, Tracked
from taskscheduler.store.driver_errors import translated


class AsyncRecord:
    """A Record for asyncio: `async with`, and coroutines instead of blocking methods."""

    def __init__(self, threads: LoopThreads, connection: Connection, tracked: Tracked) -> None:
        self._threads = threads
        self._connection = connection
        self._tracked = tracked
        self._record: Record | None = None

    @property
    def record(self) -> Record:
        """The state of the record as last known, once it was started; its blocking methods are not for the loop."""
        if self._record is None:
            raise RuntimeError("the record is not started: use `async with`, or await start()")
        return self._record

    async def start(self) -> Self:
        """Stores the record. See Record.start."""
        self._record = await self._threads.run(self._make)
        await self._threads.run(self.record.start)
        return self

    def _make(self) -> Record:
        with translated():
            return Record(self._connection.store, self._tracked)

    async def finish(self, success: bool = True, result: Any = None) -> None:
        """Ends the record. See Record.finish."""
        await self._threads.run(self.record.finish, success, result)

    async def fail(self, message: str, result: Any = None) -> None:
        """Ends the record as FAILED. See Record.fail."""
        await self._threads.run(self.record.fail, message, result)

    async def sign_of_life(self) -> None:
        """Reports that this program lives. See Record.sign_of_life."""
        await self._threads.run(self.record.sign_of_life)

    async def update_progress(self, progress: float | None = None, message: str | None = None) -> None:
        """Reports the progress. See Record.update_progress."""
        await self._threads.run(self.record.update_progress, progress, message)

    async def update(self, /, **fields: Any) -> None:
        """Stores fields of your own. See Record.update."""
        await self._threads.run(self.record.update, **fields)

    async def __aenter__(self) -> Self:
        return self if self._record is not None else await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._threads.run(self.record.__exit__, kind, error, trace)
