"""The events at the end of flows: each is told once, to whoever listens, waits or cancels, in both schedulers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.support.flowing import order

from taskscheduler import AsyncScheduler, Flow, InvalidOptionError, RunningFlow, Scheduler
from taskscheduler.testing import InlineNode

EVENTS = ("flow_done", "flow_failed", "flow_canceled")

Told = list[tuple[str, ObjectId]]


@pytest.fixture
def other(uri: str) -> Iterator[Scheduler]:
    """A scheduler of another program on the same database, which hears nothing of what the first one does itself."""
    with Scheduler(uri) as scheduler:
        yield scheduler


def told_to(scheduler: Any) -> Told:
    told: Told = []
    for event in EVENTS:
        scheduler.on(event, lambda name, flow: told.append((name, flow.id)))
    return told


def run(scheduler: Scheduler) -> None:
    with InlineNode(scheduler) as node:
        node.run_until_idle()


def passing(flag: Path) -> Flow:
    flow = Flow("passes")
    flow.add("flow-passes", str(flag))
    return flow


@contextmanager
def listening(scheduler: Scheduler) -> Iterator[None]:
    """Listens to jobs of no flow in another thread, in the foreground of that."""
    thread = threading.Thread(target=lambda: scheduler.listen(lambda _: True, {"class": "the-end"}, timeout=60))
    thread.start()
    try:
        eventually(lambda: any(one.name == "taskscheduler-flows" for one in threading.enumerate()))
        yield
    finally:
        scheduler.add_job("the-end")
        thread.join()


def test_each_end_is_told_once_to_a_listener_in_the_background(scheduler: Scheduler, other: Scheduler) -> None:
    told = told_to(other)
    with other.listen_in_background():
        done, failed = scheduler.flows.add(order(2)), scheduler.flows.add(order(2, broken=[0]))
        run(scheduler)
        cancelled = scheduler.flows.add(order(1))
        cancelled.cancel()
        eventually(lambda: len(told) == 3)
        assert other.flows.get(done.id).wait(timeout=5).status == "done", "who waits tells nothing again"
    expected = {("flow_done", done.id), ("flow_failed", failed.id), ("flow_canceled", cancelled.id)}
    assert (set(told), len(told)) == (expected, 3)


def test_an_end_is_told_once_by_a_listener_or_by_the_one_that_goes_on(uri: str, scheduler: Scheduler) -> None:
    token, told, ended = None, list[ObjectId](), list[ObjectId]()
    for _ in range(6):
        with Scheduler(uri) as program:
            mine = told_to(program)
            with program.listen_in_background(after=token) as background:
                flow = scheduler.flows.add(order(1))
                run(scheduler)  # it is stopped at once, wherever it is
            token, ended = background.token, [*ended, flow.id]
            told += [flow_id for _, flow_id in mine]
    with Scheduler(uri) as program:
        mine = told_to(program)
        with program.listen_in_background(after=token):
            eventually(lambda: len(told) + len(mine) >= len(ended))
    assert [*told, *(flow_id for _, flow_id in mine)] == ended


def test_the_events_of_its_jobs_come_first(scheduler: Scheduler, other: Scheduler) -> None:
    seen: list[str] = []

    def slow(name: str, _: Any) -> None:
        threading.Event().wait(0.2)
        seen.append(name)

    other.on("done", slow).on("flow_done", lambda name, _: seen.append(name))
    with other.listen_in_background():
        scheduler.flows.add(order(2))
        run(scheduler)
        eventually(lambda: "flow_done" in seen)
    assert seen == ["done"] * 4 + ["flow_done"]


def test_a_closed_scheduler_leaves_no_thread(uri: str) -> None:
    with Scheduler(uri) as program:
        told_to(program)
        program.listen_in_background()
        assert any(one.name == "taskscheduler-flows" for one in threading.enumerate())
    assert not any(one.name == "taskscheduler-flows" for one in threading.enumerate())


def test_a_listener_in_the_foreground_tells_them_whatever_jobs_it_asks_for(
    scheduler: Scheduler, other: Scheduler
) -> None:
    told = told_to(other)
    with listening(other):
        flow = scheduler.flows.add(order(1))
        run(scheduler)
        eventually(lambda: told == [("flow_done", flow.id)])


def test_many_listeners_of_a_scheduler_tell_each_end_once(scheduler: Scheduler, other: Scheduler) -> None:
    told = told_to(other)
    listeners = [other.listen_in_background({"class": f"x{n}"}) for n in range(4)]
    assert sum(one.name == "taskscheduler-flows" for one in threading.enumerate()) == 1
    flow = scheduler.flows.add(order(1))
    run(scheduler)
    eventually(lambda: bool(told))
    for listener in listeners:
        listener.stop()
    assert told == [("flow_done", flow.id)]


def test_what_ended_before_is_not_told(scheduler: Scheduler, other: Scheduler) -> None:
    told, before = told_to(other), scheduler.flows.add(order(1))
    run(scheduler)
    just_now = scheduler.store.clock.now() + timedelta(seconds=2)  # in the second in which the listeners begin
    scheduler.store.flows.collection.update_one({"_id": before.id}, {"$set": {"ended": just_now}})
    with other.listen_in_background(), other.listen_in_background():
        later = scheduler.flows.add(order(1))
        run(scheduler)
        eventually(lambda: bool(told))
    assert told == [("flow_done", later.id)]


def test_without_handlers_of_flows_nothing_is_followed(scheduler: Scheduler, other: Scheduler) -> None:
    seen: list[str] = []
    other.on("*", lambda name, process: seen.append(f"{name} {process.job}"))
    with other.listen_in_background():
        assert not any(one.name == "taskscheduler-flows" for one in threading.enumerate())
        scheduler.flows.add(order(1))
        run(scheduler)
        eventually(lambda: "done noop" in seen)
    assert not any("flow_" in name for name in seen)


def test_who_waits_is_told_once(scheduler: Scheduler, other: Scheduler) -> None:
    told, flow = told_to(other), scheduler.flows.add(order(1))
    run(scheduler)
    for _ in range(2):
        other.flows.get(flow.id).wait(timeout=10)
    assert told == [("flow_done", flow.id)]


def test_who_cancels_is_told(scheduler: Scheduler) -> None:
    told = told_to(scheduler)
    flow = scheduler.flows.add(order(1))
    assert flow.cancel()
    assert not flow.cancel()
    assert told == [("flow_canceled", flow.id)]


def test_a_flow_that_is_retried_ends_once_more(scheduler: Scheduler, other: Scheduler, tmp_path: Path) -> None:
    told = told_to(other)
    with other.listen_in_background():
        flow = scheduler.flows.add(passing(tmp_path / "flag"))
        run(scheduler)
        (tmp_path / "flag").touch()
        flow.retry_failed()
        run(scheduler)
        eventually(lambda: len(told) == 2)
    assert told == [("flow_failed", flow.id), ("flow_done", flow.id)]


def test_a_later_listener_goes_on_where_one_stopped(uri: str, scheduler: Scheduler, other: Scheduler) -> None:
    told = told_to(other)
    with other.listen_in_background() as background:
        first = scheduler.flows.add(order(1))
        run(scheduler)
        eventually(lambda: bool(told))
    missed = scheduler.flows.add(order(1))
    run(scheduler)
    with Scheduler(uri) as later:
        told_later = told_to(later)
        with later.listen_in_background(after=background.token):
            eventually(lambda: bool(told_later))
            last = scheduler.flows.add(order(1))
            run(scheduler)
            eventually(lambda: len(told_later) == 2)
    assert told == [("flow_done", first.id)]
    assert told_later == [("flow_done", missed.id), ("flow_done", last.id)]


def test_a_handler_gets_the_flow_as_it_ended(scheduler: Scheduler, other: Scheduler) -> None:
    flows: list[RunningFlow] = []
    other.on("flow-failed", lambda _, flow: flows.append(flow)).on("taskscheduler.onFlowDone", lambda _, flow: None)
    with other.listen_in_background():
        scheduler.flows.add(order(2, broken=[1]))
        run(scheduler)
        eventually(lambda: bool(flows))
    [flow] = flows
    assert (flow.name, flow.status, flow.counts) == ("order", "failed", {"failed": 1, "canceled": 1, "done": 2})
    assert [process.data for process in flow.processes if process.error] == ["part 1 is broken"]


def test_a_handler_that_raises_harms_nobody(scheduler: Scheduler, other: Scheduler) -> None:
    told: Told = []

    def broken(name: str, flow: RunningFlow) -> None:
        told.append((name, flow.id))
        raise ValueError("no")

    other.on("flow_done", broken)
    with other.listen_in_background():
        for _ in range(2):
            scheduler.flows.add(order(1))
            run(scheduler)
        eventually(lambda: len(told) == 2)


def test_a_stream_that_was_cut_misses_nothing(
    scheduler: Scheduler, other: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = told_to(other)
    with other.listen_in_background():
        following = other._core.flow_follower._following
        assert following is not None
        following._feed.rest()  # as if its place in the oplog were lost
        flow = scheduler.flows.add(order(1))
        run(scheduler)
        eventually(lambda: bool(told))
    assert told == [("flow_done", flow.id)]


def test_the_asyncio_scheduler_tells_them_in_its_loop(uri: str, scheduler: Scheduler) -> None:
    async def main() -> None:
        async with AsyncScheduler(uri) as twin:
            told: Told = []

            async def note(name: str, flow: Any) -> None:
                await flow.refresh()
                told.append((name, flow.id))

            for event in EVENTS:
                twin.on(event, note)
            async with twin.listen() as listener:
                reading = asyncio.create_task(anext(aiter(listener)))
                flow = await asyncio.to_thread(scheduler.flows.add, order(1))
                await asyncio.to_thread(run, scheduler)
                await until(lambda: bool(told))
                await reading
            other = await asyncio.to_thread(scheduler.flows.add, order(1, broken=[0]))
            await asyncio.to_thread(run, scheduler)
            assert (await (await twin.flows.get(other.id)).wait(timeout=10)).status == "failed"
            await until(lambda: len(told) == 2)
            assert told == [("flow_done", flow.id), ("flow_failed", other.id)]

    asyncio.run(main())


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


def test_an_unknown_event_is_refused(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidOptionError, match="flow_done, flow_failed, flow_canceled"):
        scheduler.on("flow_ended", print)
