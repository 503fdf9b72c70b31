"""Transactions: a process ends after its n-th call, or the server fails in the commit.

A job exists exactly if its transaction has committed. An effect that was written through `commit` exists exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from taskscheduler import DatabaseError, Scheduler, Status
from tests.faults.steps.playing import crash_of_a_node, crash_of_an_operation
from tests.faults.steps.scenarios import Scenario
from tests.faults.steps.server import Server
from tests.faults.steps.stage import LEASE, Stage, every_step, healed
from tests.support.eventually import eventually
from tests.support.replicaset import ReplicaSet

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

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
}


def crash_of_an_order(stage: Stage, n: int, facts: Mapping[str, Any]) -> bool:
    def after(stage: Stage) -> None:
        orders, jobs = counted(stage)
        assert orders == jobs <= 1, f"{orders} orders and {jobs} jobs"
        assert jobs or not stage.acknowledged
        healed(stage, lambda stage: stage.statuses() == ({Status.DONE: 1} if jobs else {}))
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
    assert every_step(stages, crash_of_a_commit) > 6


def test_an_effect_that_is_written_beside_the_transaction_exists_twice(stages: list[Stage]) -> None:
    """The control."""
    assert breaks(stages, lambda stage, n: crash_of_a_commit(stage, n, "pays_and_crashes_apart"))


def _one_pays(stage: Stage) -> None:
    ensure(stage)
    stage.scheduler.add_job("pays", {}, limits="x")


def _has_paid(stage: Stage) -> bool:
    return stage.statuses() == {Status.DONE: 1}


def test_a_node_may_crash_after_every_call_while_its_job_commits(stages: list[Stage]) -> None:
    def play(stage: Stage, n: int) -> bool:
        over = crash_of_a_node(stage, Scenario(_one_pays, _has_paid), n)
        assert effects(stage) == 1
        return over

    assert every_step(stages, play) > 10


def breaks(stages: list[Stage], play: Callable[[Stage, int], bool]) -> list[int]:
    """The steps at which a promise is broken."""
    failures: list[int] = []

    def tried(stage: Stage, n: int) -> bool:
        try:
            return play(stage, n)
        except AssertionError:
            failures.append(n)
            return True  # one is enough

    every_step(stages, tried)
    return failures


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


@pytest.mark.parametrize("fault", FAULTS)
def test_the_outcome_of_an_order_is_known_in_the_end(server: Server, stages: list[Stage], fault: str) -> None:
    stage = stages[0]
    stage.clear()
    ensure(stage)
    failing = server.failing(["commitTransaction"], FAULTS[fault], 3)
    with failing as failpoint, stage.acting("order", {"data": stage.log}) as operation:
        assert operation.wait(60) == 0, stage.said("order")[-2000:]
    assert failpoint.struck == 3
    assert counted(stage) == (1, 1)
    assert len(stage.acknowledged) == 1
    healed(stage, lambda stage: stage.statuses() == {Status.DONE: 1})
    stage.verify()


@pytest.mark.parametrize("job", ["pays", "pays_async", "pays_with"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_outcome_of_a_commit_is_known_in_the_end(server: Server, stages: list[Stage], fault: str, job: str) -> None:
    stage = stages[0]
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


# -- elections --------------------------------------------------------------------------------------------------------


def test_elections_leave_each_order_with_its_job_and_each_job_with_one_effect(tmp_path: Path) -> None:
    """The primary steps down again and again, while programs order and jobs pay."""
    with ReplicaSet(tmp_path) as servers:
        uri = servers.uri("app", retryWrites="true")
        with Scheduler(uri) as scheduler:
            database = scheduler.database
            database.orders.insert_one({"_id": "first"})
            database.effects.insert_one({"_id": "first"})
            stage = Stage(database.client, uri.replace("/app", "/{}"), "app", tmp_path / "stage")
            with stage.acting("node", {"orphaned_timeout": 30, "min_children": 2}) as node:
                known = []
                for number in range(24):
                    if number % 8 == 4:
                        servers.step_down(1)
                    known.append(ordered(scheduler, number))
                eventually(lambda: all_paid(scheduler), 90, "all have paid")
                assert node.stop() == 0
            jobs = {job["_id"]: job["data"]["order"] for job in scheduler.store.jobs.find({"class": "pays"})}
            orders = [order["_id"] for order in database.orders.find({"_id": {"$ne": "first"}})]
            assert sorted(jobs.values()) == sorted(orders) == list(range(24))
            assert set(jobs) == set(known)
            paid = [effect["job"] for effect in database.effects.find({"_id": {"$ne": "first"}})]
            assert sorted(paid) == sorted(jobs)
            stage.scheduler.close()


def ordered(scheduler: Scheduler, number: int) -> Any:
    def order(session: Any) -> Any:
        scheduler.database.orders.insert_one({"_id": number}, session=session)
        data = {"order": number}
        return scheduler.add_job("pays", data, session=session, retry=100, retry_interval=0.1).id

    with scheduler.database.client.start_session() as session:
        return session.with_transaction(order)


def all_paid(scheduler: Scheduler) -> bool:
    try:
        return all(job.status is Status.DONE for job in scheduler.get_jobs({"class": "pays"}))
    except DatabaseError:  # an election
        return False
