"""AsyncFlows: the methods of `scheduler.flows` as coroutines, and AsyncRunningFlow, the flow that they return."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from bson import ObjectId

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.aio.threads import LoopThreads
from taskscheduler.aio.waiting import AsyncWait, wait_for
from taskscheduler.clock import Backoff, Deadline
from taskscheduler.declarations.flows import Flow
from taskscheduler.errors import JobNotFoundError, WaitTimeoutError
from taskscheduler.facade.core import Core
from taskscheduler.facade.flows import AT_ONCE, FIRST_PAUSE, LONGEST_PAUSE, Flows, late, raise_for_flow
from taskscheduler.facade.methods import Adopting, AsyncMethods, coroutine
from taskscheduler.flow_state import FlowState
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.store.transactions.steps import AnySession

Jobs = list[AsyncProcess]
Found = list["AsyncRunningFlow"]  #: within the class, `list` is a method of it


class AsyncFlows(AsyncMethods[Flows, AsyncProcess]):
    """Jobs that come after each other, added all at once; see `Flow`, `chain` and `group`."""

    def __init__(self, blocking: Flows, threads: LoopThreads, processes: Adopting[AsyncProcess], core: Core) -> None:
        super().__init__(blocking, threads, processes)
        self._loop_threads = threads
        self._core = core

    extend = coroutine(Flows.extend)
    processes = coroutine(Flows.processes)
    tree = coroutine(Flows.tree)
    outline = coroutine(Flows.outline)
    describe = coroutine(Flows.describe)
    cancel = coroutine(Flows.cancel)
    retry = coroutine(Flows.retry)

    async def add(self, flow: Flow, *, session: AnySession | None = None) -> AsyncRunningFlow:
        """Stores a flow with all its jobs in one transaction. See Flows.add."""
        if session is not None:
            return self._running(await self._call_in(session, Flows.add, flow))
        return self._running(await self._call(Flows.add, flow))

    async def get(self, flow_id: ObjectId | str) -> AsyncRunningFlow:
        """Returns the flow with this id; FlowNotFoundError if there is none. See Flows.get."""
        return self._running(await self._call(Flows.get, flow_id))

    async def list(
        self,
        status: str | None = None,
        limit: int = 100,
        *,
        name: str | None = None,
        before: ObjectId | str | None = None,
        counted: bool = True,
    ) -> Found:
        """Returns flows, the newest first. See Flows.list."""
        listing = partial(Flows.list, name=name, before=before, counted=counted)
        return [self._running(flow) for flow in await self._call(listing, status, limit)]

    async def wait(
        self, flow_id: ObjectId | str, timeout: Seconds | None = None, throw: bool = False
    ) -> AsyncRunningFlow:
        """Returns a flow when none of its jobs is live any more. See Flows.wait."""
        limit = waiting_time(timeout)
        deadline, backoff = Deadline(limit, self._core.clock), Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not (flow := await self.get(flow_id)).has_ended:
            left = None if limit is None else deadline.left(limit)
            if deadline.passed:
                raise late(flow, limit)
            if last := await self._threads.run(self._last, flow.id):
                await self._wait_for(last, left, late(flow, limit))
            else:  # whoever has written the last end is about to end the flow
                await asyncio.sleep(backoff.next())
        self._core.announcer.announce_flow(self._core.running_flows.flow(flow.to_dict()))
        if throw:
            raise_for_flow(flow.status, await self.processes(flow.id))
        return flow

    def _last(self, flow_id: ObjectId) -> Jobs:
        jobs = self._core.store.flows.jobs.last_live(flow_id, AT_ONCE)
        return [self._processes.adopt(self._core.processes.process(job)) for job in jobs]

    async def _wait_for(self, last: Jobs, left: float | None, if_late: WaitTimeoutError) -> None:
        try:
            wait = AsyncWait(last, asyncio.get_running_loop())
            await wait_for(self._core.completions, self._loop_threads, wait, left)
        except WaitTimeoutError:
            raise if_late from None
        except JobNotFoundError:
            pass  # somebody has deleted it

    def _running(self, flow: FlowState) -> AsyncRunningFlow:
        return AsyncRunningFlow(self, flow.to_dict())

    def adopt(self, flow: FlowState) -> AsyncRunningFlow:
        """Returns the twin of a flow, for handlers of events."""
        return self._running(flow)


class AsyncRunningFlow(FlowState):
    """A RunningFlow for asyncio: the same properties, coroutines instead of blocking methods."""

    def __init__(self, flows: AsyncFlows, document: Mapping[str, Any]) -> None:
        super().__init__(document)
        self._flows = flows

    async def processes(self) -> list[AsyncProcess]:
        """Returns its jobs as they are now, those first that come after no other."""
        return await self._flows.processes(self.id)

    async def refresh(self) -> AsyncRunningFlow:
        """Reads the flow again; FlowNotFoundError if it was deleted."""
        self.replace((await self._flows.get(self.id)).to_dict())
        return self

    async def wait(self, timeout: Seconds | None = None, throw: bool = False) -> AsyncRunningFlow:
        """Returns when none of its jobs is live any more. See RunningFlow.wait."""
        self.replace((await self._flows.wait(self.id, timeout, throw)).to_dict())
        return self

    async def cancel(self, reason: str | None = None) -> bool:
        """Cancels all of its jobs that have not ended. See RunningFlow.cancel."""
        cancelled = await self._flows.cancel(self.id, reason)
        await self.refresh()
        return cancelled

    async def retry_failed(self, reason: str | None = None) -> int:
        """Puts jobs back that failed, and those that were cancelled because of them. See RunningFlow.retry_failed."""
        queued = await self._flows.retry(self.id, reason)
        await self.refresh()
        return queued
