"""What a node makes of the messages that adding and cancelling leave in the queue."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.eventually import eventually
from tests.unit.node.fakes import FakeFeed, FakeStore, Threads

from taskscheduler.model.lifecycle import Status
from taskscheduler.store.change_events import message_pipeline
from taskscheduler.store.change_feed import GAP
from taskscheduler_daemon.node import wakeups
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.wakeups import WakeupListener


class Bench:
    """A listener, and what it has told the others."""

    def __init__(self) -> None:
        self.search, self.threads = Search([]), Threads()
        self.hints: list[tuple[list[ObjectId], list[str], bool, bool]] = []
        self.everywhere = self.due = 0
        self.cancelled: list[ObjectId] = []
        self.allowed: list[ObjectId] = []
        self.ours: set[ObjectId] = set()
        self.listener = WakeupListener(
            store=FakeStore().store,
            search=self.search,
            claimer=cast(Any, SimpleNamespace(hint=self._hint, look_everywhere=self._look_everywhere)),
            promoter=cast(Any, SimpleNamespace(look_soon=self._look_soon)),
            reconciler=cast(Any, SimpleNamespace(no_longer_ours=self._no_longer_ours)),
            dispatcher=cast(Any, SimpleNamespace(cancel=self.cancelled.extend, allow_again=self.allowed.extend)),
            threads=self.threads,
        )
        self.feed = cast(FakeFeed, self.listener._feed)

    def _hint(self, ids: list[ObjectId], queues: list[str], forced: bool, later: bool) -> None:
        self.hints.append((ids, queues, forced, later))

    def _look_everywhere(self) -> None:
        self.everywhere += 1

    def _look_soon(self) -> None:
        self.due += 1

    def _no_longer_ours(self, ids: list[ObjectId]) -> list[ObjectId]:
        return [job_id for job_id in ids if job_id not in self.ours]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(wakeups, "ChangeFeed", FakeFeed)
    return Bench()


def added(*ids: ObjectId, **more: Any) -> dict[str, Any]:
    flags = {"later": False, "forced": False, "rearmed": False}
    return {"_id": ObjectId(), "jobs": list(ids), "queues": ["mail"], **flags, **more}


def inserted(**more: Any) -> dict[str, Any]:
    options = {"force_spawn": False}
    return {"_id": ObjectId(), "queue": "mail", "status": int(Status.WAITING), "wake": True, "options": options, **more}


def test_added_jobs_are_hinted_to_the_claimer(bench: Bench) -> None:
    one = ObjectId()
    bench.listener.received(added(one))
    bench.listener.received(added(one, forced=True))
    assert bench.hints == [([one], ["mail"], False, False), ([one], ["mail"], True, False)]
    assert bench.allowed == [one, one], "they may run, also if they were cancelled before"
    assert bench.due == 0


def test_postponed_ones_are_looked_at_when_they_are_due(bench: Bench) -> None:
    bench.listener.received(added(ObjectId(), later=True))
    assert bench.due == 1


def test_a_job_whose_insertion_woke_this_node_is_not_searched_for_again_at_its_message(bench: Bench) -> None:
    job, postponed = inserted(), inserted(status=int(Status.POSTPONED))
    bench.listener.received(job)
    bench.listener.received(postponed)
    assert (len(bench.hints), bench.due) == (2, 1)
    bench.listener.received(added(job["_id"]))
    bench.listener.received(added(postponed["_id"], later=True))
    assert (len(bench.hints), bench.due) == (2, 1)
    bench.listener.received(added(job["_id"], ObjectId()))
    assert len(bench.hints) == 3


@pytest.mark.parametrize("rearmed", [{"rearmed": True, "later": True}, {"rearmed": True}])
def test_a_job_that_waits_again_is_searched_for_although_its_insertion_woke_this_node(
    bench: Bench, rearmed: dict[str, bool]
) -> None:
    job = inserted()
    bench.listener.received(job)
    bench.listener.received(added(job["_id"], **rearmed))
    assert len(bench.hints) == 2


def test_nodes_of_an_older_version_say_later_instead(bench: Bench) -> None:
    job = inserted()
    bench.listener.received(job)
    message = added(job["_id"], later=True)
    del message["rearmed"]
    bench.listener.received(message)
    assert (len(bench.hints), bench.due) == (2, 1)
    message["later"] = False
    bench.listener.received(message)
    assert len(bench.hints) == 2


def test_a_message_that_says_less_is_taken_for_the_most(bench: Bench) -> None:
    one = ObjectId()
    bench.listener.received({"jobs": [one]})
    ids, queues, forced, later = bench.hints[0]
    assert (ids, list(queues), forced, later, bench.due) == ([one], [], True, True, 1)


@pytest.mark.parametrize(("fields", "forced"), [({}, False), ({"async": True}, True)])
def test_an_inserted_job_says_whether_it_needs_a_slot(bench: Bench, fields: dict[str, Any], forced: bool) -> None:
    bench.listener.received(inserted(**fields))
    bench.listener.received(inserted(options={"force_spawn": True}))
    assert [hint[2] for hint in bench.hints] == [forced, True]


def test_all_that_is_read_of_a_message_or_a_job_is_asked_for() -> None:
    _, project = message_pipeline("jobs", "queue")
    names = {name.removeprefix("fullDocument.") for name in project["$project"] if name.startswith("fullDocument.")}
    job = {"_id", "queue", "status", "wake", "async", "options.force_spawn"}
    assert names == job | {"jobs", "queues", "later", "forced", "rearmed", "stop"}


def test_cancelled_jobs_are_killed_unless_they_run_again(bench: Bench) -> None:
    cancelled, again = ObjectId(), ObjectId()
    bench.ours.add(again)
    bench.listener.received({"_id": ObjectId(), "stop": [cancelled, again]})
    assert (bench.cancelled, bench.hints) == ([cancelled], [])


def test_after_a_gap_everything_is_looked_for(bench: Bench) -> None:
    one = ObjectId()
    for event in (GAP, AutoReconnect("cut"), {"fullDocument": added(one)}, {"fullDocument": None}):
        bench.feed.events.put(event)
    bench.listener.start()
    try:
        eventually(lambda: len(bench.hints) == 2)
    finally:
        bench.listener.stop()
    assert bench.feed.opened
    assert bench.feed.closed
    assert (bench.everywhere, bench.due, bench.hints[0][0]) == (1, 2, [one])
    assert not bench.threads.crashed.is_set()


def test_a_node_with_a_backlog_does_not_follow(bench: Bench) -> None:
    bench.search.idle.clear()
    bench.feed.events.put({"fullDocument": added(ObjectId())})
    bench.listener.start()
    try:
        eventually(lambda: bench.feed.rests > 0)
        assert bench.hints == []
        bench.search.idle.set()
        eventually(lambda: len(bench.hints) == 1)
    finally:
        bench.listener.stop()
