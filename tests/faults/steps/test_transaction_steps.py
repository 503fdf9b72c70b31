"""Transactions: a process ends after its n-th call, or the server fails in the commit.

A job exists exactly if its transaction has committed. An effect that was written through `commit` exists exactly once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from taskscheduler import DatabaseError, Flow, Scheduler, Status
from tests.faults.steps.flow_scenarios import in_order
from tests.faults.steps.playing import breaks, crash_of_a_node, crash_of_an_operation, every_crash_of_a_node
from tests.faults.steps.scenarios import Scenario
from tests.faults.steps.server import Server
from tests.faults.steps.stage import LEASE, Stage, every_step, healed
from tests.support.eventually import eventually
from tests.support.replicaset import ReplicaSet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]

_AT_ONCE = 4

#: the server aborts what dead programs have left open; a job's own transaction is ended by the node that takes the job
LIMIT = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limit = ("--setParameter", f"transactionLifetimeLimitSeconds={LIMIT}")
    server = Server(tmp_path_factory.mktemp("transactions"), *limit)
    yield server
    server.stop()


@pytest.fixture
def stages(server: Server, tmp_path: Path) -> Iterator[list[Stage]]:
    made = [
        Stage(server.client, server.uri("{}"), f"steps_{number}", tmp_path / str(number)) for number in range(_AT_ONCE)
    ]
    for stage in made:
        stage.scheduler.add_job("noop", unique_for=1)  # the collections are there
        ensure(stage)
    yield made
    for stage in made:
        stage.scheduler.close()
        server.client.drop_database(stage.database.name)


def ensure(stage: Stage) -> None:
    """Nothing of an earlier step is left."""
    for name in ("orders", "effects"):
        if name not in stage.database.list_collection_names():
            stage.database.create_collection(name)
        stage.database[name].delete_many({})


def counted(stage: Stage) -> tuple[int, int]:
    """How many orders there are, and how many jobs."""
    return stage.database.orders.count_documents({}), stage.statuses().total()


# -- a program that adds ----------------------------------------------------------------------------------------------

ADDED: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "unique_for": {"options": {"unique_for": 600}},
    "dedupe": {"options": {"dedupe": True}},
    "limit": {"options": {"limits": "x"}},
    "sequence": {"options": {"sequence": "s"}},
    "once": {"once": True},
    "flow": {"flow": True},
}


def crash_of_an_order(stage: Stage, n: int, facts: Mapping[str, Any]) -> bool:
    each = 2 if "flow" in facts else 1

    def after(stage: Stage) -> None:
        orders, jobs = counted(stage)
        assert orders * each == jobs <= each, f"{orders} orders and {jobs} jobs"
        assert jobs or not stage.acknowledged
        healed(stage, lambda stage: stage.statuses() == ({Status.DONE: each} if jobs else {}))
        assert counted(stage) == (orders, jobs), "a dead program has committed"
        stage.verify()

    stage.clear()
    ensure(stage)
    return crash_of_an_operation(stage, "order", {"data": stage.log, **facts}, n, after)


@pytest.mark.parametrize("how", ADDED)
def test_a_program_may_crash_after_every_call_of_its_transaction(stages: list[Stage], how: str) -> None:
    assert every_step(stages, lambda stage, n: crash_of_an_order(stage, n, ADDED[how])) > 4


def test_an_order_that_is_written_beside_the_transaction_may_have_no_job(stages: list[Stage]) -> None:
    """The control."""
    assert breaks(stages, lambda stage, n: crash_of_an_order(stage, n, {"apart": True}))


# -- a job that commits -----------------------------------------------------------------------------------------------


def effects(stage: Stage) -> int:
    return stage.database.effects.count_documents({})


def crash_of_a_commit(stage: Stage, n: int, job: str = "pays_and_crashes") -> bool:
    """Whether the job has come to its end before its worker was killed."""
    stage.clear()
    ensure(stage)
    record = f"{stage.directory}/calls"
    with stage.acting("node", {"orphaned_timeout": LEASE, "max_lost": 10}) as node:
        stage.scheduler.add_job(job, {"crash_at": n, "record": record})
        eventually(lambda: stage.statuses() == {Status.DONE: 1} and stage.settled(), 30, "done")
        stored = stage.jobs.find_one()
        assert (effects(stage), stored["result"]) == (1, "paid"), f"{effects(stage)} effects of {stored}"
        assert node.stop() == 0
    assert effects(stage) == 1
    stage.verify()
    over = Path(record + ".over")
    return over.exists() and over.read_text().startswith("1 done")


def test_a_worker_may_crash_after_every_call_of_a_job_that_commits(stages: list[Stage]) -> None:
    assert every_step(stages, crash_of_a_commit) > 5


def test_an_effect_that_is_written_beside_the_transaction_exists_twice(stages: list[Stage]) -> None:
    """The control."""
    assert breaks(stages, lambda stage, n: crash_of_a_commit(stage, n, "pays_and_crashes_apart"))


def paying(job: str) -> Scenario:
    """One such job under a limit."""

    def prepare(stage: Stage) -> None:
        ensure(stage)
        stage.scheduler.add_job(job, {}, limits="x")

    def check(stage: Stage) -> None:
        assert effects(stage) == 1

    return Scenario(prepare, lambda stage: stage.statuses() == {Status.DONE: 1}, check=check)


def test_a_node_may_crash_after_every_call_while_its_job_commits(stages: list[Stage]) -> None:
    every_crash_of_a_node(stages, paying("pays"))


def test_a_node_that_crashes_leaves_an_effect_that_is_written_apart_twice(stages: list[Stage]) -> None:
    """The control."""
    assert breaks(stages, lambda stage, n: crash_of_a_node(stage, paying("pays_apart"), n))


# -- commits that fail or whose outcome is unknown --------------------------------------------------------------------

_UNKNOWN = {"code": 11602, "errmsg": "the primary steps down"}

#: faults of the server in the commit; the driver hides one, and these come three times
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "closed connection": {"closeConnection": True},
    "carried out and unknown": {"writeConcernError": _UNKNOWN},
    "not confirmed in time": {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
    "interrupted": {"errorCode": 11602, "errorLabels": ["RetryableWriteError"]},
    "aborted by the server": {"errorCode": 251, "errorLabels": ["TransientTransactionError"]},
}


def failing_commits_of_an_order(server: Server, stage: Stage, fault: str, facts: Mapping[str, Any]) -> None:
    """It exists once with all of its jobs, and who has added it knows."""
    each = 2 if "flow" in facts else 1
    stage.clear()
    stage.scheduler.store.flows.ensure()
    ensure(stage)
    failing = server.failing(["commitTransaction"], FAULTS[fault], 3)
    with failing as failpoint, stage.acting("order", {"data": stage.log, **facts}) as operation:
        assert operation.wait(60) == 0, stage.said("order")[-2000:]
    assert failpoint.struck == 3
    assert counted(stage) == (1, each)
    assert len(stage.acknowledged) == each
    healed(stage, lambda stage: stage.statuses() == {Status.DONE: each})
    stage.verify()


@pytest.mark.parametrize("how", ["plain", "flow"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_outcome_of_an_order_is_known_in_the_end(server: Server, stages: list[Stage], fault: str, how: str) -> None:
    failing_commits_of_an_order(server, stages[0], fault, ADDED[how])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_program_that_asks_once_does_not_know_the_outcome(server: Server, stages: list[Stage], fault: str) -> None:
    """The control."""
    with pytest.raises(AssertionError):
        failing_commits_of_an_order(server, stages[0], fault, {"asks_once": True})


@pytest.mark.parametrize("fault", FAULTS)
def test_the_outcome_of_adding_a_flow_is_known_in_the_end(server: Server, stages: list[Stage], fault: str) -> None:
    """In the transaction of the scheduler itself."""
    stage = stages[0]
    stage.clear()
    stage.scheduler.store.flows.ensure()
    with server.failing(["commitTransaction"], FAULTS[fault], 3) as failpoint, stage.acting("add_flow") as operation:
        assert operation.wait(60) == 0, stage.said("add_flow")[-2000:]
    assert failpoint.struck == 3
    assert len(stage.acknowledged) == stage.statuses().total() == 4
    healed(stage, lambda stage: stage.statuses() == {Status.DONE: 4})
    stage.verify()


def failing_commits_of_a_job(server: Server, stage: Stage, fault: str, job: str) -> None:
    """It is DONE, and its effect exists once."""
    stage.clear()
    ensure(stage)
    failing = server.failing(["commitTransaction"], FAULTS[fault], 3)
    with failing as failpoint, stage.acting("node", {"orphaned_timeout": 10 * LEASE}) as node:
        process = stage.scheduler.add_job(job, {"n": 1}, retry=5, retry_interval=0.05)
        process.wait(timeout=60)
        assert (process.status, effects(stage)) == (Status.DONE, 1), stage.describe()
        assert process.attempt == 1 or (fault == "aborted by the server" and job != "pays_with")
        assert node.stop() == 0
    assert failpoint.struck == 3 or fault == "carried out and unknown"  # then the job is DONE after the first
    stage.verify()


@pytest.mark.parametrize("job", ["pays", "pays_async", "pays_with"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_outcome_of_a_commit_is_known_in_the_end(server: Server, stages: list[Stage], fault: str, job: str) -> None:
    failing_commits_of_a_job(server, stages[0], fault, job)


@pytest.mark.parametrize("job", ["pays", "pays_async"])
def test_without_asking_for_the_outcome_a_job_runs_again(server: Server, stages: list[Stage], job: str) -> None:
    """The control."""
    stages[0].without = ("asking for the outcome of a commit",)
    with pytest.raises(AssertionError):
        failing_commits_of_a_job(server, stages[0], "not confirmed in time", job)


# -- elections --------------------------------------------------------------------------------------------------------

_ORDERS = 24


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path_factory.mktemp("elections")) as servers:
        yield servers


def orders_through_elections(servers: ReplicaSet, stage: Stage, apart: bool = False) -> None:
    """The primary steps down in transactions of a program, while jobs pay. A third of the orders are flows."""
    scheduler = stage.scheduler
    stage.clear()
    ensure(stage)
    scheduler.store.flows.ensure()
    with stage.acting("node", {"orphaned_timeout": 30, "min_children": 2}) as node:
        for number in range(_ORDERS):
            ordered(scheduler, number, apart, [lambda: servers.step_down(1)] if number % 8 == 4 else [])
        eventually(lambda: all_ended(scheduler), 90, "all have ended")
        assert node.stop() == 0
    orders = Counter(order["n"] for order in stage.database.orders.find())
    assert not (twice := sorted(n for n, count in orders.items() if count > 1)), f"stored twice: {twice}"
    assert sorted(orders) == list(range(_ORDERS))
    paying = {job.id: job.data["order"] for job in scheduler.get_jobs({"class": "pays"})}
    assert sorted(paying.values()) == list(range(_ORDERS))
    assert sorted(effect["job"] for effect in stage.database.effects.find()) == sorted(paying)
    assert [flow.status for flow in scheduler.flows.list()] == ["done"] * (_ORDERS // 3)
    in_order(stage)


def ordered(scheduler: Scheduler, number: int, apart: bool, disturb: list[Callable[[], None]]) -> None:
    """An order with its job, or with a flow of one that pays and one that comes after it."""

    def order(session: Any) -> None:
        # the transaction begins here, also if the order is apart: one that begins after the election is not disturbed
        scheduler.database.orders.find_one({"n": number}, session=session)
        scheduler.database.orders.insert_one({"n": number}, session=None if apart else session)
        if disturb:
            disturb.pop()()
        options: dict[str, Any] = {"retry": 100, "retry_interval": 0.1}
        if number % 3:
            scheduler.add_job("pays", {"order": number}, session=session, **options)
            return
        flow = Flow("order")
        flow.add("noop", after=[flow.add("pays", {"order": number}, **options)])
        scheduler.flows.add(flow, session=session)

    with scheduler.database.client.start_session() as session:
        session.with_transaction(order)


def all_ended(scheduler: Scheduler) -> bool:
    try:
        return not any(scheduler.get_jobs()) and not scheduler.flows.list("running")
    except DatabaseError:  # an election
        return False


@pytest.fixture
def elected(servers: ReplicaSet, tmp_path: Path) -> Iterator[Stage]:
    uri = servers.uri("app", retryWrites="true")
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    with client:
        stage = Stage(client, uri.replace("/app", "/{}"), f"app_{ObjectId()}", tmp_path / "stage")
        yield stage
        stage.scheduler.close()


def test_elections_leave_each_order_with_its_job_and_each_job_with_one_effect(
    servers: ReplicaSet, elected: Stage
) -> None:
    orders_through_elections(servers, elected)


def test_an_order_that_is_written_apart_exists_twice_after_an_election(servers: ReplicaSet, elected: Stage) -> None:
    """The control."""
    with pytest.raises(AssertionError, match=r"stored twice: \[4, 12, 20\]"):
        orders_through_elections(servers, elected, apart=True)
