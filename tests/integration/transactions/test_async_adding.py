"""The same in an event loop, with the session of an AsyncMongoClient."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import tests.support.jobs  # noqa: F401
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.client_session import AsyncClientSession

from taskscheduler import AsyncScheduler, InvalidOptionError, Scheduler

Client = AsyncMongoClient[dict[str, Any]]


def in_a_loop(uri: str, work: Callable[[AsyncScheduler, Client], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        client: Client = AsyncMongoClient(uri)
        async with AsyncScheduler(uri) as scheduler, client:
            await work(scheduler, client)

    asyncio.run(run())


async def ids(scheduler: AsyncScheduler) -> list[Any]:
    return [job.id async for job in scheduler.get_jobs({})]


def test_jobs_are_there_exactly_if_the_transaction_commits(uri: str, scheduler: Scheduler) -> None:
    scheduler.schedules.add("other", "noop", every=3600)  # else the transaction would begin before there are any
    scheduler.store.on_demand.make(["once", "dedupe"])

    async def work(scheduler: AsyncScheduler, client: Client) -> None:
        async with client.start_session() as session:
            await session.start_transaction()
            await scheduler.add_job("noop", session=session)
            await scheduler.add_job_once("noop", session=session)
            await scheduler.add_jobs(["noop"] * 3, session=session)
            await scheduler.with_options(session=session).submit("noop", 1)
            await scheduler.schedules.add("s", "noop", every=60, session=session)
            await session.abort_transaction()
            assert await ids(scheduler) == []
            async with await session.start_transaction():
                one = await scheduler.add_job("noop", session=session, dedupe=True)
                again = await scheduler.add_job("noop", session=session, dedupe=True)
                once = await scheduler.add_job_once("noop", 2, session=session)
                many = await scheduler.add_jobs([("noop", 7), ("noop", 8)], session=session)
                called = await scheduler.with_options(session=session).submit("noop", 1)
                schedule = await scheduler.schedules.add("s", "noop", every=60, session=session)
                run = await scheduler.schedules.run("s", session=session)
                assert await ids(scheduler) == []
        assert (one.outcome, again.outcome, again.id, once.outcome) == ("created", "existing", one.id, "created")
        assert schedule.name == "s"
        assert sorted(await ids(scheduler)) == sorted(job.id for job in (one, once, *many, called, run))
        assert (await called.refresh()).data == 1

    in_a_loop(uri, work)


def test_with_transaction_repeats_and_adds_once(uri: str, scheduler: Scheduler) -> None:
    scheduler.schedules.all()

    async def work(scheduler: AsyncScheduler, client: Client) -> None:
        async def add(session: AsyncClientSession) -> Any:
            return await scheduler.add_job("noop", session=session)

        async with client.start_session() as session:
            job = await session.with_transaction(add)
        assert await ids(scheduler) == [job.id]

    in_a_loop(uri, work)


def test_a_task_that_is_cancelled_adds_nothing_once_it_has_left_the_transaction(uri: str, scheduler: Scheduler) -> None:
    scheduler.schedules.all()

    async def work(scheduler: AsyncScheduler, client: Client) -> None:
        async def add() -> None:
            async with client.start_session() as session, await session.start_transaction():
                await scheduler.add_job("noop", session=session)
                begun.set()
                await scheduler.add_jobs(["noop"] * 5000, session=session)

        begun = asyncio.Event()
        task = asyncio.create_task(add())
        await begun.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ids(scheduler) == []

    in_a_loop(uri, work)


def test_sessions_that_cannot_be_used_are_refused(uri: str, scheduler: Scheduler) -> None:
    async def work(scheduler: AsyncScheduler, client: Client) -> None:
        refused = pytest.raises(InvalidOptionError, match="which would block the event loop")
        client_of_threads: MongoClient[dict[str, Any]] = MongoClient(uri)
        with client_of_threads as blocking, blocking.start_session() as session, session.start_transaction(), refused:
            await scheduler.add_job("noop", session=session)
        async with client.start_session() as other:
            with pytest.raises(InvalidOptionError, match="option session has no transaction"):
                await scheduler.add_job("noop", session=other)
        with pytest.raises(InvalidOptionError, match="option session must be a session of AsyncMongoClient"):
            await scheduler.add_job("noop", session="x")  # type: ignore[arg-type]
        assert await ids(scheduler) == []

    in_a_loop(uri, work)


def test_a_scheduler_that_blocks_refuses_the_session_of_an_event_loop(uri: str, scheduler: Scheduler) -> None:
    async def work(_scheduler: AsyncScheduler, client: Client) -> None:
        async with client.start_session() as session, await session.start_transaction():
            with pytest.raises(InvalidOptionError, match="use an AsyncScheduler"):
                scheduler.add_job("noop", session=session)

    in_a_loop(uri, work)
