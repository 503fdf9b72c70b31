"""What is paused does not start, keeps its place, and starts again; nobody else pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.jobs import Echo, Noop
from tests.support.nodes import NodeProcess

from taskscheduler import AsyncScheduler, InvalidOptionError, Job, Pause, Process, Scheduler, Status, job
from taskscheduler.model.control.keys import FAR
from taskscheduler.process_identity import this_user
from taskscheduler.store.claims import Cursor, Scope
from taskscheduler.testing import InlineNode

PARKED = {"blocked", "parked_at"}

ECHO: dict[str, Any] = {"job": "echo"}
TAG: dict[str, Any] = {"tag": "x"}
HELD: dict[str, Any] = {"queue": "held"}

QUEUES = ["held", "default"]


@pytest.fixture
def node(scheduler: Scheduler) -> InlineNode:
    return InlineNode(scheduler)


def add(scheduler: Scheduler, number: int, **options: Any) -> Process:
    """A job of the class, the tag and the queue that are paused here."""
    return scheduler.add_job(Echo, number, **{"queue": "held", "tags": ["y", "x"], **options})


def starts(scheduler: Scheduler) -> bool:
    """Whether a new job runs soon."""
    job = scheduler.add_job(Noop)
    with suppress(TimeoutError):
        job.wait(timeout=1)
    return job.refresh().attempt > 0


def ran(jobs: list[Process]) -> list[Any]:
    return [job.data for job in jobs]


def stored_pause(scheduler: Scheduler) -> None:
    """The setting of a pause alone, as if the program had died that has set it."""
    scheduler.store.controls.put("pause:job:echo", {"kind": "pause", "name": "echo"})


def over(scheduler: Scheduler) -> None:
    """The time until which each pause lasts has passed."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    scheduler.store.controls.collection.update_many({"until": {"$type": "date"}}, {"$set": {"until": past}})


def forgotten(scheduler: Scheduler) -> None:
    """The setting is gone, and nothing else was done: so dies a program that resumes."""
    scheduler.store.controls.delete("pause:job:echo")


@pytest.mark.parametrize("named", [{}, ECHO, TAG, HELD], ids=str)
def test_what_is_paused_waits_and_runs_in_order_when_it_is_resumed(
    scheduler: Scheduler, node: InlineNode, named: dict[str, Any]
) -> None:
    before = [add(scheduler, 0), add(scheduler, 1)]
    other = scheduler.add_job(Noop)
    scheduler.pause(**named)
    late = [add(scheduler, 2), add(scheduler, 3, priority=7), add(scheduler, 4, at=timedelta(milliseconds=1))]
    late.append(add(scheduler, 5, at=timedelta(hours=-1)))
    assert node.run_until_idle() == ([] if not named else [other])
    assert not [job for job in (*before, *late) if job.refresh().status not in (Status.WAITING, Status.POSTPONED)]
    assert scheduler.resume(**named)
    assert [number for number in ran(node.run_until_idle()) if number is not None] == [3, 5, 0, 1, 2, 4]
    assert not [job for job in (*before, *late) if PARKED & job.refresh().to_dict().keys()]


@job(name="pauses-nothing")
async def pauses_nothing() -> None:
    """It is only looked for."""


class Pauses(Job):
    """Pauses what the data name."""

    name = "test-pauses"

    def start(self) -> None:
        self.scheduler.pause(**self.data)


@pytest.mark.parametrize("named", [{}, ECHO, TAG, HELD], ids=str)
def test_a_job_pauses_those_behind_it(scheduler: Scheduler, node: InlineNode, named: dict[str, Any]) -> None:
    pauses = scheduler.add_job(Pauses, named, priority=9)
    add(scheduler, 0)
    assert node.run_until_idle() == [pauses]
    scheduler.resume(**named)
    assert ran(node.run_until_idle()) == [0]


@pytest.mark.parametrize("queues", [None, ["held", "default"]], ids=["all", "some"])
def test_no_search_finds_a_job_of_a_paused_queue(scheduler: Scheduler, queues: list[str] | None) -> None:
    """A job is claimed by its id if nothing else waits, so what a node does shows this only now and then."""
    claims = scheduler.store.claims
    kinds: list[dict[str, Any]] = [{"force_spawn": True}, {}]
    held, free = ([scheduler.add_job(pauses_nothing, queue=queue, **kind).id for kind in kinds] for queue in QUEUES)
    scope = Scope(queues, but_queues=["held"])
    found = [
        *(
            claims.candidates(Scope(QUEUES, but_queues=["held"]), 9, after)
            for after in (None, Cursor("held", 0, FAR, held[0]))
        ),
        claims.forced(scope, 9),
        claims.asynchronous(scope, 9),
        claims.next_kinds(scope, 9),
        claims.overdue(scope, ["pauses-nothing"], 0, 9),
    ]
    assert [sorted(job["_id"] for job in jobs) for jobs in found] == [free, free, free[:1], free[1:], free, free]
    assert claims.claim_one(held[0], scope, "claim", ObjectId(), "node") == []
    assert len(claims.claim_one(free[0], scope, "claim", ObjectId(), "node")) == 1


@pytest.mark.parametrize("paused", [{"but_classes": ["echo"]}, {"but_tags": ["x"]}], ids=str)
def test_a_job_of_a_paused_class_or_tag_is_not_claimed_by_its_id(scheduler: Scheduler, paused: dict[str, Any]) -> None:
    scope, claims = Scope(**paused), scheduler.store.claims
    assert claims.claim_one(add(scheduler, 0).id, scope, "claim", ObjectId(), "node") == []
    assert len(claims.claim_one(scheduler.add_job(Noop, tags=["y"]).id, scope, "claim", ObjectId(), "node")) == 1


def test_a_pause_says_who_when_and_why(scheduler: Scheduler) -> None:
    until = datetime(2100, 1, 1, 12, 0, 0, 123_000, UTC)
    made = scheduler.pause(queue="mail", reason="SMTP is down", until=until)
    assert scheduler.pauses() == [made]
    assert made.at is not None
    assert abs((scheduler.store.clock.now() - made.at).total_seconds()) < 20
    assert made == Pause("queue", "mail", "SMTP is down", until, this_user(), made.at)
    assert scheduler.pause(queue="mail").reason is None
    scheduler.pause(job=Echo)
    scheduler.pause(tag="a:b")
    scheduler.pause()
    assert [(pause.kind, pause.name, pause.until) for pause in scheduler.pauses()] == [
        ("all", None, None),
        ("queue", "mail", None),
        ("job", "echo", None),
        ("tag", "a:b", None),
    ]


def test_only_what_is_paused_is_resumed(scheduler: Scheduler) -> None:
    scheduler.pause(queue="mail")
    assert [scheduler.resume(), scheduler.resume(queue="copy"), scheduler.resume(job="mail")] == [False] * 3
    assert scheduler.resume(queue="mail")
    assert not scheduler.resume(queue="mail")
    assert scheduler.pauses() == []


def test_a_pause_does_not_end_in_the_past(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidOptionError, match="option until must be a time to come, not 2001"):
        scheduler.pause(until=datetime(2001, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidOptionError, match="option until"):
        scheduler.pause(until=0)
    assert scheduler.pauses() == []


@pytest.mark.parametrize("named", [{}, ECHO, HELD], ids=str)
def test_a_pause_ends_by_itself(scheduler: Scheduler, node: InlineNode, named: dict[str, Any]) -> None:
    add(scheduler, 0)
    scheduler.pause(**named, until=3600)
    assert node.run_due() == []
    over(scheduler)
    assert scheduler.pauses() == []
    assert not scheduler.resume(**named)
    scheduler.pause(**named, until=3600)
    over(scheduler)
    assert ran(eventually(node.run_due)) == [0]
    assert scheduler.store.controls.all() == [], "who noticed has removed it"


def test_jobs_of_a_paused_class_are_parked_and_nobody_looks_at_them(
    scheduler: Scheduler, node: InlineNode, database: Database[dict[str, Any]]
) -> None:
    jobs = scheduler.add_jobs([(Echo, number) for number in range(2500)])
    scheduler.pause(job=Echo)
    assert database["taskscheduler.jobs"].count_documents({"blocked": "pause:job:echo", "at": FAR, "status": 1}) == 2500
    parked = jobs[0].refresh()
    assert (parked.at, parked.status) == (parked.to_dict()["parked_at"], Status.POSTPONED)
    assert scheduler.store.claims.queues() == []
    late = add(scheduler, 1)
    assert node.run_due() == []
    assert late.refresh().to_dict()["blocked"] == "pause:job:echo", "parked by who has found it"
    scheduler.resume(job=Echo)
    assert scheduler.counts()["echo"][Status.WAITING] == 2501


def test_a_parked_job_can_be_cancelled_deleted_and_retried(scheduler: Scheduler, node: InlineNode) -> None:
    cancelled, deleted, failed = (add(scheduler, number) for number in range(3))
    scheduler.pause(job=Echo)
    assert scheduler.cancel_job(cancelled.id)
    assert scheduler.delete_job(deleted.id)
    ended = cancelled.refresh()
    assert ended.status is Status.CANCELED
    assert not PARKED & ended.to_dict().keys()
    assert ended.at is not None
    assert ended.at < FAR
    assert scheduler.retry_job(cancelled.id).status is Status.WAITING
    assert node.run_due() == []
    assert scheduler.select("status:postponed class:echo at:<+1h").count() == 2
    scheduler.resume(job=Echo)
    assert sorted(ran(node.run_until_idle())) == [0, 2]
    assert failed.refresh().status is Status.DONE


def test_a_parked_job_can_be_changed(scheduler: Scheduler, node: InlineNode) -> None:
    jobs = [add(scheduler, number) for number in range(4)]
    scheduler.pause(tag="x")
    scheduler.update_job(jobs[0].id, priority=-1)
    put_off = scheduler.update_job(jobs[1].id, at=timedelta(hours=1))
    assert not PARKED & put_off.to_dict().keys()
    scheduler.update_job(jobs[2].id, at=0)
    scheduler.update_job(jobs[3].id, tags=["y"], data="free")
    assert ran(node.run_until_idle()) == ["free"]
    scheduler.resume(tag="x")
    assert ran(node.run_until_idle()) == [2, 0]
    assert put_off.refresh().status is Status.POSTPONED


def test_a_job_of_two_pauses_starts_when_both_have_ended(scheduler: Scheduler, node: InlineNode) -> None:
    add(scheduler, 0)
    for named in (ECHO, TAG, HELD, {}):
        scheduler.pause(**named)
    for named in ({}, ECHO, HELD, TAG):
        assert node.run_until_idle() == []
        assert scheduler.resume(**named)
    assert ran(node.run_until_idle()) == [0]


@pytest.mark.parametrize("kind", [{"force_spawn": True}, {"solo": True}, {"interval": -1}, {"start_by": 60}], ids=str)
def test_every_kind_of_job_is_paused(scheduler: Scheduler, node: InlineNode, kind: dict[str, Any]) -> None:
    scheduler.pause(job=Echo)
    add(scheduler, 0, **kind)
    assert node.run_until_idle() == []
    scheduler.resume(job=Echo)
    assert ran(node.run_due()) == [0]


def test_a_paused_job_is_too_late_all_the_same(scheduler: Scheduler, node: InlineNode) -> None:
    job = add(scheduler, 0, start_by=60)
    scheduler.pause(job=Echo)
    node.advance(61)
    node.run_due()
    assert job.refresh().status is Status.CANCELED
    assert not PARKED & job.to_dict().keys()


def test_solo_jobs_are_paused_one_by_one_and_run_once_each(scheduler: Scheduler, node: InlineNode) -> None:
    first, second = (add(scheduler, number, solo="key") for number in range(2))
    scheduler.pause(job=Echo)
    assert node.run_until_idle() == []
    assert "gate" not in first.refresh().to_dict(), "its place goes to jobs that are not paused"
    scheduler.store.admission.admit_next(["solo:key"])
    scheduler.store.sweeps.sweep()
    assert [job.refresh().status for job in (first, second)] == [Status.POSTPONED] * 2
    assert scheduler.store.sweeps.without_key() == []
    scheduler.resume(job=Echo)
    assert ran(node.run_until_idle()) == [0, 1]


def test_a_solo_job_that_is_parked_leaves_its_place_to_others(scheduler: Scheduler, node: InlineNode) -> None:
    first = add(scheduler, 0, solo="key")
    scheduler.pause(job=Echo)
    other = scheduler.add_job(Noop, solo="key")
    assert node.run_until_idle() == [other]
    scheduler.resume(job=Echo)
    assert node.run_until_idle() == [first]


def test_a_parked_job_is_no_job_without_a_key(scheduler: Scheduler) -> None:
    """It has `parked_at` and no `solo`, as a solo job has whose key somebody has taken away."""
    add(scheduler, 0)
    scheduler.pause(job=Echo)
    assert scheduler.store.sweeps.without_key() == []


def test_who_dies_while_pausing_or_resuming_leaves_nothing_behind(scheduler: Scheduler, node: InlineNode) -> None:
    jobs = [add(scheduler, number) for number in range(3)]
    stored_pause(scheduler)
    assert node.run_until_idle() == []
    assert {job.refresh().to_dict().get("blocked") for job in jobs} == {"pause:job:echo"}
    forgotten(scheduler)
    assert ran(node.run_until_idle()) == [0, 1, 2]


def test_a_stranger_who_writes_pauses_stops_only_what_they_name(
    scheduler: Scheduler, node: InlineNode, database: Database[dict[str, Any]]
) -> None:
    odd: list[Any] = [{"_id": 7}, {"_id": ObjectId()}, {"_id": "pause"}, {"_id": "pause:queue:other", "until": "soon"}]
    database["taskscheduler.controls"].insert_many(odd)
    add(scheduler, 0)
    assert [pause.name for pause in scheduler.pauses()] == ["other"]
    assert ran(node.run_until_idle()) == [0]


def test_an_odd_job_that_is_parked_costs_only_itself(
    scheduler: Scheduler, node: InlineNode, database: Database[dict[str, Any]]
) -> None:
    odd, sound = add(scheduler, 0), add(scheduler, 1)
    changed = {"solo": ["a", "b"], "priority": [1, 2]}
    database["taskscheduler.jobs"].update_one({"_id": odd.id}, {"$set": changed})
    scheduler.pause(job=Echo)
    assert node.run_until_idle() == []
    scheduler.resume(job=Echo)
    assert node.run_until_idle() == [sound]
    assert [job["_id"] for job in scheduler.store.sweeps.without_key()] == [odd.id], "a node sets it aside"


def test_listeners_hear_that_a_job_is_parked_and_waits_again(scheduler: Scheduler) -> None:
    token = scheduler.listen(lambda _: True, timeout=0.01)
    add(scheduler, 0)
    scheduler.pause(tag="x")
    scheduler.resume(tag="x")
    heard: list[Status] = []

    def hears(process: Process) -> bool:
        heard.append(process.status)
        return len(heard) == 3

    scheduler.listen(hears, timeout=30, after=token)
    assert heard == [Status.WAITING, Status.POSTPONED, Status.WAITING]


def test_the_asynchronous_twin_has_the_same(scheduler: Scheduler) -> None:
    async def play() -> tuple[Pause, list[Pause], bool, bool]:
        twin = AsyncScheduler.of(scheduler)
        made = await twin.pause(tag="x", reason="why")
        found = await twin.pauses()
        return made, found, await twin.resume(tag="x"), await twin.resume(tag="x")

    made, found, first, second = asyncio.run(play())
    assert found == [made]
    assert (first, second, scheduler.pauses()) == (True, False, [])


# -- a real node -------------------------------------------------------------------------------------------------------


def obeys_within_a_second(scheduler: Scheduler, named: dict[str, Any]) -> bool:
    """Whether nothing was claimed from a second after a pause until it was resumed; all jobs run in the end.

    Of a job that was claimed while it was paused, the start would lie between the two times.
    """
    paused_at = scheduler.pause(**named).at
    assert paused_at is not None
    obeyed_at = paused_at + timedelta(seconds=1)
    eventually(lambda: scheduler.store.clock.now() > obeyed_at)
    held = [add(scheduler, 0), add(scheduler, 1, force_spawn=True)]
    if named:
        scheduler.add_job(Noop).wait(timeout=30)
    eventually(lambda: scheduler.store.clock.now() > obeyed_at + timedelta(seconds=0.3))
    resumed_at = scheduler.store.clock.now()
    attempts = {job.refresh().attempt for job in held}
    assert scheduler.resume(**named)
    claimed = [job.wait(timeout=30).claimed for job in held]
    return attempts == {0} and min(moment for moment in claimed if moment is not None) >= resumed_at


def test_a_node_obeys_within_a_second_and_runs_everything_when_it_is_resumed(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    """One go of five counts, since a busy machine may keep the node from running for longer than that."""
    start_node(pm="static", min_children=2)
    running = scheduler.add_job("wait", {"seconds": 600})
    eventually(lambda: running.refresh().status is Status.PROCESSING)
    for named in ({}, TAG, HELD):
        assert any(obeys_within_a_second(scheduler, named) for _ in range(5)), named
    assert running.refresh().status is Status.PROCESSING, "it has gone on"


def test_a_node_hears_of_a_change_by_the_change_itself_and_reads_the_settings_for_nothing_else(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    """Also if the process that made it has died before it could tell anybody."""
    late = "from taskscheduler_daemon.node.maintenance import control_watch as watch; watch._EVERY = 3600.0"
    controls, profile = scheduler.store.controls, scheduler.store.database["system.profile"]
    controls.put("pause:all", {"kind": "pause"})
    start_node(pm="static", min_children=1, late=late)
    job = scheduler.add_job("noop")
    controls.delete("pause:all")
    job.wait(timeout=30)
    controls.put("pause:all", {"kind": "pause"})
    eventually(lambda: not starts(scheduler), 30, "the pause is obeyed")
    controls.delete("pause:all")
    eventually(lambda: starts(scheduler), 30, "it is over")
    sweeps = {"command.find": "taskscheduler.jobs", "command.hint": "gate"}
    scheduler.store.database.command("profile", 2)
    try:
        eventually(lambda: profile.count_documents(sweeps) >= 3, 30, "the node has swept, every two seconds")
    finally:
        scheduler.store.database.command("profile", 0)
    assert profile.count_documents({"command.find": "taskscheduler.controls"}) == 0


def test_a_node_ends_a_pause_at_its_time_and_finishes_a_resume_that_has_died(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    start_node(pm="static", min_children=1)
    scheduler.pause(job=Echo, until=1.0)
    job = add(scheduler, 0)
    eventually(lambda: scheduler.store.controls.all() == [])
    assert job.wait(timeout=30).status is Status.DONE
    stored_pause(scheduler)
    others: list[Process] = []

    def one_is_parked() -> bool:  # those that are added before the node hears of it still run
        others.append(add(scheduler, 1))
        return any("blocked" in other.refresh().to_dict() for other in others)

    eventually(one_is_parked)
    forgotten(scheduler)
    assert {other.wait(timeout=30).status for other in others} == {Status.DONE}


def test_a_paused_service_does_not_start(scheduler: Scheduler, start_node: Callable[..., NodeProcess]) -> None:
    scheduler.pause(job="parrot")
    start_node(pm="static", min_children=1, jobs=["tests.support.enduring"])
    service = scheduler.start_service("parrot")
    eventually(lambda: service.refresh().to_dict().get("blocked"))
    scheduler.resume(job="parrot")
    eventually(lambda: service.refresh().status is Status.PROCESSING)
