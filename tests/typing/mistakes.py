"""Calls that type checkers must refuse: a comment that is not needed is an error of its own."""

from __future__ import annotations

from taskscheduler import AsyncScheduler, Process, Scheduler, call
from tests.typing.calls import fetch, resize


def number(value: int) -> None: ...


def text(value: str) -> None: ...


def of_int(value: Process[int]) -> None: ...


def blocking(scheduler: Scheduler) -> None:
    resize.add()  # type: ignore[call-arg]
    resize.add(3)  # type: ignore[arg-type]
    resize.add("a.png", wide=9)  # type: ignore[call-arg]
    resize.options(retry=3).add("a.png", width="9")  # type: ignore[arg-type]
    resize.options(retries=3)  # type: ignore[call-arg]
    resize.options(retry="3")  # type: ignore[arg-type]
    scheduler.submit(resize)  # type: ignore[call-overload]
    scheduler.submit(resize, "a.png", width="9")  # type: ignore[arg-type]
    scheduler.with_options(retry=3).submit(fetch, 3)  # type: ignore[call-overload]
    scheduler.run(resize, "a.png", height=9)  # type: ignore[call-arg]
    scheduler.submit(len, "a.png")  # type: ignore[call-overload]
    call(resize, "a.png", width="9")  # type: ignore[arg-type]
    of_int(resize.add("a.png"))  # type: ignore[arg-type]
    number(scheduler.run(fetch, "http://host"))  # type: ignore[arg-type]


async def in_a_loop(scheduler: AsyncScheduler) -> None:
    await fetch.add_async(3)  # type: ignore[arg-type]
    await scheduler.submit(fetch)  # type: ignore[call-overload]
    text(await scheduler.run(fetch, "http://host"))  # type: ignore[call-overload]
