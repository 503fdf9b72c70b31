"""Event handlers that run in the event loop, as functions or coroutine functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from inspect import iscoroutine
from typing import Any

from taskscheduler.aio.flows import AsyncFlows, AsyncRunningFlow
from taskscheduler.aio.process import AsyncProcess, AsyncProcesses
from taskscheduler.aio.threads import LoopThreads, call_in_loop
from taskscheduler.errors import InvalidOptionError
from taskscheduler.event_names import event_name
from taskscheduler.events import Events
from taskscheduler.flow_state import FlowState
from taskscheduler.model.process_state import ProcessState

AsyncHandler = Callable[[str, Any], Any]  #: called with the name of the event and the process, or the flow

Announced = AsyncProcess | AsyncRunningFlow


class AsyncHandlers:
    """Calls handlers in the event loop of a scheduler; one that raises is logged and harms nobody."""

    def __init__(self, events: Events, threads: LoopThreads, processes: AsyncProcesses, flows: AsyncFlows) -> None:
        self._events = events
        self._threads = threads
        self._processes = processes
        self._flows = flows
        self._running: set[asyncio.Task[Any]] = set()

    def on(self, event: str, handler: AsyncHandler) -> None:
        """Calls `handler(event_name, process)` in the event loop at every event of this name."""
        event_name(event)
        if not callable(handler):
            raise InvalidOptionError(f"the handler of {event!r} must be callable, not {type(handler).__name__}")

        def receive(name: str, process: ProcessState | FlowState) -> None:
            if self._threads.loop is not None:
                call_in_loop(self._threads.loop, self._handle, handler, name, self._adopted(process))

        self._events.on(event, receive)

    def _adopted(self, process: ProcessState | FlowState) -> Announced:
        return self._flows.adopt(process) if isinstance(process, FlowState) else self._processes.adopt(process)

    def _handle(self, handler: AsyncHandler, event: str, process: Announced) -> None:
        with self._events.logging_failures(event, process):
            answer = handler(event, process)
            if iscoroutine(answer):
                task = asyncio.ensure_future(self._await(answer, event, process))
                self._running.add(task)  # the loop itself would let it be collected
                task.add_done_callback(self._running.discard)

    async def _await(self, answer: Coroutine[Any, Any, Any], event: str, process: Announced) -> None:
        with self._events.logging_failures(event, process):
            await answer
