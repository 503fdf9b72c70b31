"""What a node makes of the messages that adding and cancelling leave in the queue."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import bson
import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.eventually import eventually
from tests.support.odd_documents import changed
from tests.unit.node.fakes import FakeFeed, FakeStore, Threads

from taskscheduler.model import lenient
from taskscheduler.model.control.keys import GroupList
from taskscheduler.model.control.urgency import UrgentJob
from taskscheduler.model.lifecycle import Status
from taskscheduler.store.change_events import message_pipeline
from taskscheduler.store.change_feed import GAP
from taskscheduler_daemon.node import wakeups
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.wakeups import DueWork, WakeupListener


class Bench:
    """A listener, and what it has told the others."""

    def __init__(self) -> None:
        self.search, self.threads = Search([]), Threads()
        self.hints: list[tuple[list[ObjectId], list[str], bool, bool]] = []
        self.put_off: list[list[ObjectId]] = []  #: hints that are left to the claimer
        self.everywhere = self.due = self.schedules = self.rates = self.controls = 0
        self.groups: list[list[str]] = []
        self.followed: list[bool] = []
        self.cancelled: list[ObjectId] = []
        self.lists: list[str] = []
        self.urgent: list[list[UrgentJob]] = []
        self.store = FakeStore()
        self.listener = WakeupListener(
            store=self.store.store,
            search=self.search,
            claimer=cast(Any, self._claimer()),
            due=DueWork(
                cast(Any, SimpleNamespace(look_soon=self._look_soon)),
                cast(Any, SimpleNamespace(look_soon=self._look_at_schedules)),
                cast(Any, SimpleNamespace(look_soon=self._look_at_rates, admit_soon=self.lists.append)),
                cast(Any, SimpleNamespace(look_soon=self._look_at_controls, follows=self.followed.append)),
            ),
            dispatcher=cast(Any, SimpleNamespace(cancel=self.cancelled.extend)),
            threads=self.threads,
        )
        self.feed = cast(FakeFeed, self.listener._feed)

    def _claimer(self) -> SimpleNamespace:
        return SimpleNamespace(
            claim_added=self._hint,
            hint=self._put_off,
            look_everywhere=self._look_everywhere,
            groups_wait=self.groups.append,
            urgent=SimpleNamespace(heard=self.urgent.append),
        )

    def _put_off(self, ids: list[ObjectId], queues: list[str], forced: bool, later: bool) -> None:
        self.put_off.append(ids)
        self._hint(ids, queues, forced, later)

    def _hint(self, ids: list[ObjectId], queues: list[str], forced: bool, later: bool) -> None:
        self.hints.append((ids, queues, forced, later))

    def _look_everywhere(self) -> None:
        self.everywhere += 1

    def _look_soon(self) -> None:
        self.due += 1

    def _look_at_schedules(self) -> None:
        self.schedules += 1

    def _look_at_rates(self) -> None:
        self.rates += 1

    def _look_at_controls(self) -> None:
        self.controls += 1


class FakeUrgentListener:
    """Notes when it listens."""

    def __init__(self, *_: object) -> None:
        self.listened: list[bool] = []
        self.is_started = self.is_stopped = False

    def start(self) -> None:
        self.is_started = True

    def stop(self) -> None:
        self.is_stopped = True

    def listen(self, wanted: bool) -> None:
        self.listened.append(wanted)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(wakeups, "ChangeFeed", FakeFeed)
    monkeypatch.setattr(wakeups, "UrgentListener", FakeUrgentListener)
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
    assert (bench.due, bench.put_off) == (0, [])


def test_jobs_that_the_node_announces_itself_are_hinted_at_once_and_not_again_by_their_message(bench: Bench) -> None:
    one, two = ObjectId(), ObjectId()
    bench.listener.jobs_announced([one], ["mail"], True)
    assert bench.hints == [([one], ["mail"], True, False)]
    assert bench.put_off == [[one]], "whoever adds jobs in this process does not wait for a claim"
    bench.listener.received(added(one))
    assert len(bench.hints) == 1
    bench.listener.received(added(one))
    assert len(bench.hints) == 2, "it was put off, and somebody else has announced it again"
    bench.listener.jobs_announced([one], ["mail"], False)
    bench.listener.received(added(one, two))
    assert bench.hints[3:] == [([one, two], ["mail"], False, False)]


def test_a_node_hears_of_its_own_jobs_from_its_start_to_its_end(bench: Bench) -> None:
    bench.listener.start()
    assert bench.store.wakeups.neighbour is bench.listener
    bench.listener.stop()
    assert bench.store.wakeups.neighbour is None


def test_queues_with_jobs_of_groups_are_told_to_the_claimer(bench: Bench) -> None:
    bench.listener.received({"_id": ObjectId(), "groups": ["mail", 7]})
    assert (bench.groups, bench.hints, bench.due) == ([["mail"]], [], 0)


def test_a_job_that_was_committed_is_claimed_at_once(bench: Bench) -> None:
    job = inserted(wake="committed")
    bench.listener.received(job)
    assert bench.hints == [([job["_id"]], ["mail"], False, False)]


def test_one_of_many_that_were_committed_has_all_of_them_searched_for(bench: Bench) -> None:
    job = inserted(wake="committed many")
    bench.listener.received(job)
    assert bench.hints == [([job["_id"]], ["mail"], False, True)], "one that may be later is not claimed by its id"


def test_a_committed_job_under_a_control_is_admitted_and_heard_of_when_it_is(bench: Bench) -> None:
    job = inserted(wake="committed", status=int(Status.POSTPONED), blocked="limit:x")
    bench.listener.received(job)
    assert bench.lists == ["limit:x"]
    bench.listener.received(added(job["_id"]))
    assert len(bench.hints) == 2


def test_a_committed_job_of_a_group_is_told_to_the_claimer(bench: Bench) -> None:
    key = GroupList("mail", 0, "g").key
    bench.listener.received(inserted(wake="committed", status=int(Status.POSTPONED), blocked=key))
    assert (bench.groups, bench.lists) == ([["mail"]], [])


def test_a_committed_child_whose_parent_has_failed_is_cancelled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[ObjectId, ObjectId]] = []
    monkeypatch.setattr(wakeups, "end_orphan", lambda _store, job, parent: ended.append((job, parent)))
    parent, job = ObjectId(), inserted(wake="committed")
    bench.listener.received({**job, "parent": parent})
    bench.listener.received(inserted(parent=ObjectId()))  # its adder has seen to it
    assert ended == [(job["_id"], parent)]


def test_postponed_ones_are_looked_at_when_they_are_due(bench: Bench) -> None:
    bench.listener.received(added(ObjectId(), later=True))
    assert (bench.due, bench.rates) == (1, 1), "a rate may have kept them back"


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
    bench.listener.received(job)
    message["later"] = False
    bench.listener.received(message)
    assert len(bench.hints) == 3


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
    job = {"_id", "queue", "status", "wake", "async", "options.force_spawn", "blocked", "parent"}
    messages = {"jobs", "queues", "later", "forced", "rearmed", "stop", "schedules", "rates", "groups", "urgent"}
    assert names == job | messages


def test_cancelled_jobs_are_killed(bench: Bench) -> None:
    cancelled = ObjectId()
    bench.listener.received({"_id": ObjectId(), "stop": [cancelled]})
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
    assert (bench.everywhere, bench.due, bench.rates, bench.controls) == (1, 2, 2, 1)
    assert bench.hints[0][0] == [one]
    assert not bench.threads.crashed.is_set()


def test_a_node_with_a_backlog_does_not_follow(bench: Bench) -> None:
    bench.search.has_backlog = True
    bench.search.check_pace()
    bench.feed.events.put({"fullDocument": added(ObjectId())})
    urgent = cast(FakeUrgentListener, bench.listener._urgent)
    bench.listener.start()
    try:
        eventually(lambda: bench.feed.rests > 0 and bench.followed)
        assert set(urgent.listened) == {True}
        assert (bench.hints, set(bench.followed)) == ([], {False})
        bench.search.has_backlog = False
        eventually(lambda: len(bench.hints) == 1)
        assert bench.followed[-1], "changes of settings are heard of again"
        bench.feed.is_following = False
        bench.feed.events.put(None)
        eventually(lambda: not bench.followed[-1])
        assert not urgent.listened[-1]
    finally:
        bench.listener.stop()
    assert urgent.is_started
    assert urgent.is_stopped


def test_urgent_jobs_are_claimed_by_their_message_if_others_wait(bench: Bench) -> None:
    one = ObjectId()
    named = [{"job": one, "queue": "mail", "priority": 1}]
    bench.listener.received(inserted(_id=one))
    bench.search.more = False
    bench.listener.received(added(one, urgent=named))
    assert bench.urgent == [], "the hint has it claimed"
    bench.search.more = True
    bench.listener.received(inserted(_id=one))
    bench.listener.received(added(one, urgent=named))
    assert bench.urgent == [[UrgentJob(one, "mail", 1)]]


def odd_messages() -> list[dict[str, Any]]:
    sound = (added(ObjectId()), inserted(), {"stop": [ObjectId()]})
    return [message for whole in sound for _, message in changed(whole)]


def test_a_message_of_any_shape_is_handled(bench: Bench) -> None:
    for message in odd_messages():
        bench.listener.received(lenient.decode(bson.encode(message)))
    assert all(isinstance(job_id, ObjectId) for hint in bench.hints for job_id in hint[0])
    assert all(isinstance(name, str) and {name} for hint in bench.hints for name in hint[1])


def test_a_message_that_cannot_be_handled_does_not_end_the_thread(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "_PAUSE", 0.0)
    one = ObjectId()
    bench.feed.events.put({"fullDocument": 7})
    bench.feed.events.put({"fullDocument": added(one)})
    bench.listener.start()
    try:
        eventually(lambda: bench.hints)
    finally:
        bench.listener.stop()
    assert bench.hints[0][0] == [one]
    assert not bench.threads.crashed.is_set()
    assert "message not understood" in caplog.text


def test_a_changed_schedule_is_looked_at(bench: Bench) -> None:
    bench.listener.received({"_id": ObjectId(), "schedules": True})
    assert (bench.schedules, bench.due, bench.hints) == (1, 0, [])


def test_changed_settings_of_the_cluster_are_read(bench: Bench) -> None:
    bench.listener._handle({"operationType": "delete", "ns": {"coll": "taskscheduler.controls"}})
    assert (bench.controls, bench.schedules, bench.hints) == (1, 0, [])


def test_a_rate_that_jobs_wait_for_is_looked_at(bench: Bench) -> None:
    bench.listener.received({"_id": ObjectId(), "rates": True})
    assert (bench.rates, bench.controls, bench.due, bench.hints) == (1, 0, 0, [])
