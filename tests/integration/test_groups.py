"""Groups: within a queue and a priority they take turns by their weights, however many jobs each of them has."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from tests.scale.explaining import Explainer
from tests.support.asyncjobs import Meet
from tests.support.eventually import eventually
from tests.support.jobs import trace, traces
from tests.support.nodes import TOLD, NodeProcess

from taskscheduler import AsyncScheduler, InvalidOptionError, Job, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.operations.control.turn_taking import TurnTaker
from taskscheduler.store.claims import ALL_JOBS, WAITING_OR_IN_TURN, Scope
from taskscheduler.testing import InlineNode

StartNode = Callable[..., NodeProcess]
HERE = {"jobs": ["tests.support.jobs", "tests.integration.test_groups"]}

order: list[str] = []


class Turn(Job):
    """Traces whose it is and when it began, on the monotonic clock that all processes of a host share."""

    name = "groups.turn"

    def start(self) -> None:
        trace(self.data["trace"], self.data["group"], SYSTEM_CLOCK.monotonic())
        time.sleep(self.data.get("seconds", 0))


class Noted(Job):
    """Notes a letter, in this process."""

    name = "groups.noted"

    def start(self) -> None:
        order.append(self.data)
        if self.attempt <= 1 and self.data.islower():
            raise RuntimeError("not yet")


@pytest.fixture(autouse=True)
def _afresh() -> None:
    order.clear()


def turns(path: Path) -> list[tuple[float, str]]:
    return sorted((float(words[1]), words[0]) for words in traces(path))


def add(scheduler: Scheduler, letter: str, count: int = 1, **options: Any) -> None:
    scheduler.add_jobs([(Noted, letter, {"group": letter, **options})] * count)


def run_all(scheduler: Scheduler) -> str:
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    return "".join(order)


# -- on nodes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [1, 2])
def test_ten_jobs_of_one_group_start_among_the_next_forty_beside_thousands_of_another(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, nodes: int
) -> None:
    path = tmp_path / "turns"

    def jobs(group: str, count: int) -> list[Any]:
        # so long that few start while nodes hear of the others; the tests in `tests/scale` have quick ones
        data = {"trace": str(path), "group": group, "seconds": 0.2}
        return [(Turn, data, {"group": "customer-{data.group}"})] * count

    scheduler.add_jobs(jobs("a", 2000))
    for _ in range(nodes):
        start_node(**HERE, max_children=2)
    collection = scheduler.store.jobs.collection
    eventually(lambda: len(traces(path)) > 20 and len(collection.distinct("node")) == nodes, 60, "all are at work")
    few = scheduler.add_jobs(jobs("b", 10))
    eventually(lambda: [name for _, name in turns(path)].count("b") == 10, 60)
    added = max(one.refresh().to_dict()["created"] for one in few)
    last = max(one.to_dict()["claimed"] for one in few)  # a claim is a turn; a busy machine begins some of them late
    turn = {"claimed": {"$gt": added, "$lte": last}}
    assert collection.count_documents(turn) <= 40


def test_weights_are_shares_of_what_two_nodes_start(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    path = tmp_path / "turns"
    scheduler.groups.set("a", weight=3)
    for group in "ab":
        scheduler.add_jobs([(Turn, {"trace": str(path), "group": group, "seconds": 0.002}, {"group": group})] * 400)
    for _ in range(2):
        start_node(**HERE, max_children=2)
    eventually(lambda: len(traces(path)) == 800, 60)
    shares = Counter(name for _, name in turns(path)[:400])
    assert shares["a"] == pytest.approx(300, rel=0.1)
    assert shares["b"] == pytest.approx(100, rel=0.1)


def test_a_node_that_rests_starts_a_job_of_a_group_at_once(scheduler: Scheduler, start_node: StartNode) -> None:
    """And not only at its next look at everything, which never comes."""
    start_node(**TOLD)
    scheduler.add_job("noop").wait(timeout=30)
    for _ in range(5):
        scheduler.add_job("noop", group="a").wait(timeout=30)


def test_async_jobs_of_groups_run_although_no_slot_is_free(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=["tests.support.jobs", "tests.support.asyncjobs"], max_children=2)
    met = scheduler.add_jobs([(Meet, 30, {"group": f"g{number % 3}"}) for number in range(30)])
    scheduler.wait_for(met, throw=True, timeout=30)


def test_jobs_of_groups_that_no_node_knows_fail_in_time(scheduler: Scheduler, start_node: StartNode) -> None:
    jobs = scheduler.add_jobs([("nobody.knows", None, {"group": "a"})] * 3)
    known = scheduler.add_job("noop", group="b")
    start_node(**HERE, unknown_timeout=0.5)
    known.wait(timeout=20)
    for one in jobs:
        assert (one.wait(timeout=20).error or {})["type"] == "InvalidJobError"


# -- which one is next -------------------------------------------------------------------------------------------------


def test_groups_take_turns_and_jobs_without_one_keep_their_age(scheduler: Scheduler) -> None:
    add(scheduler, "A", 4)
    scheduler.add_jobs([(Noted, "X")] * 2)
    add(scheduler, "B", 2)
    assert run_all(scheduler) == "ABABAAXX"


def test_a_weight_is_set_listed_and_taken_away(scheduler: Scheduler) -> None:
    made = scheduler.groups.set("A", weight=3)
    assert (made.name, made.weight) == ("A", 3)
    assert made.by
    add(scheduler, "A", 8)
    add(scheduler, "B", 4)
    assert [(one.name, one.weight, one.waiting) for one in scheduler.groups.all()] == [("A", 3, 8), ("B", 1, 4)]
    run_all(scheduler)
    assert Counter(order[:8]) == {"A": 6, "B": 2}
    assert scheduler.groups.delete("A")
    assert not scheduler.groups.delete("A")
    assert scheduler.groups.all() == []


def test_priority_goes_before_turns(scheduler: Scheduler) -> None:
    add(scheduler, "A", 2)
    add(scheduler, "B", 1, priority=-3)
    add(scheduler, "C", 2, priority=12)
    scheduler.add_job(Noted, "X", priority=5)
    assert run_all(scheduler) == "CCXAAB"


def test_a_job_that_is_changed_moves_to_the_list_of_its_new_queue_and_priority(scheduler: Scheduler) -> None:
    add(scheduler, "A", 2)
    last = scheduler.add_job(Noted, "L", group="A")
    other = scheduler.add_job(Noted, "O", group="A")
    scheduler.update_job(last.id, priority=1)
    scheduler.update_job(other.id, queue="other")
    with InlineNode(scheduler, queues=["default"]) as node:
        node.run_until_idle()
    assert "".join(order) == "LAA"
    with InlineNode(scheduler, queues=["other"]) as node:
        node.run_until_idle()
    assert "".join(order) == "LAAO"


def test_a_retried_job_waits_for_the_turn_of_its_group(scheduler: Scheduler) -> None:
    failing = scheduler.add_job(Noted, "a", group="A")
    assert run_all(scheduler) == "a"
    add(scheduler, "B", 2)
    scheduler.retry_job(failing.id, queue="mail", priority=2)
    assert [one.waiting for one in scheduler.groups.all()] == [1, 2]
    with InlineNode(scheduler, queues=["mail"]) as node:
        node.run_until_idle()
    assert "".join(order) == "aa", "in its new queue"
    assert failing.refresh().status is Status.DONE


def test_a_job_that_falls_due_waits_for_the_turn_of_its_group(scheduler: Scheduler) -> None:
    later = scheduler.add_job(Noted, "L", group="A", at=timedelta(seconds=60))
    with InlineNode(scheduler) as node:
        node.run_due()
        assert order == []
        add(scheduler, "A", 1)
        node.advance(61)
        node.run_due()
    assert later.refresh().status is Status.DONE
    assert sorted(order) == ["A", "L"]


def test_a_paused_job_of_a_group_has_its_turn_again_when_it_is_resumed(scheduler: Scheduler) -> None:
    add(scheduler, "A", 3, tags=["slow"])
    add(scheduler, "B", 2)
    scheduler.pause(tag="slow")
    assert run_all(scheduler) == "BB"
    scheduler.resume(tag="slow")
    add(scheduler, "B", 2)
    assert run_all(scheduler) == "BB" + "ABABA"


def test_nothing_is_taken_from_a_paused_queue(scheduler: Scheduler) -> None:
    add(scheduler, "A", 2)
    scheduler.pause(queue="default")
    assert run_all(scheduler) == ""
    assert [one.waiting for one in scheduler.groups.all()] == [2], "it keeps its place"
    scheduler.resume(queue="default")
    assert run_all(scheduler) == "AA"


def test_a_job_is_under_its_other_controls_when_its_turn_comes(scheduler: Scheduler) -> None:
    scheduler.limits.set("one", concurrency=0)
    held = scheduler.add_job(Noted, "L", group="A", limits="one", sequence="s")
    add(scheduler, "A", 2)
    assert run_all(scheduler) == "AA"
    assert scheduler.limits.all()[0].waiting == 1
    scheduler.limits.set("one", concurrency=1)
    assert run_all(scheduler) == "AAL"
    assert held.refresh().status is Status.DONE


def test_a_job_that_needs_places_is_never_claimed_without_them(scheduler: Scheduler) -> None:
    scheduler.limits.set("one", concurrency=1)
    job = scheduler.add_job(Noted, "L", group="A", limits="one")
    claims = scheduler.store.claims
    assert claims.claim([job.id], "claim", ObjectId(), "node", WAITING_OR_IN_TURN) == 0
    assert claims.claim_one(job.id, ALL_JOBS, "claim", ObjectId(), "node", WAITING_OR_IN_TURN) == []


def test_a_job_of_force_spawn_takes_no_turn(scheduler: Scheduler) -> None:
    add(scheduler, "A", 3)
    job = scheduler.add_job(Noted, "F", group="F", force_spawn=True)
    assert job.status is Status.WAITING
    assert "group" not in job.to_dict()


def test_no_sweep_lets_a_group_pass(scheduler: Scheduler) -> None:
    add(scheduler, "A", 3)
    scheduler.add_job(Noted, "Z", solo="zzz")
    scheduler.store.sweeps.sweep()
    scheduler.restore()
    assert [one.waiting for one in scheduler.groups.all()] == [3]


def test_a_cancelled_job_leaves_its_group(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noted, "A", group="A")
    job.cancel()
    assert scheduler.groups.all() == []
    assert not {"blocked", "parked_at"} & set(job.refresh().to_dict())


def test_runs_of_a_series_stay_in_their_group(scheduler: Scheduler) -> None:
    first = scheduler.add_job(Noted, "A", group="g-{data}", interval=60)
    run_all(scheduler)
    following = scheduler.get_jobs({"series": first.series, "status": Status.POSTPONED})
    assert [one.to_dict()["group"] for one in following] == ["g-A"]


def test_all_of_it_with_asyncio(uri: str) -> None:
    async def use() -> None:
        async with AsyncScheduler(uri) as scheduler:
            assert (await scheduler.groups.set("a", weight=0.5)).weight == 0.5
            await scheduler.add_job("noop", group="b")
            assert [(one.name, one.waiting) for one in await scheduler.groups.all()] == [("a", 0), ("b", 1)]
            assert await scheduler.groups.delete("a")

    asyncio.run(use())


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("", "option group must be a text of 1 to 200 printable characters"),
        ("a*", "a star stands for many names"),
        (
            "{data.customer}",
            r"\{data.customer\} in '\{data.customer\}' must be a text, an integer or an id in this job",
        ),
        ("{name}", r"\{name\} in '\{name\}' is not known"),
    ],
)
def test_a_wrong_group_is_refused_and_nothing_stored(scheduler: Scheduler, group: str, message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        scheduler.add_job(Noted, "A", group=group)
    assert next(scheduler.get_jobs(), None) is None


# -- documents that others have written, and what it costs -------------------------------------------------------------


def test_odd_documents_cost_only_themselves(scheduler: Scheduler) -> None:
    add(scheduler, "A", 2)
    jobs = scheduler.store.jobs.collection
    odd = [scheduler.add_job(Noted, "O", group="A").id for _ in range(4)]
    jobs.update_one({"_id": odd[0]}, {"$set": {"parked_at": "soon"}})
    jobs.update_one({"_id": odd[1]}, {"$set": {"priority": "high"}})
    jobs.update_one({"_id": odd[2]}, {"$set": {"blocked": "group:nonsense"}})
    jobs.update_one({"_id": odd[3]}, {"$set": {"status": 3}})
    jobs.insert_one({"group": 7, "status": 1, "at": datetime(2020, 1, 1, tzinfo=UTC), "class": "noop"})
    scheduler.store.controls.put("group:A", {"name": "A", "weight": "much"})
    taker = TurnTaker(scheduler.store, SYSTEM_CLOCK)
    assert taker.look(ALL_JOBS) == {"default"}
    assert odd[3] not in {job["_id"] for job in taker.find(ALL_JOBS, 10)}, "it has ended"
    assert run_all(scheduler) == "AA"


def test_what_a_node_reads_does_not_grow_with_the_jobs_of_a_group(scheduler: Scheduler, uri: str) -> None:
    for letter in "ABC":
        add(scheduler, letter, 1000)
    explainer = Explainer(uri, scheduler.store.options.job_store)
    client: MongoClient[dict[str, Any]] = MongoClient(uri, event_listeners=[explainer])
    with client, Scheduler(client.get_default_database()) as watched:
        taker, scope = TurnTaker(watched.store, SYSTEM_CLOCK), Scope(["default"])
        explainer.plans.clear()  # to connect reads, too
        for _ in range(3):
            assert taker.look(scope) == {"default"}
            jobs = taker.find(scope, 6)
            assert Counter(job["group"] for job in jobs) == {"A": 2, "B": 2, "C": 2}
            assert len(taker.take(jobs)) == 6
    explainer.close()
    assert not explainer.errors
    assert len(explainer.plans) == 3 * (1 + 3), "each round looks for lists, then at each of the three"
    for plan in explainer.plans:
        assert not plan.scans
        assert plan.documents <= 30
        assert plan.keys <= 30, plan
