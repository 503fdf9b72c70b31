"""One change stream for all clients of a web process: it begins, goes on, resumes, loses and ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
import tests.support.jobs  # noqa: F401 - registers them
from tests.support.eventually import eventually

from taskscheduler import Flow, Scheduler
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.web.live.changes import Change
from taskscheduler_daemon.web.live.feed import Batch, Feed, FeedClosedError, Subscription

PATIENCE = 60.0


@pytest.fixture
def feed(scheduler: Scheduler) -> Iterator[Feed]:
    feed = Feed(scheduler, linger=1.0)
    yield feed
    feed.close()


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(2 * PATIENCE):
            await main()

    asyncio.run(within())


async def events_until(client: Subscription, last: str) -> list[Change]:
    found: list[Change] = []
    while not found or found[-1].event != last:
        batch = await client.next(PATIENCE)
        assert batch.changes or batch.lost, f"no {last} among {[one.event for one in found]}"
        found += batch.changes
    return found


async def opened(client: Subscription) -> Batch:
    batch = await client.next(PATIENCE)
    assert batch.token is not None
    return batch


def test_every_client_gets_each_change_once_and_in_order(scheduler: Scheduler, feed: Feed) -> None:
    async def main() -> None:
        with feed.subscribe() as first, feed.subscribe() as second:
            assert (await opened(first)).lost, "what came before is not known"
            await opened(second)
            job = scheduler.add_job("noop", queue="mail")
            with InlineNode(scheduler) as node:
                node.run_due()
            for client in (first, second):
                found = await events_until(client, "done")
                assert [one.event for one in found] == ["waiting", "processing", "done"]
                assert {(one.kind, one.id, one.job, one.queue) for one in found} == {
                    ("job", str(job.id), "noop", "mail")
                }
                assert found[0].at is not None

    run(main)


def test_a_client_resumes_where_it_was(scheduler: Scheduler, feed: Feed) -> None:
    async def main() -> None:
        with feed.subscribe() as other:
            with feed.subscribe() as client:
                place = (await opened(client)).token
            missed = scheduler.add_job("noop")
            await events_until(other, "waiting")
            with feed.subscribe(place) as client:
                batch = await opened(client)
                assert not batch.lost
                assert [one.id for one in batch.changes] == [str(missed.id)]
        eventually(lambda: not feed.is_running, what="the stream ends after the last client")
        later = scheduler.add_job("noop")
        with feed.subscribe(place) as client:
            found = (await opened(client)).changes
            while not found or found[-1].id != str(later.id):
                found += await events_until(client, "waiting")
            assert [one.id for one in found] == [str(missed.id), str(later.id)]

    run(main)


def test_a_thread_that_ends_leaves_the_feed_to_the_next_one(scheduler: Scheduler, feed: Feed) -> None:
    async def main() -> None:
        for _ in range(3):
            with feed.subscribe() as client:
                await opened(client)
                job = scheduler.add_job("noop")
                assert [one.id for one in await events_until(client, "waiting")] == [str(job.id)]
            eventually(lambda: not feed.is_running, pause=0.001)
        with feed.subscribe() as client:
            await opened(client)
            readers = [one for one in threading.enumerate() if one.name == "taskscheduler-live"]
            await asyncio.to_thread(eventually, lambda: sum(one.is_alive() for one in readers) == 1)
            batch = await client.next(1.0)
            assert not batch.lost, "another thread has begun anew"

    run(main)


def test_a_forged_place_begins_at_the_present(scheduler: Scheduler, feed: Feed) -> None:
    async def main() -> None:
        with feed.subscribe() as client:
            place = (await opened(client)).token
        assert place is not None
        eventually(lambda: not feed.is_running)
        for forged in ("x", place[:18] + "FF" * 20, "8200000001" + place[10:], "82F0000001" + place[10:]):
            with feed.subscribe(forged) as client:
                assert (await opened(client)).lost, forged
                scheduler.add_job("noop")
                batch = await client.next(PATIENCE)
                # the server may refuse the place only after the client was told that it is open
                assert batch.lost or batch.changes[0].event == "waiting"
            eventually(lambda: not feed.is_running)

    run(main)


def test_a_slow_client_loses_changes_and_learns_of_it(scheduler: Scheduler) -> None:
    feed = Feed(scheduler, kept=5)

    async def main() -> None:
        with feed.subscribe() as slow, feed.subscribe() as quick:
            await opened(slow)
            await opened(quick)
            scheduler.add_jobs([("noop", None)] * 20)
            got = 0
            while got < 5:
                got += len((await quick.next(PATIENCE)).changes)
            await asyncio.to_thread(eventually, lambda: feed.read(0) and len(feed.read(0)[0].changes) == 5)  # type: ignore[index]
            late = scheduler.add_job("noop")
            while not any(one.id == str(late.id) for one in (await quick.next(PATIENCE)).changes):
                pass
            batch = await slow.next(PATIENCE)
            assert batch.lost
            assert len(batch.changes) == 5

    try:
        run(main)
    finally:
        feed.close()


def test_lost_history_is_said_and_the_feed_goes_on(scheduler: Scheduler, feed: Feed) -> None:
    async def main() -> None:
        with feed.subscribe() as client:
            await opened(client)
            scheduler.store.drop()  # which ends every stream of the database
            while not (await client.next(PATIENCE)).lost:
                pass
            scheduler.store.database["taskscheduler.flows"].insert_one({"name": "a flow", "status": "running"})
            found = await events_until(client, "flow_running")
            assert [one.job for one in found if one.kind == "flow"] == ["a flow"]

    run(main)


def test_flows_schedules_and_settings_are_part_of_it(scheduler: Scheduler, feed: Feed) -> None:
    async def main() -> None:
        with feed.subscribe() as client:
            await opened(client)
            flow = Flow("a flow")
            flow.add("noop")
            running = scheduler.flows.add(flow)
            with InlineNode(scheduler) as node:
                node.run_due()
            found = await events_until(client, "flow_done")
            assert {one.flow for one in found if one.kind == "job"} == {str(running.id)}
            assert found[-1].id == str(running.id)
            scheduler.pause(queue="mail", reason="a test")
            scheduler.schedules.add("nightly", "noop", cron="@daily")
            kinds = {one.kind for one in await events_until(client, "changed")}
            while kinds != {"schedule", "setting"}:
                kinds |= {one.kind for one in (await client.next(PATIENCE)).changes}

    run(main)


def test_a_client_of_a_closed_feed_ends(scheduler: Scheduler, feed: Feed) -> None:
    async def main() -> None:
        with feed.subscribe() as client:
            await opened(client)
            waiting = asyncio.ensure_future(client.next(PATIENCE))
            await asyncio.sleep(0)
            await asyncio.to_thread(feed.close)
            with pytest.raises(FeedClosedError):
                await waiting
        with pytest.raises(FeedClosedError):
            feed.subscribe()

    run(main)
