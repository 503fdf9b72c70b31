"""LoopThreads: blocking calls for one event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from taskscheduler.aio.threads import LoopThreads, call_in_loop
from taskscheduler.errors import SchedulerError


def test_a_blocking_call_runs_in_a_thread_of_the_pool() -> None:
    async def body() -> tuple[str, int, int]:
        threads = LoopThreads()
        name = await threads.run(lambda: threading.current_thread().name)
        total = await threads.run(max, 1, 2)
        given = await threads.run(int, "ff", base=16)
        threads.end()
        return name, total, given

    name, total, given = asyncio.run(body())
    assert name.startswith("taskscheduler-aio")
    assert (total, given) == (2, 255)


def test_an_error_is_raised_where_it_is_awaited() -> None:
    async def body() -> None:
        threads = LoopThreads()
        try:
            await threads.run(int, "x")
        finally:
            threads.end()

    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(body())


def test_threads_may_be_used_again_after_their_end() -> None:
    async def body() -> list[int]:
        threads = LoopThreads()
        results = []
        for number in range(2):
            results.append(await threads.run(abs, -number))
            threads.end()
            threads.end()
        return results

    assert asyncio.run(body()) == [0, 1]


def test_what_a_cancelled_task_has_begun_is_waited_for() -> None:
    begun, goes_on, over = threading.Event(), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        assert goes_on.wait(30)
        over.set()

    async def body() -> None:
        threads = LoopThreads()
        await threads.settle()  # there is nothing
        task = asyncio.ensure_future(threads.run(call))
        assert await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        settled = asyncio.ensure_future(threads.settle())
        await asyncio.wait([task])
        assert not settled.done()
        goes_on.set()
        threads.end()
        await settled
        assert over.is_set()

    asyncio.run(body())


def test_a_call_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskscheduler.aio.threads._PATIENCE", 0.01)
    goes_on = threading.Event()

    async def body() -> None:
        threads = LoopThreads()
        task = asyncio.ensure_future(threads.run(goes_on.wait, 30))
        await asyncio.sleep(0)
        await threads.settle()
        assert not task.done()
        goes_on.set()
        assert await task
        threads.end()

    asyncio.run(body())


def test_they_belong_to_the_loop_of_their_first_use_until_it_is_closed() -> None:
    threads = LoopThreads()
    assert threads.loop is None

    async def use() -> asyncio.AbstractEventLoop:
        return threads.bind()

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        assert first.run_until_complete(use()) is first
        with pytest.raises(SchedulerError, match="an AsyncScheduler belongs to one event loop"):
            second.run_until_complete(use())
        first.close()
        assert second.run_until_complete(use()) is second
    finally:
        first.close()
        second.close()


def test_a_call_into_a_loop_says_whether_the_loop_is_there() -> None:
    loop, heard = asyncio.new_event_loop(), list[int]()
    assert call_in_loop(loop, heard.append, 1) is True
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert call_in_loop(loop, heard.append, 2) is False
    assert heard == [1]
