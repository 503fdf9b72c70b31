"""The node on which the last predecessor of a job ends claims that job where it is parked, unless others forbid it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.claiming import Bench
from tests.support.jobs import Noop

from taskscheduler import Flow, RunningFlow, Scheduler, Status
from taskscheduler.jobs.commits import CommitState
from taskscheduler.jobs.flow import JobFlow
from taskscheduler.model.lifecycle import Ending
from taskscheduler.operations.flows.extend import Running
from taskscheduler.operations.flows.sweep import sweep_all_flows
from taskscheduler.store.driver_errors import StoreError


@pytest.fixture
def bench(scheduler: Scheduler) -> Iterator[Bench]:
    """A node with four slots that has nothing to do."""
    bench = Bench(scheduler, slots=4)
    bench.look()
    yield bench
    bench.claimer.stop()


def one_and_then(count: int, **options: Any) -> Flow:
    """A job, and others that come after it."""
    flow = Flow("fork")
    first = flow.add(Noop, label="first")
    for number in range(count):
        flow.add(Noop, label=f"next-{number}", after=[first], **options)
    return flow


def begun(scheduler: Scheduler, bench: Bench, flow: Flow) -> RunningFlow:
    """The flow, with its first jobs in flight, and nothing that waits beside them."""
    running = scheduler.flows.add(flow)
    bench.look()
    assert bench.dispatched
    assert not bench.search.more
    return running


def statuses(flow: RunningFlow) -> list[str]:
    """The statuses of the jobs behind the first."""
    return [process.status.label for process in flow.processes[1:]]


def test_the_next_jobs_are_claimed_where_they_are_parked(
    scheduler: Scheduler, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = begun(scheduler, bench, one_and_then(3))
    due = [process.to_dict()["parked_at"] for process in flow.processes[1:]]
    told = list[object]()
    monkeypatch.setattr(scheduler.store.wakeups, "jobs_added", lambda *facts: told.append(facts))
    bench.end(*bench.dispatched)
    assert statuses(flow) == ["postponed"] * 3, "nobody has released them"
    assert bench.search.wake.is_set()
    assert bench.take_what_is_offered() == [process.id for process in flow.processes[1:]]
    assert told == []
    for process, at in zip(flow.processes[1:], due, strict=True):
        stored = process.to_dict()
        assert (process.status, process.attempt, stored["at"]) == (Status.PROCESSING, 1, at)
        assert stored["boot"] == bench.node.boot
        assert not {"blocked", "parked_at"} & set(stored)


def test_a_whole_flow_runs_so(scheduler: Scheduler, bench: Bench) -> None:
    flow = Flow("layers")
    before = [flow.add(Noop) for _ in range(3)]
    for _ in range(3):
        before = [flow.add(Noop, after=before) for _ in range(3)]
    running = begun(scheduler, bench, flow)
    for _ in range(4):
        for attempt in list(bench.in_flight.all()):
            bench.end(attempt)
        bench.take_what_is_offered()
    assert running.refresh().status == "done"


def test_a_join_is_looked_at_once_its_last_job_here_has_ended(
    scheduler: Scheduler, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = Flow("join")
    flow.add(Noop, after=[flow.add(Noop) for _ in range(3)])
    begun(scheduler, bench, flow)
    joins, looked = scheduler.store.flow_effects.joins, list[list[ObjectId]]()
    look = joins.incomplete

    def noted(asked: Sequence[ObjectId]) -> set[ObjectId]:
        looked.append(list(asked))
        return look(asked)

    monkeypatch.setattr(joins, "incomplete", noted)
    for attempt in bench.dispatched[:2]:
        bench.end(attempt)
    assert [asked for asked in looked if asked] == []
    bench.end(bench.dispatched[2])
    assert [len(asked) for asked in looked if asked] == [1]
    assert len(bench.take_what_is_offered()) == 1


def test_one_that_still_runs_elsewhere_is_waited_for(scheduler: Scheduler, bench: Bench) -> None:
    flow = Flow("join")
    flow.add(Noop, after=[flow.add(Noop) for _ in range(2)], label="last")
    running = begun(scheduler, bench, flow)
    other = Bench(scheduler, slots=1)
    ours, theirs = bench.dispatched
    bench.in_flight.pop(theirs.fence.job_id.binary, 1)  # as if the other one had claimed it
    other.in_flight.add([theirs])
    bench.end(ours)
    assert bench.take_what_is_offered() == []
    other.end(theirs)
    assert other.take_what_is_offered() == [running.processes[-1].id]
    other.claimer.stop()


def test_one_that_is_added_while_the_job_before_it_runs_is_seen_by_the_end_of_that(
    scheduler: Scheduler, bench: Bench
) -> None:
    begun(scheduler, bench, one_and_then(1))
    (attempt,) = bench.dispatched
    running = Running(attempt.fence.job_id, 1, attempt.job["flow"])
    added = JobFlow(running, "first", scheduler, CommitState(is_async=False)).add(
        Noop, after=["first"], on_failure="run", label="added"
    )
    bench.end(attempt)
    assert added.id in bench.take_what_is_offered()


@pytest.mark.parametrize("ending", [Ending.SUCCEEDED, Ending.FAILED])
def test_so_it_is_however_that_ends_and_whatever_it_says(scheduler: Scheduler, bench: Bench, ending: Ending) -> None:
    begun(scheduler, bench, one_and_then(1, retry=0))
    (attempt,) = bench.dispatched
    for number in range(2):
        running = Running(attempt.fence.job_id, 1, attempt.job["flow"])
        flow = JobFlow(running, "first", scheduler, CommitState(is_async=False))
        flow.add(Noop, after=["first"], on_failure="run" if number else "skip", label=f"added-{number}")
    attempts = [attempt, *bench.dispatched[1:]]
    bench.end(*attempts, ending=ending)
    taken = bench.take_what_is_offered()
    assert len(taken) == (3 if ending is Ending.SUCCEEDED else 2)


CONTROLLED: dict[str, dict[str, Any]] = {
    "limits": {"limits": "one"},
    "sequence": {"sequence": "s"},
    "solo": {"solo": "key"},
    "group": {"group": "g"},
    "start_by": {"start_by": 60},
    "force_spawn": {"force_spawn": True},
    "at": {"at": datetime.now(UTC) + timedelta(hours=1)},
}


@pytest.mark.parametrize("name", CONTROLLED)
def test_one_under_a_control_is_left_to_that(scheduler: Scheduler, bench: Bench, name: str) -> None:
    scheduler.limits.set("one", concurrency=1)
    flow = begun(scheduler, bench, one_and_then(2, **CONTROLLED[name]))
    bench.end(*bench.dispatched)
    assert bench.successors.pop() == []
    assert not any("flow:" in str(process.to_dict().get("blocked")) for process in flow.processes), "it is released"
    assert Status.PROCESSING not in {process.status for process in flow.processes}


def test_one_that_takes_a_result_gets_it_first(scheduler: Scheduler, bench: Bench) -> None:
    flow = Flow("result")
    first = flow.add(Noop)
    flow.add(Noop, [first.result])
    running = begun(scheduler, bench, flow)
    bench.end(*bench.dispatched)
    assert bench.successors.pop() == []
    assert statuses(running) == ["waiting"]


@pytest.mark.parametrize("paused", [{"job": "noop"}, {"tag": "slow"}, {"queue": "mail"}, {}], ids=str)
def test_what_is_paused_does_not_begin(scheduler: Scheduler, bench: Bench, paused: dict[str, Any]) -> None:
    flow = begun(scheduler, bench, one_and_then(2, tags=["slow"], queue="mail"))
    scheduler.pause(**paused)
    bench.view.refresh()
    bench.end(*bench.dispatched)
    assert bench.take_what_is_offered() == []
    assert Status.PROCESSING not in {process.status for process in flow.processes}
    assert not any("flow:" in str(process.to_dict().get("blocked")) for process in flow.processes), "it is released"


@pytest.fixture
def claims_nothing(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on a claim is an error."""

    def unwanted(*_: object) -> Any:
        raise AssertionError("it is not asked for")

    def forbid() -> None:
        for name in ("claim", "claim_one"):
            monkeypatch.setattr(scheduler.store.claims, name, unwanted)

    return forbid


def test_one_of_a_queue_that_is_not_served_here_is_released(
    scheduler: Scheduler, claims_nothing: Callable[[], None]
) -> None:
    bench = Bench(scheduler, slots=4, queues=("default",))
    flow = begun(scheduler, bench, one_and_then(2, queue="mail"))
    claims_nothing()
    bench.end(*bench.dispatched)
    assert bench.take_what_is_offered() == []
    assert statuses(flow) == ["waiting"] * 2
    bench.claimer.stop()


def test_one_of_a_class_that_is_not_known_here_is_released(
    scheduler: Scheduler, bench: Bench, claims_nothing: Callable[[], None]
) -> None:
    flow = begun(scheduler, bench, one_and_then(2))
    bench.capacity.unknown.until["noop"] = 1000.0
    claims_nothing()
    bench.end(*bench.dispatched)
    assert bench.take_what_is_offered() == []
    assert statuses(flow) == ["waiting"] * 2


def claims_of_many(scheduler: Scheduler, busy: bool) -> list[int]:
    """How many jobs each claim got when the last of those before them ended; `busy`: while another job runs."""
    bench = Bench(scheduler, slots=100)
    bench.look()
    flow = begun(scheduler, bench, one_and_then(40))
    (first,) = bench.dispatched
    if busy:
        scheduler.add_job(Noop)
        bench.look()
    bench.end(first)
    bench.dispatched.clear()
    assert len(set(bench.take_what_is_offered())) == 40
    bench.claimer.stop()
    assert statuses(flow) == ["processing"] * 40
    return sorted(Counter(one.fence.claim for one in bench.dispatched).values())


def test_many_are_claimed_in_two_parts_while_nothing_runs(scheduler: Scheduler) -> None:
    assert claims_of_many(scheduler, busy=False) == [13, 27]


def test_many_are_claimed_at_once_while_others_run(scheduler: Scheduler) -> None:
    assert claims_of_many(scheduler, busy=True) == [40]


def test_a_part_whose_claim_is_uncertain_does_not_stop_the_other(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, claimed = Bench(scheduler, slots=100), scheduler.store.claims.claimed
    bench.look()
    flow = begun(scheduler, bench, one_and_then(40))
    bench.end(*bench.dispatched)
    lost = list[str]()

    def cut_off(claim: str, boot: ObjectId) -> list[Any]:
        found = claimed(claim, boot)
        if len(found) == 13:
            lost.append(claim)
            raise AutoReconnect("cut")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(scheduler.store.claims, "claimed", cut_off)
        with pytest.raises(StoreError):
            bench.claimer._look()
    assert len(bench.dispatched) == 1 + 27
    assert bench.pipeline.unconfirmed() == lost
    bench.look()
    bench.claimer.stop()
    assert len({one.fence.job_id for one in bench.dispatched}) == 1 + 40
    assert statuses(flow) == ["processing"] * 40


def test_what_there_is_no_room_for_is_released(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(6))
    bench.end(*bench.dispatched)
    assert len(bench.take_what_is_offered()) == 4
    assert sorted(statuses(flow)) == ["processing"] * 4 + ["waiting"] * 2


def test_the_most_urgent_are_claimed_first(scheduler: Scheduler, bench: Bench) -> None:
    flow = Flow("fork")
    first = flow.add(Noop)
    urgent = [flow.add(Noop, after=[first], priority=number % 2).id for number in range(8)][1::2]
    begun(scheduler, bench, flow)
    bench.end(*bench.dispatched)
    assert set(bench.take_what_is_offered()) == set(urgent)


def test_other_nodes_get_their_part(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(4))
    for _ in range(2):
        scheduler.store.nodes.register(ObjectId(), {"node": "other", "slots": 4, "queues": []})
    bench.clock.seconds += 10.0
    bench.capacity.set_slots(1)
    for _ in range(1000):
        bench.capacity.speed.learn(0.001)
    bench.end(*bench.dispatched)
    assert len(bench.take_what_is_offered()) == 2, "four of three nodes"
    assert sorted(statuses(flow)) == ["processing"] * 2 + ["waiting"] * 2


def test_jobs_that_wait_already_are_not_passed_over(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(2))
    others = [process.id for process in scheduler.add_jobs([(Noop, None, {"priority": 9})] * 4)]
    bench.claimer.hint(others, ["default"], forced=False, later=False)
    bench.search.more = True  # as a hint of more than a few jobs has it
    bench.end(*bench.dispatched)
    assert bench.take_what_is_offered() == others
    assert statuses(flow) == ["waiting"] * 2


def test_with_a_backlog_they_wait_their_turn(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(2))
    bench.search.has_backlog = True
    bench.end(*bench.dispatched)
    assert statuses(flow) == ["waiting"] * 2


def test_jobs_that_are_hinted_at_while_others_are_on_their_way_come_first(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(4))
    bench.end(*bench.dispatched)
    bench.capacity.speed.learn(0.01)
    most = bench.capacity.target()
    others = [process.id for process in scheduler.add_jobs([(Noop, None, {"priority": 9})] * (most + 1))]
    bench.claimer.hint(others, ["default"], forced=False, later=False)
    assert bench.take_what_is_offered() == others[:most]
    assert statuses(flow) == ["waiting"] * 4, "another one waits that comes first"


def test_one_that_is_cancelled_meanwhile_does_not_begin(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(2))
    bench.end(*bench.dispatched)
    scheduler.cancel_job(flow.processes[1].id)
    assert bench.take_what_is_offered() == [flow.processes[2].id]
    assert statuses(flow) == ["canceled", "processing"]


CHANGES: dict[str, Callable[[Scheduler, ObjectId], object]] = {
    "at": lambda scheduler, job_id: scheduler.update_job(job_id, at=datetime.now(UTC) + timedelta(hours=1)),
    "limits": lambda scheduler, job_id: scheduler.store.jobs.collection.update_one(
        {"_id": job_id}, {"$set": {"limits": ["one"]}}
    ),
    "queue": lambda scheduler, job_id: scheduler.pause(queue="mail"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_one_that_is_held_back_meanwhile_does_not_begin(scheduler: Scheduler, bench: Bench, name: str) -> None:
    scheduler.limits.set("one", concurrency=1)
    flow = begun(scheduler, bench, one_and_then(2, queue="mail"))
    bench.end(*bench.dispatched)
    changed = flow.processes[1]
    CHANGES[name](scheduler, changed.id)
    bench.view.refresh()
    assert changed.id not in bench.take_what_is_offered()
    assert changed.refresh().status is not Status.PROCESSING
    assert "flow:" not in str(changed.to_dict().get("blocked")), "it is released"


@pytest.mark.parametrize("lost", [("claimed",), ("claim", "claimed")], ids="-".join)
def test_a_claim_without_an_answer_leaves_nothing_parked(
    scheduler: Scheduler, bench: Bench, monkeypatch: pytest.MonkeyPatch, lost: tuple[str, ...]
) -> None:
    """Whether it was carried out or not."""
    flow = begun(scheduler, bench, one_and_then(3))
    bench.end(*bench.dispatched)
    with monkeypatch.context() as broken:
        for name in lost:
            broken.setattr(scheduler.store.claims, name, _fail)
        with pytest.raises(StoreError):
            bench.take_what_is_offered()
    bench.look()
    bench.look()
    assert len(bench.dispatched) == 4
    assert statuses(flow) == ["processing"] * 3
    assert {process.attempt for process in flow.processes} == {1}


def _fail(*_: object) -> Any:
    raise AutoReconnect("gone")


def test_a_node_without_its_lease_leaves_them_to_others(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(2))
    bench.end(*bench.dispatched)
    bench.lease.renewed(bench.clock.seconds)
    bench.clock.seconds += 29.0
    assert bench.take_what_is_offered() == []
    assert statuses(flow) == ["waiting"] * 2


def test_a_node_that_stops_leaves_them_to_others(scheduler: Scheduler) -> None:
    bench = Bench(scheduler, slots=4)
    flow = begun(scheduler, bench, one_and_then(2))
    late = begun(scheduler, bench, one_and_then(2))
    bench.end(bench.dispatched[0])
    bench.search.wake.clear()
    bench.claimer.start()
    bench.claimer.stop()
    assert statuses(flow) == ["waiting"] * 2
    bench.end(bench.dispatched[1])
    assert statuses(late) == ["waiting"] * 2


def test_a_node_that_dies_leaves_them_to_the_sweeps_of_others(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(2))
    bench.end(*bench.dispatched)
    bench.successors.pop()  # what it knew is gone
    sweep_all_flows(scheduler.store)
    assert statuses(flow) == ["waiting"] * 2


def test_a_sweep_finds_what_is_left_to_do_among_many_chains(scheduler: Scheduler) -> None:
    """Whoever ended these jobs died before he did what follows, and before he could note that."""
    flow = Flow("chains")
    firsts = [flow.add(Noop, label=f"first-{number}") for number in range(70)]
    nexts = [flow.add(Noop, label=f"next-{number}", after=[first]) for number, first in enumerate(firsts)]
    joined = flow.add(Noop, after=firsts[5:8])
    running, jobs = scheduler.flows.add(flow), scheduler.store.jobs.collection
    done = {"$set": {"status": int(Status.DONE)}, "$unset": {"open": ""}}
    jobs.update_many({"_id": {"$in": [one.id for one in (*firsts[:2], *firsts[5:8])]}}, done)
    jobs.update_one({"_id": firsts[3].id}, {"$set": {"status": int(Status.FAILED)}})
    jobs.update_one({"_id": firsts[4].id}, {"$set": {"open": firsts[4].id}})  # somebody else has written that
    sweep_all_flows(scheduler.store)
    stored = {process.id: process.status.label for process in running.refresh().processes}
    expected = {0: "waiting", 1: "waiting", 3: "canceled", 5: "waiting", 6: "waiting", 7: "waiting"}
    assert [stored[one.id] for one in nexts] == [expected.get(number, "postponed") for number in range(70)]
    assert stored[joined.id] == "waiting"


def test_what_comes_after_a_failure_is_cancelled(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(2))
    bench.end(*bench.dispatched, ending=Ending.FAILED)
    assert bench.take_what_is_offered() == []
    assert statuses(flow) == ["canceled"] * 2


def test_what_does_not_mind_a_failure_is_claimed(scheduler: Scheduler, bench: Bench) -> None:
    flow = begun(scheduler, bench, one_and_then(2, on_failure="run"))
    bench.end(*bench.dispatched, ending=Ending.FAILED)
    assert len(bench.take_what_is_offered()) == 2
    assert statuses(flow) == ["processing"] * 2
