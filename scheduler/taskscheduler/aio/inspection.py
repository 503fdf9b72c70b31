"""AsyncInspection: the methods of `scheduler.inspect` as coroutines."""

from __future__ import annotations

import asyncio

from bson import ObjectId

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.clock import SYSTEM_CLOCK, Backoff, Deadline
from taskscheduler.facade.inspection import DEFAULT_TIMEOUT, FIRST_PAUSE, LONGEST_PAUSE, Inspection, timeout_of
from taskscheduler.facade.methods import AsyncMethods, coroutine
from taskscheduler.model.attempts.stack import Stack
from taskscheduler.model.checks import Seconds
from taskscheduler.operations.stack import late


class AsyncInspection(AsyncMethods[Inspection, AsyncProcess]):
    """Looks into running jobs."""

    ask = coroutine(Inspection.ask)
    look = coroutine(Inspection.look)
    forget = coroutine(Inspection.forget)

    async def stack(self, job_id: ObjectId | str, timeout: Seconds = DEFAULT_TIMEOUT) -> Stack:
        """Returns where a running job is right now; takes no thread while it waits. See Inspection.stack."""
        limit = timeout_of(timeout)
        question = await self.ask(job_id, limit)
        deadline, backoff = Deadline(limit, SYSTEM_CLOCK), Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        try:
            while (answer := await self.look(question)) is None:
                if deadline.passed:
                    raise late(question, limit)
                await asyncio.sleep(deadline.left(backoff.next()))
            return answer
        finally:
            await self.forget(question)
