"""A few requests at once read the data of jobs; others wait for their turn, or are told to come again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler_daemon.web.http import turns
from taskscheduler_daemon.web.http.turns import AT_ONCE, TurnMiddleware


class Slow:
    """An application that answers when it may."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.may_end.wait()
        self.running -= 1


async def _codes(app: TurnMiddleware, path: str, codes: list[int]) -> None:
    async def send(message: Any) -> None:
        codes.extend([message["status"]] if "status" in message else [])

    await app({"type": "http", "method": "GET", "path": path, "headers": []}, asyncio.Event().wait, send)  # type: ignore[arg-type]


@table(
    ("path", "most"),
    [
        *(
            (path, AT_ONCE)
            for path in ("/tasks", "/task/1", "/jobs/1", "/schedule", "/schedule/run", "/control", "/api/v1/x")
        ),
        *((path, 12) for path in ("/", "/jobs", "/schedules")),
    ],
)
def test_requests_for_data_take_turns(path: str, most: int) -> None:
    async def run() -> None:
        slow, codes = Slow(), list[int]()
        app = TurnMiddleware(slow)
        tasks = [asyncio.ensure_future(_codes(app, path, codes)) for _ in range(12)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert slow.running == most
        slow.may_end.set()
        await asyncio.gather(*tasks)
        assert (slow.most, slow.running, codes) == (most, 0, [])

    asyncio.run(run())


def test_one_that_waits_too_long_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_WAIT", 0.05)

    async def run() -> None:
        slow, codes = Slow(), list[int]()
        app = TurnMiddleware(slow)
        tasks = [asyncio.ensure_future(_codes(app, "/tasks", codes)) for _ in range(AT_ONCE + 3)]
        await asyncio.gather(*tasks[AT_ONCE:])
        assert codes == [503] * 3
        slow.may_end.set()
        await asyncio.gather(*tasks)
        await _codes(app, "/tasks", codes)
        assert codes == [503] * 3

    asyncio.run(run())


def test_a_request_that_is_given_up_gives_up_its_turn() -> None:
    async def run() -> None:
        slow, codes = Slow(), list[int]()
        app = TurnMiddleware(slow)
        tasks = [asyncio.ensure_future(_codes(app, "/tasks", codes)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        slow.may_end.set()
        await _codes(app, "/tasks", codes)

    asyncio.run(run())
