"""Async jobs for tests."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

from taskscheduler import Job, Outcome, Process, Status, job
from tests.support.jobs import trace

_arrived: list[str] = []
_all_there = asyncio.Event()


class Forks(Job):
    """Comes back twice, beside others."""

    name = "async_forks"

    async def start(self) -> int:
        if os.fork():
            os.wait()
        return os.getpid()


class Meet(Job):
    """Ends when as many of its kind as the data says have been in this process at once."""

    name = "meet"

    async def start(self) -> int:
        _arrived.append(str(self.id))
        if len(_arrived) == self.data:
            _all_there.set()
        await _all_there.wait()
        return os.getpid()


class AsyncWait(Job):
    """Traces its steps, then waits until the file `until` exists."""

    name = "async_wait"

    async def set_up(self) -> None:
        trace(self.data["trace"], "set_up", self.id, self.attempt, os.getpid())

    async def start(self) -> int:
        trace(self.data["trace"], "start", self.id, self.attempt, os.getpid())
        while not os.path.exists(self.data["until"]):
            await asyncio.sleep(0.02)
        return os.getpid()

    async def tear_down(self, outcome: Outcome) -> None:
        await asyncio.sleep(0)
        trace(self.data["trace"], "tear_down", self.id, self.attempt, outcome.status.label)


class Blocks(Job):
    """Blocks the event loop in its first attempt."""

    name = "blocks"

    async def start(self) -> int:
        trace(self.data["trace"], "start", self.id, self.attempt, os.getpid())
        while not os.path.exists(self.data["until"]):
            await asyncio.sleep(0.02)
        if self.attempt == 1:
            trace(self.data["trace"], "blocks", self.id, self.attempt, os.getpid())
            threading.Event().wait(60)
        return self.attempt


class Meddles(Job):
    """Stops the event loop that it runs in, or cancels all other tasks there."""

    name = "async_meddles"

    async def start(self) -> int:
        if self.data == "stop":
            asyncio.get_running_loop().stop()
        else:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        await asyncio.sleep(0.05)
        return os.getpid()


class AsyncProgress(Job):
    """Reports all percents at once, also from another thread, then waits for the file."""

    name = "async_progress"

    async def start(self) -> None:
        for percent in range(100):
            self.update_progress(percent, message="here")
        await asyncio.sleep(0.05)  # the first message has gone, and it is too early for a second one
        await asyncio.to_thread(self.update_progress, 99.5, message="there")
        while not os.path.exists(self.data):
            await asyncio.sleep(0.02)


class AsyncSigns(Job):
    """Gives as many signs of life as the data say, one every 0.1 s."""

    name = "async_signs"

    async def start(self) -> None:
        for _ in range(self.data):
            await asyncio.sleep(0.1)
            self.update_progress()


class AsyncLingers(Job):
    """Keeps the event loop busy for a moment when it has ended."""

    name = "async_lingers"

    async def start(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: threading.Event().wait(0.1) and None)


class AsyncExhausts(Job):
    """Says that there is no memory left, then as `async_lingers`."""

    name = "async_exhausts"

    async def start(self) -> None:
        await AsyncLingers.start(self)  # type: ignore[arg-type]
        raise MemoryError


class AsyncRaises(Job):
    """Ends in the way that the data names."""

    name = "async_raises"

    async def start(self) -> Any:
        await asyncio.sleep(0)
        match self.data:
            case "exit":
                sys.exit(4)
            case "exit in a task":
                await asyncio.create_task(self._exit())
            case "cancelled":
                raise asyncio.CancelledError("by itself")
            case "cancels itself":
                task = asyncio.current_task()
                return task is not None and task.cancel()
            case "large":
                return bytes(2 * 1024 * 1024)
            case "nested":
                return asyncio.run(asyncio.sleep(0))
        raise ValueError(self.data)

    async def _exit(self) -> None:
        sys.exit(5)


class AsyncHooked(Job):
    """Adds a job by the scheduler of the event loop; its notification is a coroutine function, too."""

    name = "async_hooked"

    async def start(self) -> str:
        process = await self.async_scheduler.add_job("noop")
        return str(process.id)

    async def notification(self, status: Status, process: Process) -> None:
        await asyncio.sleep(0)
        trace(self.data, process.id, status)


@job(name="async_double")
async def double(number: int, *, job: Job) -> dict[str, Any]:
    await asyncio.sleep(0.01)
    return {"double": 2 * number, "attempt": job.attempt}
