"""Event handlers in an event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest

from taskscheduler.aio.handlers import AsyncHandlers
from taskscheduler.aio.process import AsyncProcess, AsyncProcesses
from taskscheduler.aio.threads import LoopThreads
from taskscheduler.errors import InvalidOptionError
from taskscheduler.events import Events
from taskscheduler.model.process_state import ProcessState

PROCESS = ProcessState({"_id": "5f", "status": 0}, "created")


class Story:
    """Handlers, and the events that reach them."""

    def __init__(self) -> None:
        self.events = Events(None, logging.getLogger("tests.aio"))
        self.threads = LoopThreads()
        self.handlers = AsyncHandlers(self.events, self.threads, AsyncProcesses(cast(Any, None)), cast(Any, None))
        self.heard: list[tuple[str, AsyncProcess]] = []

    async def emit(self, event: str) -> None:
        """Emits an event in a thread, and waits until the loop has handled it."""
        self.threads.bind()
        await asyncio.to_thread(self.events.emit, event, PROCESS)
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
def story() -> Story:
    return Story()


def test_functions_and_coroutine_functions_are_called_in_the_loop(story: Story) -> None:
    async def later(event: str, process: AsyncProcess) -> None:
        asyncio.get_running_loop()
        await asyncio.sleep(0)
        story.heard.append((event, process))

    def now(event: str, process: AsyncProcess) -> None:
        asyncio.get_running_loop()
        story.heard.append((event, process))

    story.handlers.on("done", now)
    story.handlers.on("taskscheduler.onDone", later)
    asyncio.run(story.emit("done"))
    assert [(event, type(process), process.outcome) for event, process in story.heard] == [
        ("done", AsyncProcess, "created")
    ] * 2


def test_a_handler_that_raises_is_logged_and_harms_nobody(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    async def broken_later(event: str, process: AsyncProcess) -> None:
        raise RuntimeError("later")

    def broken_now(event: str, process: AsyncProcess) -> None:
        raise RuntimeError("now")

    for handler in (broken_now, broken_later, lambda *heard: story.heard.append(heard)):
        story.handlers.on("done", handler)
    asyncio.run(story.emit("done"))
    assert len(story.heard) == 1
    assert sorted(str(record.exc_info[1]) for record in caplog.records if record.exc_info) == ["later", "now"]
    assert {record.message for record in caplog.records} == {"event handler failed"}


def test_before_the_first_use_of_a_loop_nobody_is_called(story: Story) -> None:
    story.handlers.on("done", lambda *heard: story.heard.append(heard))
    story.events.emit("done", PROCESS)
    assert story.heard == []


def test_a_wrong_event_or_handler_is_refused(story: Story) -> None:
    with pytest.raises(InvalidOptionError, match="unknown event 'finished'"):
        story.handlers.on("finished", print)
    with pytest.raises(InvalidOptionError, match="the handler of 'done' must be callable, not int"):
        story.handlers.on("done", 5)  # type: ignore[arg-type]
