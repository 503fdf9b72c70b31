"""Calls that type checkers must accept, with the types that they give."""

from __future__ import annotations

from typing import Any, assert_type

from taskscheduler import (
    CURRENT_JOB,
    AsyncProcess,
    AsyncScheduler,
    Job,
    Process,
    Scheduler,
    call,
    job,
)


@job(queue="img", retry=3)
def resize(name: str, width: int = 100, *, job: Job = CURRENT_JOB) -> dict[str, int]:
    return {name: width}


@job
async def fetch(url: str) -> bytes:
    return url.encode()


@job(batch=10)
def insert(items: list[int]) -> None: ...


class Mail(Job):
    def start(self) -> int:
        return 1


def blocking(scheduler: Scheduler) -> None:
    assert_type(resize("a.png"), dict[str, int])
    assert_type(resize.options(queue="img", retry=3).add("a.png", width=9), Process[dict[str, int]])
    assert_type(resize.add("a.png"), Process[dict[str, int]])
    assert_type(resize.add("a.png").result(), dict[str, int])
    assert_type(resize.add("a.png").wait().refresh().future().result(), dict[str, int])
    assert_type(fetch.add("http://host").result(), bytes)
    assert_type(scheduler.submit(resize, "a.png"), Process[dict[str, int]])
    assert_type(scheduler.submit(fetch, "http://host"), Process[bytes])
    assert_type(scheduler.with_options(retry=3).submit(resize, "a.png", width=9), Process[dict[str, int]])
    assert_type(scheduler.run(resize, name="a.png"), dict[str, int])
    assert_type(scheduler.with_options().run(fetch, "http://host"), bytes)
    assert_type(scheduler.submit("resize", 1, 2, three=3), Process[Any])
    assert_type(scheduler.submit(Mail, {"to": "a@b.c"}), Process[Any])
    assert_type(scheduler.submit(insert, 3), Process[Any])
    scheduler.add_jobs([call(resize, "a.png", width=9), call("resize", "a.png"), call(insert, 3)])
    plain: Process = scheduler.submit(resize, "a.png")  # whose result may be anything
    assert_type(plain.result(), Any)


async def in_a_loop(scheduler: AsyncScheduler) -> None:
    assert_type(await fetch("http://host"), bytes)
    assert_type(await resize.options(timeout=5).add_async("a.png"), AsyncProcess[dict[str, int]])
    process = await scheduler.submit(fetch, "http://host")
    assert_type(process, AsyncProcess[bytes])
    assert_type(await process.result(), bytes)
    assert_type(await (await process).result(), bytes)
    assert_type(await scheduler.run(resize, "a.png", 9), dict[str, int])
