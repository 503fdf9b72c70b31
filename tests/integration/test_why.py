"""Why a job does not run: each reason against what the cluster then does."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.odd_documents import IDS, JOBS, changed, stored

from taskscheduler import AsyncScheduler, JobNotFoundError, Scheduler, Status
from taskscheduler.model import lenient
from taskscheduler.model.control.reasons import Code
from taskscheduler.operations.control.why import why

SEED = int(os.environ.get("TASKSCHEDULER_FUZZ_SEED", "7"))

StartNode = Callable[..., NodeProcess]


class Held:
    """A node whose single slot is busy until `release`."""

    def __init__(self, scheduler: Scheduler, start_node: StartNode, until: Path, **options: Any) -> None:
        start_node(max_children=1, **options)
        self._until = until
        self.job = scheduler.add_job("wait", {"trace": str(until) + ".t", "until": str(until)})
        eventually(lambda: self.job.refresh().status is Status.PROCESSING, 20)

    def release(self) -> None:
        self._until.touch()


@pytest.fixture
def held(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> Held:
    return Held(scheduler, start_node, tmp_path / "until")


def runs(scheduler: Scheduler, job: Any) -> bool:
    return scheduler.get_job(job.id).wait(timeout=20).status is Status.DONE


def test_without_a_node_and_for_jobs_that_are_not_due(scheduler: Scheduler) -> None:
    waiting = scheduler.add_job("noop")
    later = scheduler.add_job("noop", at=timedelta(hours=3))
    assert (waiting.why().code, later.why().code) == ("NO_NODE", "NOT_DUE")
    assert "it is due in 2 h" in later.why().text
    waiting.cancel()
    assert waiting.why().code == "ENDED"
    assert re.match(r"it ended \d+ s ago and is canceled", waiting.why().text)
    with pytest.raises(JobNotFoundError):
        scheduler.why("6b0b6b0b6b0b6b0b6b0b6b0b")


def test_queues_and_classes_that_no_node_serves_or_knows(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(queues=["mail"])
    elsewhere = scheduler.add_job("noop")
    unknown = scheduler.add_job("nobody.knows", queue="mail")
    eventually(lambda: unknown.why().code == "NO_NODE_KNOWS", 20)  # a worker may be asked for it in between
    eventually(lambda: '"nobody.knows"' in unknown.why().text, 20)
    assert elsewhere.why().code == "NO_NODE_SERVES"
    assert '"default"' in elsewhere.why().text
    start_node()
    assert runs(scheduler, elsewhere)


def test_slots_and_those_before(scheduler: Scheduler, held: Held, tmp_path: Path) -> None:
    path = str(tmp_path / "order")
    first, second = scheduler.add_job("trace", path), scheduler.add_job("trace", path)
    before = scheduler.add_job("trace", path, priority=3)
    assert [one.why().code for one in (held.job, before, first, second)] == ["RUNNING", "SLOTS", "BEHIND", "BEHIND"]
    assert f"the only slot is busy with 1 wait, longest by {held.job.id} for " in before.why().text
    assert before.why().facts["job"] == held.job.id
    assert second.why().facts["before"] == 2
    assert scheduler.why() == {Code.RUNNING: 1, Code.SLOTS: 3}
    held.release()
    assert all(runs(scheduler, one) for one in (held.job, before, first, second))
    assert [words[0] for words in traces(path)] == [str(one.id) for one in (before, first, second)]


def test_slots_beside_async_jobs_and_jobs_with_a_worker_of_their_own(scheduler: Scheduler) -> None:
    node = ObjectId()
    scheduler.store.nodes.register(node, {"name": "web-1", "slots": 2, "forced": 1, "async_jobs": 2})
    kinds: dict[str, dict[str, Any]] = {"plain": {}, "async": {"async": True}, "forced": {"options.force_spawn": True}}

    def hold(kind: str, worker: str) -> None:
        place = {"status": 2, "boot": node, "node": "web-1", "worker": worker, "claim": str(ObjectId())}
        job = scheduler.add_job("noop", priority=9)
        scheduler.store.jobs.collection.update_one({"_id": job.id}, {"$set": {**place, **kinds[kind]}})

    def texts() -> list[str]:
        found = [scheduler.why(waiting[kind]) for kind in kinds]
        return ["free" if "in a moment" in one.text else one.code for one in found]

    waiting = {kind: scheduler.add_job("noop", priority=3 - number).id for number, kind in enumerate(kinds)}
    for kind, job_id in waiting.items():
        scheduler.store.jobs.collection.update_one({"_id": job_id}, {"$set": {"class": "noop", **kinds[kind]}})
    assert texts() == ["free", "free", "free"]
    for worker in ("a", "a"):
        hold("async", worker)
    assert texts() == ["free", "BEHIND", "free"], "two of them share a slot, and the other one is for other jobs"
    hold("forced", "f")
    assert texts() == ["free", "BEHIND", "SLOTS"], "it takes no slot"
    text = scheduler.why(waiting["forced"]).text
    assert "as many workers beyond their slots as they may with 1 noop" in text
    hold("plain", "b")
    assert texts() == ["SLOTS", "BEHIND", "SLOTS"]
    assert "all 2 slots are busy with 3 noop" in scheduler.why(waiting["plain"]).text


def test_pauses(scheduler: Scheduler, start_node: StartNode) -> None:
    scheduler.pause(queue="mail", reason="SMTP is down")
    scheduler.pause(job="echo")
    start_node()
    mail, echo = scheduler.add_job("noop", queue="mail"), scheduler.add_job("echo")
    assert [one.why().code for one in (mail, echo)] == ["PAUSED", "PAUSED"]
    assert mail.why().text.startswith('queue "mail" is paused by ')
    assert mail.why().text.endswith(": SMTP is down")
    eventually(lambda: echo.refresh().to_dict().get("blocked") == "pause:job:echo", 20)
    assert echo.why().code == "PAUSED"
    assert scheduler.why() == {Code.PAUSED: 2}
    scheduler.resume(queue="mail")
    scheduler.resume(job="echo")
    assert runs(scheduler, mail)
    assert runs(scheduler, echo)


def test_limits_rates_solo_keys_and_sequences(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    start_node(max_children=8)
    until = tmp_path / "until"
    data = {"trace": str(tmp_path / "t"), "until": str(until)}
    scheduler.limits.set("stripe", concurrency=1)
    scheduler.limits.set("api", rate=1, per=3600)
    options: list[dict[str, Any]] = [{"limits": "stripe"}, {"limits": "api"}, {"solo": "key"}, {"sequence": "s"}]
    holding = [scheduler.add_job("wait", data, **one) for one in options]
    eventually(lambda: all(one.refresh().status is Status.PROCESSING for one in holding), 20)
    waiting = [scheduler.add_job("wait", data, **one) for one in options]
    more = [scheduler.add_job("wait", data, **one) for one in options]
    assert [one.why().code for one in waiting] == ["LIMIT", "RATE", "SOLO", "SEQUENCE"]
    limit, rate, solo, sequence = (one.why().text for one in waiting)
    assert limit.startswith(f'limit "stripe": 1 of 1 places taken, longest by {holding[0].id} for ')
    assert rate.startswith('rate "api": 1 may start in 3600 s, the next one in 35')
    assert solo.startswith(f'solo key "key": {holding[2].id} holds it')
    assert sequence.startswith(f'sequence "s": {holding[3].id} comes first and is processing')
    assert [one.why().facts["job"] for one in waiting if one.why().code != "RATE"] == [
        holding[index].id for index in (0, 2, 3)
    ]
    assert [one.why().facts["before"] for one in more] == [1, 1, 1, 1]
    assert "1 job waits before it" in more[0].why().text
    assert scheduler.why() == {Code.RUNNING: 4, Code.LIMIT: 2, Code.RATE: 2, Code.SOLO: 2, Code.SEQUENCE: 2}
    until.touch()
    scheduler.limits.delete("api")
    scheduler.wait_for([*holding, *waiting, *more], throw=True, timeout=30)


def test_a_job_under_several_controls_is_told_the_first_that_refuses_it(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    start_node()
    scheduler.limits.set("a", concurrency=0)
    scheduler.limits.set("b", concurrency=0)
    job = scheduler.add_job("noop", limits=["b", "a"], sequence="s")
    assert job.why().facts["limit"] == "b"
    scheduler.limits.set("b", concurrency=1)
    assert job.why().facts["limit"] == "a"
    assert scheduler.limits.all()[1].taken == 0, "a job that is refused keeps no place"
    scheduler.limits.delete("a")
    assert runs(scheduler, job)


def test_whatever_stands_in_a_job_has_a_reason(scheduler: Scheduler) -> None:
    scheduler.store.nodes.register(ObjectId(), {"slots": 1})
    scheduler.limits.set("x", concurrency=0)
    limited = {**JOBS["parked"], "limits": ["x"], "group": "g", "sequence": "s", "turn": 1, "blocked": "limit:x"}
    live = [JOBS["waiting"], JOBS["postponed"], limited, JOBS["paused"]]
    for sound in live:
        documents = [job for _, job in changed(sound)]
        for job in random.Random(SEED).sample(documents, 60):
            assert why(scheduler.store, lenient.decode(stored(job))).text, job
    for odd_id in IDS:
        assert why(scheduler.store, lenient.decode(stored(JOBS["waiting"], odd_id))).code == Code.NO_NODE_KNOWS


def test_as_a_coroutine(scheduler: Scheduler) -> None:
    job = scheduler.add_job("noop")

    async def ask() -> None:
        async with AsyncScheduler.of(scheduler) as twin:
            assert (await twin.why(job.id)).code == "NO_NODE"
            assert await twin.why() == {Code.NO_NODE: 1}
            assert (await (await twin.get_job(job.id)).why()).code == "NO_NODE"

    asyncio.run(ask())
