"""Many waits and listeners of one scheduler: they share a stream, leave connections to all others, and miss nothing."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from tests.integration.test_waiting import in_thread, streams
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.tables import rarely

from taskscheduler import AsyncScheduler, Process, Scheduler, SchedulerError, Status
from taskscheduler.model.matching import condition
from taskscheduler.model.payload import as_stored
from taskscheduler.store.client import SMALLEST_POOL
from taskscheduler.waiting import listener_feed, shared_stream, waiter

Documents = Database[dict[str, Any]]

MANY = 12  #: more than there are connections


def limited(uri: str, size: int) -> str:
    return f"{uri}&maxPoolSize={size}"


class Listeners:
    """Listeners in threads of their own, and what each of them heard."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._stop = threading.Event()
        self._before = 0
        self.heard: list[list[tuple[ObjectId, str]]] = []
        self.threads: list[Any] = []
        self._listeners: list[Any] = []

    def add(self, query: dict[str, Any] | None = None, after: Any = None, hear: Callable[[], Any] = bool) -> None:
        heard: list[tuple[ObjectId, str]] = []
        opened = threading.Event()
        listener = self._scheduler._core.listener(query, after)
        self._listeners.append(listener)

        def callback(process: Process) -> None:
            hear()
            heard.append((process.id, process.status.label))

        def run() -> None:
            listener.open()
            opened.set()
            listener.run(callback, self._scheduler._core.announcer.announce, _Never(), self._stop.is_set)  # type: ignore[arg-type]

        self.heard.append(heard)
        self.threads.append(in_thread(run))
        assert opened.wait(20)

    def stop(self) -> None:
        self._stop.set()
        for listener in self._listeners:
            listener.wake()
        for thread in self.threads:
            thread.result(20)


class _Never:
    passed = False

    def left(self, most: float) -> float:
        return most


@pytest.fixture
def listeners(scheduler: Scheduler) -> Iterator[Listeners]:
    made = Listeners(scheduler)
    yield made
    made.stop()


def test_more_waits_and_listeners_than_connections_leave_room_for_other_calls(
    uri: str, database: Documents, start_node: Any
) -> None:
    start_node()
    with Scheduler(limited(uri, 4)) as scheduler, ExitStack() as stack:
        late = [scheduler.add_job("noop", at=timedelta(hours=1)) for _ in range(MANY)]
        waits = [in_thread(partial(process.wait, 60)) for process in late]
        for number in range(MANY):
            stack.enter_context(scheduler.listen_in_background({"class": f"none{number}"}))
        eventually(lambda: len(scheduler.completions._watched) == MANY - 2, 20)
        eventually(lambda: streams(database) == 2 + 1 + 2 + 1, 30, "the first two of each have their own")
        assert in_thread(lambda: scheduler.add_job("echo", 1).result(20)).result(30)["data"] == 1
        for process in late:
            process.cancel()
        assert {wait.result(20).status for wait in waits} == {Status.CANCELED}


def test_many_listeners_of_an_async_scheduler_leave_room_for_other_calls(uri: str, database: Documents) -> None:
    async def main() -> None:
        async with AsyncScheduler(limited(uri, 4)) as scheduler:
            heard: list[ObjectId] = []

            async def visitor(number: int) -> None:
                async with scheduler.listen({"class": f"job{number}"}) as changes:
                    async for process in changes:
                        heard.append(process.id)

            tasks = [asyncio.create_task(visitor(number)) for number in range(MANY)]
            while len(scheduler._core.shared_stream._members) < MANY - 2:
                await asyncio.sleep(0.01)
            while await asyncio.to_thread(streams, database) < 2 + 1:  # the first two have their own
                await asyncio.sleep(0.01)
            added = [await asyncio.wait_for(scheduler.add_job(f"job{number}"), 20) for number in range(MANY)]
            while len(heard) < MANY:
                await asyncio.sleep(0.01)
            assert sorted(heard) == sorted(process.id for process in added)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_node_with_a_single_connection_runs_jobs_and_stops(uri: str, tmp_path: Any) -> None:
    node = NodeProcess(limited(uri, 1), tmp_path / "single.log", {})
    try:
        node.wait_until_ready()
        with Scheduler(limited(uri, 1)) as scheduler, scheduler.listen_in_background():
            assert scheduler.add_job("echo", 2).result(20)["data"] == 2
        node.process.terminate()
        assert node.process.wait(20) == 0
    finally:
        node.destroy()


@pytest.mark.parametrize("size", [2, *rarely(SMALLEST_POOL)])
def test_many_schedulers_on_one_client_leave_room_for_other_calls(
    uri: str, database: Documents, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    for module in (waiter, shared_stream, listener_feed):
        monkeypatch.setattr(module, "AWAIT_MS", 1_500)  # so long a stream keeps its connection
    least = f"{limited(uri, size)}&waitQueueTimeoutMS=1000"  # a call that finds no free connection fails
    with MongoClient[dict[str, Any]](least) as client, ExitStack() as stack:
        schedulers = [stack.enter_context(Scheduler(client.get_default_database())) for _ in range(8)]
        late = schedulers[0].add_job("noop", at=timedelta(hours=1))
        waits = [in_thread(scheduler.get_job(late.id).wait) for scheduler in schedulers]
        for scheduler in schedulers:
            stack.enter_context(scheduler.listen_in_background({"class": "none"}))
        eventually(lambda: streams(database) == 16, 20)
        for number in range(100):
            schedulers[number % 8].add_job("none")
        late.cancel()
        assert {wait.result(20).status for wait in waits} == {Status.CANCELED}


def test_all_but_the_first_share_a_stream_and_each_hears_what_it_asked_for(
    scheduler: Scheduler, database: Documents, listeners: Listeners, node: NodeProcess
) -> None:
    scheduler.add_job("noop").wait(20)  # before they begin
    chosen = ObjectId()
    queries: list[dict[str, Any] | None] = [None, None, None, {"class": "echo"}, {"_id": chosen}]
    queries += [{"status": Status.DONE}, {"data.x": {"$gte": 2}}, {"class": {"$regex": "^no"}}, {"tags": "red"}]
    for query in queries:
        listeners.add(query)
    eventually(lambda: streams(database) == 2 + 1 + 1, what="the first two, the shared one, and the one with a pattern")
    one = scheduler.add_job("echo", {"x": 1}, tags=["red", "blue"])
    two = scheduler.add_job("echo", {"x": 2}, id=chosen)
    three = scheduler.add_job("noop")
    scheduler.wait_for([one, two, three], timeout=20)
    steps = ["waiting", "processing", "done"]
    expected = [{one, two, three}] * 3 + [{one, two}, {two}, set(), {two}, {three}, {one}]
    for heard, jobs in zip(listeners.heard, expected, strict=True):
        if jobs:
            eventually(lambda heard=heard, jobs=jobs: len(heard) >= 3 * len(jobs), 30)  # type: ignore[misc]
            for process in jobs:
                assert [step for job, step in heard if job == process.id] == steps
            assert len(heard) == 3 * len(jobs)
    eventually(lambda: sorted(listeners.heard[5]) == sorted((job.id, "done") for job in (one, two, three)), 30)


def test_a_slow_listener_holds_nobody_up_and_misses_nothing(
    scheduler: Scheduler, listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_stream, "_MOST_AHEAD", 5)
    go, shared = threading.Event(), scheduler._core.shared_stream
    for hear in (bool, bool, lambda: go.wait(60), bool):
        listeners.add(hear=hear)
    quick, slow = listeners.heard[3], listeners.heard[2]
    added = [(scheduler.add_job("noop").id, "waiting") for _ in range(30)]
    eventually(lambda: quick == added, 30)
    assert slow == []
    assert [member.overtaken for member in shared._members] == [True, False]
    go.set()
    eventually(lambda: slow == added, 30)
    eventually(lambda: [member.overtaken for member in shared._members] == [False, False], 30, "joined again")
    added.append((scheduler.add_job("noop").id, "waiting"))
    eventually(lambda: slow == quick == added, 30)


def test_a_listener_that_begins_in_the_past_joins_when_it_has_caught_up(
    scheduler: Scheduler, listeners: Listeners
) -> None:
    token = scheduler.listen(lambda process: None, timeout=0)
    added = [(scheduler.add_job("noop").id, "waiting") for _ in range(10)]
    for after in (None, None, None, token, token):
        listeners.add(after=after)
    eventually(lambda: listeners.heard[3] == listeners.heard[4] == added, 30)
    more: list[tuple[ObjectId, str]] = []

    def is_shared() -> bool:
        more.append((scheduler.add_job("noop").id, "waiting"))  # places move with the writes of the server
        return len(scheduler._core.shared_stream._members) == 3

    eventually(is_shared, 20, "all but the first two share")
    more += [(scheduler.add_job("noop").id, "waiting") for _ in range(10)]
    eventually(lambda: listeners.heard == [more] * 3 + [added + more] * 2, 30)


def test_closing_the_scheduler_ends_those_who_share(uri: str) -> None:
    scheduler = Scheduler(uri)
    made = Listeners(scheduler)
    for _ in range(4):
        made.add()
    scheduler._core.stop_streams()
    for thread in made.threads[2:]:
        with pytest.raises(SchedulerError, match="the scheduler was closed"):
            thread.result(20)
    made._stop.set()
    scheduler.close()
    assert not [one for one in threading.enumerate() if one.name == "taskscheduler-listeners"]


VALUES: list[Any] = [None, 0, 1, 2, 2.0, True, False, "a", "b", "", [1, 2], ["a", 2], [], [None], {"x": 1}, {"x": None}]
VALUES += [[{"x": 1}, {"x": 3}], [{"y": 1}], {"x": [1, 2]}, [[1]], ObjectId("0" * 24)]
OPERANDS: list[Any] = [None, 0, 1, 2, 1.5, True, "a", "b", ObjectId("0" * 24)]


def test_queries_are_judged_as_by_the_server(database: Documents) -> None:
    documents: list[dict[str, Any]] = [{"_id": number, "f": value} for number, value in enumerate(VALUES)]
    database["odd"].insert_many([*documents, {"_id": len(VALUES)}])
    stored = list(database["odd"].find())
    tests: list[Any] = [{name: value} for value in OPERANDS for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")]
    tests += [
        {"$in": OPERANDS[:3]},
        {"$nin": OPERANDS[2:6]},
        {"$exists": True},
        {"$exists": False},
        {"$gt": 0, "$lt": 2},
    ]
    queries: list[Any] = [{path: test} for path in ("f", "f.x", "f.x.z") for test in tests]
    queries += [{"$or": [{"f": 1}, {"f.x": 1}]}, {"$nor": [{"f": 1}, {"f.x": None}]}, {"$and": [{"f": {"$gt": 0}}]}]
    judged = 0
    for query in queries:
        asked = condition(as_stored(query))
        if asked is None:
            continue
        judged += 1
        expected = [one["_id"] for one in database["odd"].find(query)]
        assert [one["_id"] for one in stored if asked.holds(one)] == expected, query
    assert judged > 100
    assert condition({"f": re.compile("a")}) is None
