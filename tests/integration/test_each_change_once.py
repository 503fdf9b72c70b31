"""Who waits or listens hears each change from the beginning to the end, in order, once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.tables import crossed

from taskscheduler import AsyncScheduler, Process, Scheduler

RUN = ["processing", "done"]
RETRIED = ["processing", "failed", "waiting", "processing", "failed"]
PAUSED = ["processing", "failed", "postponed", "waiting", "processing", "failed"]

CASES: dict[str, tuple[tuple[str, Any, dict[str, Any]], list[str]]] = {
    "a job": (("echo", {}, {}), RUN),
    "one that is retried": (("fail", None, {"retry": 1, "retry_interval": 0}), RETRIED),
    "one that is retried after a pause": (("fail", None, {"retry": 1, "retry_interval": 0.3}), PAUSED),
    "one for later": (("echo", {}, {"at": 0}), RUN),
}

WAITS: dict[str, Callable[[Scheduler, Process], Any]] = {
    "wait": lambda scheduler, process: process.wait(20),
    "wait_for": lambda scheduler, process: scheduler.wait_for([process], timeout=20),
    "future": lambda scheduler, process: process.future().exception(20),
    "wait beside others": lambda scheduler, process: _beside_others(scheduler, process),
    "late": lambda scheduler, process: _late(process),
}


def _beside_others(scheduler: Scheduler, process: Process) -> None:
    with scheduler._core.waits.one(), scheduler._core.waits.one():
        process.wait(20)


def _late(process: Process) -> None:
    eventually(lambda: process._scheduler.get_job(process.id).status.is_final, 20)
    process.wait(20)


@pytest.mark.parametrize(("case", "how"), crossed(list(CASES), list(WAITS)))
def test_a_wait_announces_every_change(scheduler: Scheduler, node: NodeProcess, how: str, case: str) -> None:
    heard: list[str] = []
    scheduler.on("*", lambda event, process: heard.append(event))
    (job, data, options), expected = CASES[case]
    for _ in range(5):
        heard.clear()
        process = scheduler.add_job(job, data, options)
        WAITS[how](scheduler, process)
        eventually(lambda: len(heard) > len(expected), 30, f"{heard}")
        assert heard == ["waiting", *expected]


def test_an_async_wait_beside_listeners_announces_every_change_once(uri: str, node: NodeProcess) -> None:
    async def main() -> None:
        async with AsyncScheduler(uri) as scheduler:
            heard: list[tuple[ObjectId, str]] = []
            scheduler.on("*", lambda event, process: heard.append((process.id, event)))
            for query in (None, {"queue": "default"}, {"queue": "elsewhere"}):
                await scheduler.listen(query).__aenter__()
            added = [await scheduler.add_job("echo", {"n": number}) for number in range(10)]
            added += [await scheduler.add_job("fail", retry=1, retry_interval=0) for _ in range(5)]
            await scheduler.wait_for(added)
            canceled = await scheduler.add_job("echo", at=timedelta(hours=1))
            await canceled.cancel()
            async with scheduler.listen() as changes:  # everything that came before was delivered
                last = await scheduler.add_job("noop")
                async for process in changes:
                    if (process.id, process.status.label) == (last.id, "done"):
                        break
            for number, process in enumerate(added):
                steps = RUN if number < 10 else RETRIED
                assert [event for job, event in heard if job == process.id] == ["waiting", *steps]
            assert [event for job, event in heard if job == canceled.id] == ["postponed", "cancel"]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_several_background_listeners_call_each_handler_once(scheduler: Scheduler, node: NodeProcess) -> None:
    heard: list[str] = []
    scheduler.on("*", lambda event, process: heard.append(event))
    queries: list[dict[str, Any] | None] = [None, None, {"class": "echo"}, {"queue": "default"}]
    background = [scheduler.listen_in_background(query) for query in queries]
    for _ in range(10):
        heard.clear()
        scheduler.add_job("echo", {}).wait(20)
        eventually(lambda: len(heard) >= 3, 30)
        assert heard == ["waiting", *RUN]
    for one in background:
        one.stop()
    assert heard == ["waiting", *RUN]


def test_what_is_handed_back_unstarted_is_not_announced_again_and_again(scheduler: Scheduler) -> None:
    called: list[str] = []
    handled: list[str] = []
    opened, enough = threading.Event(), threading.Event()
    scheduler.on("*", lambda event, process: handled.append(event))
    core = scheduler._core
    listener = core.listener(None, None)

    def callback(process: Process) -> bool:
        called.append(process.status.label)
        return process.status.is_final

    def run() -> None:
        listener.open()
        opened.set()
        listener.run(callback, core.announcer.announce, _Never())  # type: ignore[arg-type]
        enough.set()

    threading.Thread(target=run, daemon=True).start()
    assert opened.wait(30)
    process, boot = scheduler.add_job("noop"), ObjectId()
    claims = scheduler.store.claims
    for number in range(3):
        assert claims.claim([process.id], f"claim{number}", boot, "node") == 1
        assert claims.release_claim(f"claim{number}", boot) == 1
    assert claims.claim([process.id], "last", boot, "node") == 1
    process.cancel()
    assert enough.wait(30)
    assert called == ["waiting", "processing", "canceled"]
    assert handled == ["waiting", "processing", "cancel"]


def test_a_job_that_is_retried_is_announced_once_more(scheduler: Scheduler, node: NodeProcess) -> None:
    heard: list[str] = []
    scheduler.on("*", lambda event, process: heard.append(event))
    with scheduler.listen_in_background():
        process = scheduler.add_job("echo", {})
        process.wait(20)
        eventually(lambda: heard == ["waiting", *RUN], 30)
        scheduler.retry_job(process.id).wait(20)
        eventually(lambda: heard == ["waiting", *RUN] * 2, 10, str(heard))
    scheduler.retry_job(process.id).wait(20)
    assert heard == ["waiting", *RUN] * 3
    canceled = scheduler.add_job("echo", at=timedelta(hours=1))
    canceled.cancel()
    scheduler.retry_job(canceled.id).wait(20)
    assert heard[9:] == ["postponed", "cancel", "waiting", *RUN]


class _Never:
    passed = False

    def left(self, most: float) -> float:
        return most
