"""A database that version 0.1.0 has written, with a node killed at work, is read and served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.nodes import NodeProcess
from tests.support.older_database import load

from taskscheduler import Scheduler, Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.schema import ensure, retention_index

FOR_EVER = 2**31 - 1


@pytest.fixture
def uri(bare_uri: str) -> str:
    """The URI of a database that does not exist yet."""
    return bare_uri


@pytest.fixture
def ids(database: Database[dict[str, Any]]) -> dict[str, Any]:
    """The ids of the jobs in the older database by what they were left as."""
    return load(database)


def older_index(database: Database[dict[str, Any]]) -> int | None:
    """The seconds after which the index of the older version deletes any ended job; None if it is gone."""
    found = database["taskscheduler.jobs"].index_information().get("retention")
    return None if found is None else int(found["expireAfterSeconds"])


def kept(database: Database[dict[str, Any]], status: Status) -> int:
    indexes = database["taskscheduler.jobs"].index_information()
    return int(indexes[retention_index(status)]["expireAfterSeconds"])


def make_older_index(database: Database[dict[str, Any]], seconds: int) -> None:
    """As a node of version 0.1.0 does if it is missing."""
    ended = {"status": {"$gt": 2}}
    jobs = database["taskscheduler.jobs"]
    jobs.create_index("ended", name="retention", partialFilterExpression=ended, expireAfterSeconds=seconds)


def test_dead_letters_are_kept_while_older_nodes_run_and_their_index_goes_with_them(
    ids: dict[str, Any], uri: str, database: Database[dict[str, Any]]
) -> None:
    assert older_index(database) == 604_800
    for _ in range(2):
        with Scheduler(uri) as scheduler:
            assert scheduler.get_job(ids["failed"]).status is Status.FAILED
        assert older_index(database) == FOR_EVER
        assert (kept(database, Status.DONE), kept(database, Status.FAILED)) == (604_800, 2_592_000)
    database["taskscheduler.nodes"].delete_many({})
    with Scheduler(uri) as scheduler:
        scheduler.store.nodes.register(ObjectId(), {"name": "new"})
    assert older_index(database) is None
    make_older_index(database, 604_800)  # an older application connects once more
    ensure(database, SchedulerOptions())
    assert older_index(database) is None


@pytest.mark.parametrize(
    ("older", "given", "done", "failed"),
    [
        (3600, {}, 3600, 2_592_000),
        (FOR_EVER, {}, FOR_EVER, FOR_EVER),
        (10_000_000, {}, 10_000_000, 10_000_000),
        (10_000_000, {"failed_retention": 60}, 10_000_000, 60),
        (3600, {"job_retention": 60}, 60, 2_592_000),
    ],
)
def test_what_the_older_version_would_have_kept_is_kept(
    uri: str, database: Database[dict[str, Any]], older: int, given: dict[str, int], done: int, failed: int
) -> None:
    make_older_index(database, older)
    with Scheduler(uri, options=given) as scheduler:
        assert scheduler.store
    assert (kept(database, Status.DONE), kept(database, Status.CANCELED)) == (done, done)
    assert (kept(database, Status.FAILED), kept(database, Status.TIMEOUT)) == (failed, failed)
    assert older_index(database) is None


def test_what_waited_runs_and_what_ran_runs_again(
    ids: dict[str, Any], scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    for name in ("to be retried", "later"):
        scheduler.store.jobs.collection.update_one({"_id": ids[name]}, {"$currentDate": {"at": True}})
    start_node(orphaned_timeout=6)
    names = ("to be retried", "other queue", "once", "dedupe", "forced", "parent", "child", "later")
    alone = [scheduler.get_job(ids[name]) for name in names]
    many = [scheduler.get_job(one) for name in ("running", "waiting", "solo") for one in ids[name]]
    scheduler.wait_for([*alone, *many], timeout=60)
    assert {process.status for process in (*alone, *many)} == {Status.DONE}
    for one in ids["running"]:
        process = scheduler.get_job(one)
        assert (process.attempt, process.attempts[0]["error"]["type"]) == (2, "NodeLostError")
    assert scheduler.get_job(ids["to be retried"]).result_value == 2


def test_what_has_ended_is_read_and_can_run_once_more(
    ids: dict[str, Any], scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    done, failed = scheduler.get_job(ids["done"]), scheduler.get_job(ids["failed"])
    assert (done.status, done.result_value["data"], done.tags) == (Status.DONE, {"n": 1}, ["mail"])
    assert (failed.status, (failed.error or {})["type"]) == (Status.FAILED, "ValueError")
    assert scheduler.get_job(ids["canceled"]).status is Status.CANCELED
    series = list(scheduler.get_jobs({"series": ids["series"], "status": {"$lte": int(Status.CANCELED)}}))
    assert sorted(process.status for process in series) == [Status.POSTPONED, Status.DONE]
    start_node()
    assert scheduler.retry_job(done.id).wait(20).attempt == 2
    assert scheduler.retry_job(failed.id).wait(20).attempts[0]["error"]["message"] == "no"


def test_its_keys_still_count(ids: dict[str, Any], scheduler: Scheduler) -> None:
    once = scheduler.add_job_once("echo", {"x": 1})
    assert (once.id, once.outcome) == (ids["once"], "existing")
    same = scheduler.add_job("echo", {"d": 1}, dedupe=True)
    assert (same.id, same.outcome) == (ids["dedupe"], "existing")
    assert scheduler.stats()["jobs"]["processing"] == 2
    assert isinstance(scheduler.get_job(ids["parent"]).id, ObjectId)
