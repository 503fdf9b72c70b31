"""Limits: never one job too many of a name, whatever dies; the next one begins soon; rates count starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from tests.scale.explaining import Explainer
from tests.support.eventually import eventually
from tests.support.jobs import trace, traces
from tests.support.nodes import NodeProcess

from taskscheduler import InvalidOptionError, Job, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.control.limits import Limit, stored_limit
from taskscheduler.store.control import room, sweeps
from taskscheduler.testing import InlineNode

Documents = Database[dict[str, Any]]
StartNode = Callable[..., NodeProcess]
HERE = {"jobs": ["tests.support.jobs", "tests.integration.test_limits"]}


class Works(Job):
    """Traces when it began and ended, on the monotonic clock that all processes of a host share.

    The first ones wait for each other, until so many have begun as the data say under `many`.
    """

    name = "limits.works"

    def start(self) -> None:
        began = SYSTEM_CLOCK.monotonic()
        if "many" in self.data:
            trace(met := self.data["trace"] + ".met", self.id)
            eventually(lambda: len(traces(met)) >= self.data["many"], 60, "the others")
        time.sleep(self.data.get("seconds", 0.01))
        trace(self.data["trace"], self.id, began, SYSTEM_CLOCK.monotonic())
        if self.attempt <= self.data.get("fails", 0):
            raise RuntimeError("not yet")


#: a node that notes how many starts a rate has granted it, and when it asked and was answered
NOTES_GRANTS = """
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.store.control.rates import STARTS, RateStore
from tests.support.jobs import trace
take, give_back = RateStore.take, RateStore.give_back
def taken(self, name, limit, count, counter=STARTS):
    begun, granted = SYSTEM_CLOCK.monotonic(), take(self, name, limit, count, counter)
    if counter == STARTS:
        trace({path!r}, granted.starts, begun, SYSTEM_CLOCK.monotonic())
    return granted
def given_back(self, name, limit, count, counter=STARTS):
    begun = SYSTEM_CLOCK.monotonic()
    give_back(self, name, limit, count, counter)
    if counter == STARTS:
        trace({path!r}, -count, begun, SYSTEM_CLOCK.monotonic())
RateStore.take, RateStore.give_back = taken, given_back
"""


class Meter(Job):
    """Traces when it began, on the monotonic clock."""

    name = "limits.meter"

    def start(self) -> None:
        trace(self.data, SYSTEM_CLOCK.monotonic())


def spans(path: Path) -> list[tuple[float, float]]:
    return sorted((float(words[1]), float(words[2])) for words in traces(path))


def most_at_once(found: Iterable[tuple[float, float]]) -> int:
    changes = sorted((moment, change) for span in found for moment, change in zip(span, (1, -1), strict=True))
    count = most = 0
    for _, change in changes:
        count += change
        most = max(most, count)
    return most


def test_never_more_than_the_limit_are_at_work(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    path = tmp_path / "spans"
    scheduler.limits.set("stripe", concurrency=3)
    data = {"trace": str(path), "many": 3}
    added = scheduler.add_jobs([(Works, data, {"limits": "stripe"})] * 50)
    for _ in range(2):
        start_node(**HERE, max_children=4)
    added += [scheduler.add_job(Works, data, limits=["stripe"]) for _ in range(50)]
    scheduler.wait_for(added, throw=True, timeout=60)
    found = spans(path)
    assert len(found) == 100
    assert most_at_once(found) == 3
    assert scheduler.limits.all()[0].taken == 0


def test_without_reading_the_places_the_limit_does_not_hold(
    scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above is worth: no node is up, whose sweeps would take back places that are too many."""
    data = {"trace": str(tmp_path / "spans"), "many": 2}
    collection, admitted = scheduler.store.jobs.collection, {"gate": {"$exists": True}, "status": int(Status.WAITING)}
    scheduler.limits.set("stripe", concurrency=1)
    scheduler.add_jobs([(Works, data, {"limits": "stripe"})] * 4)
    assert collection.count_documents(admitted) == 1
    monkeypatch.setattr(room, "free_number", lambda taken, text, most: time.monotonic_ns())
    monkeypatch.setattr(room.Rooms, "of", lambda self, text: 10)
    scheduler.add_jobs([(Works, data, {"limits": "stripe"})] * 4)
    assert collection.count_documents(admitted) > 1


def test_each_name_under_a_star_has_places_of_its_own(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    scheduler.limits.set("tenant:*", concurrency=1)
    path, tenants = tmp_path / "spans", ("a", "b", "c")
    jobs = [
        (Works, {"trace": str(path), "tenant": tenant, "many": 3}, {"limits": "tenant:{data.tenant}"})
        for tenant in tenants
        for _ in range(8)
    ]
    added = scheduler.add_jobs(jobs)
    assert added[0].options["limits"] == ["tenant:a"]
    start_node(**HERE, max_children=6)
    scheduler.wait_for(added, throw=True, timeout=60)
    of_tenant = {str(process.id): process.data["tenant"] for process in added}
    found = [(of_tenant[words[0]], (float(words[1]), float(words[2]))) for words in traces(path)]
    assert [most_at_once(span for name, span in found if name == tenant) for tenant in tenants] == [1, 1, 1]
    assert most_at_once(span for _, span in found) == 3


def test_jobs_count_under_the_limit_that_they_are_under(scheduler: Scheduler) -> None:
    """And not once more under one of many names."""
    scheduler.limits.set("tenant:*", concurrency=1)
    scheduler.limits.set("tenant:7", concurrency=2)
    scheduler.limits.set("tenant:eu:*", rate=1, per=3600)
    for name in ("tenant:6", "tenant:7", "tenant:70", "tenant:eu:7"):
        scheduler.add_jobs([("noop", None, {"limits": name})] * 4)
    both = scheduler.add_job("noop", limits=["tenant:8", "tenant:9"])
    uses = {use.name: use for use in scheduler.limits.all()}
    assert {name: (use.taken, use.waiting) for name, use in uses.items()} == {
        "tenant:*": (3, 6),
        "tenant:7": (2, 2),
        "tenant:eu:*": (1, 3),
    }
    assert {holder.name for holder in uses["tenant:*"].holders} == {"tenant:6", "tenant:70", "tenant:8"}
    assert [holder.job for holder in uses["tenant:*"].holders if holder.name == "tenant:8"] == [both.id]


def test_to_count_under_a_limit_reads_no_other_jobs(uri: str, scheduler: Scheduler) -> None:
    scheduler.limits.set("tenant:*", concurrency=1)
    scheduler.limits.set("tenant:7", concurrency=2)
    scheduler.add_jobs([("noop", None, {"limits": "tenant:7"})] * 50 + [("noop", None, {"limits": "tenant:8"})] * 2)
    explainer = Explainer(uri, "taskscheduler.jobs")
    client: MongoClient[dict[str, Any]] = MongoClient(uri, event_listeners=[explainer])
    with client:
        other = Scheduler(client.get_default_database())
        assert other.store
        explainer.plans.clear()  # to connect reads, too
        use = other.limits.all()[0]
    explainer.close()
    assert (use.name, use.taken, use.waiting) == ("tenant:*", 1, 1)
    held, _, *waiting = explainer.plans[:4]  # all limits are counted together
    assert not any(plan.scans or plan.sorts for plan in explainer.plans)
    assert (held.documents, sum(plan.documents for plan in waiting)) == (1, 0)
    assert max(plan.keys for plan in (held, *waiting)) <= 4


def test_a_job_under_two_limits_needs_a_place_of_both(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    scheduler.limits.set("all", concurrency=3)
    scheduler.limits.set("tenant:*", concurrency=1)
    paths = {tenant: tmp_path / tenant for tenant in ("a", "b")}
    jobs = [
        (Works, {"trace": str(paths[tenant]), "tenant": tenant}, {"limits": ["all", "tenant:{data.tenant}"]})
        for tenant in paths
        for _ in range(30)
    ]
    added = scheduler.add_jobs(jobs)
    start_node(**HERE, max_children=6)
    scheduler.wait_for(added, throw=True, timeout=60)
    assert [most_at_once(spans(path)) for path in paths.values()] == [1, 1]


def test_a_limit_is_changed_while_jobs_run(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    until = tmp_path / "until"

    def running() -> int:
        return len(list(scheduler.get_jobs({"status": "processing"})))

    added = scheduler.add_jobs([("wait", {"trace": str(tmp_path / "t"), "until": str(until)}, {"limits": "x"})] * 8)
    start_node(**HERE, max_children=8)
    eventually(lambda: running() == 8, 60)  # a limit that nobody has set does not limit
    scheduler.limits.set("x", concurrency=2)
    more = scheduler.add_jobs([("wait", {"trace": str(tmp_path / "t"), "until": str(until)}, {"limits": "x"})] * 8)
    assert {one.refresh().status for one in more} == {Status.POSTPONED}
    used = scheduler.limits.all()[0]
    assert (used.name, used.limit.concurrency, used.taken, used.waiting) == ("x", 2, 8, 8)
    until.touch()
    scheduler.wait_for([*added, *more], throw=True, timeout=30)


def test_jobs_that_wait_for_a_slot_lose_their_place_to_a_new_limit(scheduler: Scheduler) -> None:
    added = scheduler.add_jobs([("noop", None, {"limits": "x"})] * 10)
    assert [one.status.label for one in scheduler.get_jobs({})] == ["waiting"] * 10
    scheduler.limits.set("x", concurrency=3)
    assert sum(one.refresh().status is Status.WAITING for one in added) == 3
    scheduler.limits.set("x", concurrency=5)
    assert sum(one.refresh().status is Status.WAITING for one in added) == 5
    assert scheduler.limits.delete("x")
    assert not scheduler.limits.delete("x")
    assert sum(one.refresh().status is Status.WAITING for one in added) == 10


def test_a_sweep_takes_back_places_that_a_lowered_limit_has_no_more(scheduler: Scheduler) -> None:
    """Whoever has lowered it has died before, or others that did not know of it yet have let in more jobs."""
    added = [scheduler.add_job("noop", limits="x") for _ in range(4)]
    scheduler.limits.set("x", concurrency=3)
    lowered = Limit("x", concurrency=1)
    scheduler.store.controls.put(lowered.key, stored_limit(lowered))
    assert sum(one.refresh().status is Status.WAITING for one in added) == 3
    scheduler.store.sweeps.sweep()
    assert [one.refresh().status for one in added] == [Status.WAITING, *[Status.POSTPONED] * 3]


def test_sweeps_look_at_all_jobs_that_hold_a_place_one_part_after_the_other(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "_MOST_RECALLED", 2)
    others = [scheduler.add_job("noop", limits=["x", "y"]) for _ in range(5)]
    held = [scheduler.add_job("noop", limits=["x", "z"], queue="held") for _ in range(3)]
    scheduler.pause(queue="held")
    for _ in range(6):
        scheduler.store.sweeps.sweep()
    assert {one.refresh().status for one in held} == {Status.POSTPONED}
    assert {one.refresh().status for one in others} == {Status.WAITING}
    scheduler.resume(queue="held")
    for _ in range(6):
        scheduler.store.sweeps.sweep()
    scheduler.pause(queue="held")
    for _ in range(6):  # they begin again at the end
        scheduler.store.sweeps.sweep()
    assert {one.refresh().status for one in held} == {Status.POSTPONED}


def test_no_place_is_kept_by_what_ends_without_running(scheduler: Scheduler) -> None:
    scheduler.limits.set("x", concurrency=1)
    added = [scheduler.add_job("noop", limits="x") for _ in range(6)]
    steps: list[Callable[[Any], Any]] = [
        lambda one: one.cancel(),
        lambda one: scheduler.delete_job(one.id),
        lambda one: scheduler.update_job(one.id, at=timedelta(hours=1)),
        lambda one: scheduler.select(f"id:{one.id}").cancel(),
    ]
    for number, step in enumerate(steps):
        assert added[number].refresh().status is Status.WAITING, number
        step(added[number])
    assert added[len(steps)].refresh().status is Status.WAITING
    assert scheduler.limits.all()[0].taken == 1


def test_a_retry_gives_its_place_to_others_meanwhile(scheduler: Scheduler, tmp_path: Path) -> None:
    scheduler.limits.set("x", concurrency=1)
    first = scheduler.add_job(Works, {"trace": str(tmp_path / "t"), "fails": 1}, limits="x", retry=1, retry_interval=60)
    second = scheduler.add_job("noop", limits="x")
    with InlineNode(scheduler) as node:
        node.run_until_idle()
        assert (first.refresh().status, second.refresh().status) == (Status.POSTPONED, Status.DONE)
        node.advance(61)
        node.run_until_idle()
    assert first.refresh().status is Status.DONE


def test_a_rate_lets_so_many_start(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    path = tmp_path / "starts"
    scheduler.limits.set("api", rate=50, per=1, burst=10)
    added = scheduler.add_jobs([(Meter, str(path), {"limits": "api"})] * 110)
    for _ in range(2):
        start_node(**HERE, max_children=4, late=NOTES_GRANTS.format(path=str(tmp_path / "grants")))
    scheduler.wait_for(added, throw=True, timeout=60)
    grants = sorted((float(words[1]), float(words[2]), int(words[0])) for words in traces(tmp_path / "grants"))
    for first, (begun, _, _) in enumerate(grants):
        total = 0
        for _, answered, count in grants[first:]:
            total += count
            assert total <= 11 + 50 * (answered - begun), "10 at once, and 50 a second"
    starts = sorted(float(words[0]) for words in traces(path))
    assert len(starts) == 110
    for number, at in enumerate(starts, 1):
        assert number <= sum(count for begun, _, count in grants if begun <= at), "no job starts without a grant"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": ""}, "option name must be a text"),
        ({"name": "a*b", "concurrency": 1}, "a star stands for many names only at the end"),
        ({"name": "x"}, "give concurrency, rate or both"),
        ({"name": "x", "concurrency": -1}, "concurrency"),
        ({"name": "x", "concurrency": 1.5}, "concurrency"),
        ({"name": "x", "rate": 0}, "option rate must be"),
        ({"name": "x", "rate": 1, "per": 0}, "per"),
        ({"name": "x", "concurrency": 1, "burst": 3}, "option burst belongs to a rate"),
    ],
)
def test_a_wrong_limit_is_refused(scheduler: Scheduler, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        scheduler.limits.set(**given)
    assert scheduler.limits.all() == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("tenant:{data.tenant}", "must be a text, an integer or an id in this job, not nothing"),
        ("{data}", "not a dict"),
        ("{user}", "is not known"),
        ("{data.x", "a brace is missing"),
        ("tenant:*", "only in limits.set"),
        ([1], "option limits must be a text"),
        ([f"x{number}" for number in range(11)], "10 names at most"),
        (7, "a name or a list of names"),
    ],
)
def test_a_wrong_name_of_a_limit_is_refused_at_the_call(scheduler: Scheduler, limits: Any, message: str) -> None:
    with pytest.raises(InvalidOptionError, match=message):
        scheduler.add_job("noop", {"x": 1}, limits=limits)
    assert list(scheduler.get_jobs({})) == []


def test_a_place_goes_to_a_job_that_a_node_runs(scheduler: Scheduler, start_node: StartNode) -> None:
    """A job whose queue is served by nobody, or paused, keeps no place from others."""
    scheduler.limits.set("x", concurrency=1)
    elsewhere = scheduler.add_job("noop", limits="x", queue="elsewhere")
    assert elsewhere.refresh().status is Status.WAITING, "it has the place while no node is up"
    others = [scheduler.add_job("noop", limits="x") for _ in range(3)]
    node = start_node(queues=["default"])
    scheduler.wait_for(others, throw=True, timeout=20)
    assert elsewhere.why().code == "NO_NODE_SERVES"
    node.stop()
    scheduler.pause(queue="paused")
    start_node()
    paused = scheduler.add_job("noop", limits="x", queue="paused")
    scheduler.wait_for([elsewhere, scheduler.add_job("noop", limits="x")], throw=True, timeout=20)
    assert paused.refresh().status is Status.POSTPONED
    scheduler.resume(queue="paused")
    scheduler.wait_for([paused], throw=True, timeout=20)


def test_a_job_that_no_node_knows_fails_when_it_has_waited_long_enough(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    scheduler.limits.set("x", concurrency=1)
    unknown = scheduler.add_job("limits.nobody", limits="x", sequence="s")
    known = scheduler.add_job("noop", limits="x")
    start_node(unknown_timeout=1.5)
    assert scheduler.add_job("noop", sequence="s").wait(timeout=30).status is Status.DONE
    assert known.wait(timeout=30).status is Status.DONE
    assert unknown.refresh().status is Status.FAILED
    assert unknown.error is not None
    assert unknown.error["type"] == "InvalidJobError"


def test_a_change_of_a_star_lets_in_jobs_of_the_name_that_ends_before_it(scheduler: Scheduler) -> None:
    scheduler.limits.set("tenant:*", concurrency=0)
    bare, other = (scheduler.add_job("noop", limits=name) for name in ("tenant:", "tenant:a"))
    assert {one.refresh().status for one in (bare, other)} == {Status.POSTPONED}
    scheduler.limits.set("tenant:*", concurrency=1)
    assert {one.refresh().status for one in (bare, other)} == {Status.WAITING}


def test_all_limits_and_all_groups_are_asked_about_at_once(scheduler: Scheduler) -> None:
    for number in range(6):
        scheduler.limits.set(f"l{number}", concurrency=1)
        scheduler.add_jobs([("noop", None, {"limits": f"l{number}"})] * (number + 1))
        scheduler.add_jobs([("noop", None, {"group": f"g{number}"})] * (number + 1))
    database = scheduler.store.database
    database.command("profile", 2)
    limits, groups = scheduler.limits.all(), scheduler.groups.all()
    database.command("profile", 0)
    assert [(use.taken, use.waiting) for use in limits] == [(1, number) for number in range(6)]
    assert [(use.name, use.waiting) for use in groups] == [(f"g{number}", number + 1) for number in range(6)]
    jobs = {"ns": f"{database.name}.taskscheduler.jobs", "op": {"$in": ["query", "command"]}}
    asked = list(database["system.profile"].find(jobs))
    assert len(asked) == 4
    assert not any("COLLSCAN" in one["planSummary"] for one in asked)
