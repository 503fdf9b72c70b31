"""`AsyncRecord`: the record of a program as the asyncio twin of the scheduler keeps it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from taskscheduler.operations.programs import Record

Call = Callable[..., Coroutine[Any, Any, Any]]


class AsyncRecord:
    """A Record for asyncio: `async with`, and coroutines instead of blocking methods."""

    def __init__(self, call: Call, make: Callable[[], Record]) -> None:
        self._call = call
        self._make = make
        self._record: Record | None = None

    @property
    def record(self) -> Record:
        """What was last known about the record, once it was started; its blocking methods are not for the loop."""
        if self._record is None:
            raise RuntimeError("the record is not started: use `async with`, or await start()")
        return self._record

    async def start(self) -> Self:
        """Store the record. See Record.start."""
        self._record = await self._call(self._make)
        await self._call(self.record.start)
        return self

    async def finish(self, success: bool = True, result: Any = None) -> None:
        """End the record. See Record.finish."""
        await self._call(self.record.finish, success, result)

    async def fail(self, message: str, result: Any = None) -> None:
        """End the record as FAILED. See Record.fail."""
        await self._call(self.record.fail, message, result)

    async def sign_of_life(self) -> None:
        """Say that this program lives. See Record.sign_of_life."""
        await self._call(self.record.sign_of_life)

    async def update_progress(self, progress: float | None = None, message: str | None = None) -> None:
        """Say how far it is. See Record.update_progress."""
        await self._call(self.record.update_progress, progress, message)

    async def update(self, /, **fields: Any) -> None:
        """Store fields of your own. See Record.update."""
        await self._call(self.record.update, **fields)

    async def __aenter__(self) -> Self:
        return self if self._record is not None else await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._call(self.record.__exit__, kind, error, trace)
