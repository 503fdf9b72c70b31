"""AsyncLogs: the methods of `scheduler.logs` as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from bson import ObjectId

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.facade.logs import Logs, open_log
from taskscheduler.facade.methods import AsyncMethods, coroutine
from taskscheduler.model.logs.lines import LogLine
from taskscheduler.operations.logs.reading import LOOK_EVERY, LogReading
from taskscheduler.store.driver_errors import translated


class AsyncLogs(AsyncMethods[Logs, AsyncProcess]):
    """What jobs have logged and printed, attempt by attempt."""

    page = coroutine(Logs.page)
    attempts = coroutine(Logs.attempts)

    async def lines(
        self, job_id: ObjectId | str, attempt: int | None = None, follow: bool = False
    ) -> AsyncIterator[LogLine]:
        """Yields the lines of a job, the oldest first. See Logs.lines."""
        reading = await self._threads.run(open_log, self._blocking.core, job_id, attempt, follow)
        while not reading.is_over:
            found = await self._threads.run(_more, reading)
            for line in found:
                yield line
            if not found and not reading.is_over:
                await asyncio.sleep(LOOK_EVERY)


def _more(reading: LogReading) -> list[LogLine]:
    with translated():
        return reading.more()
