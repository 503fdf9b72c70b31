"""Trying jobs again, deleting them, taking back what lost nodes hold, counting: what a manager of jobs does by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import TOLD, NodeProcess, is_running

from taskscheduler import InvalidOptionError, InvalidStateError, JobNotFoundError, Process, Scheduler, Status
from taskscheduler.store.attempts.claiming import claim_update

Documents = Database[dict[str, Any]]
ENDED = sorted(status for status in Status if status.is_final)


def end(scheduler: Scheduler, process: Process, status: Status, **fields: Any) -> None:
    """Let a job end without a node, as a node would write it."""
    values = {"status": int(status), "attempt": 4, "retries": 3, "lost": 2, "node": "n", "worker": "w", **fields}
    change = {"$set": values, "$currentDate": {"started": True, "ended": True}, "$unset": {"once": ""}}
    scheduler.store.jobs.collection.update_one({"_id": process.id}, change)


def hold(scheduler: Scheduler, process: Process, boot: ObjectId) -> None:
    scheduler.store.jobs.collection.update_one({"_id": process.id}, claim_update("claim", boot, "node"))


# -- again ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ENDED)
def test_an_ended_job_waits_again_as_if_it_were_new(scheduler: Scheduler, status: Status) -> None:
    process = scheduler.add_job("Mail", {"to": 1}, retry=3, priority=5)
    new = process.refresh().to_dict()
    end(scheduler, process, status, error={"type": "E"}, result=7, message="said", progress=50.0)
    again = scheduler.retry_job(process.id)
    assert again.to_dict() == process.refresh().to_dict()
    stored = again.to_dict()
    attempts = stored.pop("attempts")
    assert stored.pop("at") > new.pop("at")
    assert stored.pop("alive") > new.pop("alive")
    assert stored == {**new, "attempt": 4, "node": None}
    assert len(attempts) == 1
    error = {"type": "E"} if status in (Status.FAILED, Status.TIMEOUT) else None  # else it is of an earlier attempt
    entry = {name: attempts[0][name] for name in ("attempt", "status", "error", "result")}
    assert entry == {"attempt": 4, "status": int(status), "error": error, "result": 7}


def test_a_job_that_was_cancelled_before_it_ran_has_no_attempt_to_remember(scheduler: Scheduler) -> None:
    process = scheduler.add_job("Mail")
    process.cancel()
    assert scheduler.retry_job(process.id).attempts == []


def test_only_the_last_result_is_kept(scheduler: Scheduler) -> None:
    process = scheduler.add_job("Mail")
    for number in range(25):
        end(scheduler, process, Status.DONE, attempt=number, result=number)
        scheduler.retry_job(process.id)
    attempts = process.refresh().attempts
    assert [attempt.get("result") for attempt in attempts] == [None] * 18 + [24]


@pytest.mark.parametrize("status", [Status.WAITING, Status.POSTPONED, Status.PROCESSING])
def test_a_live_job_is_not_tried_again(scheduler: Scheduler, status: Status) -> None:
    process = scheduler.add_job("Mail")
    scheduler.store.jobs.collection.update_one({"_id": process.id}, {"$set": {"status": int(status)}})
    with pytest.raises(InvalidStateError, match=f"is {status.label}; only a job that has ended"):
        scheduler.retry_job(process.id)


def test_what_is_not_there_is_neither_tried_again_nor_deleted(scheduler: Scheduler) -> None:
    for operation in (scheduler.retry_job, scheduler.delete_job):
        with pytest.raises(JobNotFoundError):
            operation(ObjectId())
        with pytest.raises(InvalidOptionError):
            operation("text")


def test_what_an_ended_job_owes_is_paid_before_it_is_tried_again(scheduler: Scheduler) -> None:
    parent = scheduler.add_job("Parent")
    child = scheduler.add_job("Child", parent=parent.id)
    end(scheduler, parent, Status.FAILED, pending=["family", "hook"])
    again = scheduler.retry_job(parent.id)
    assert child.refresh().status is Status.CANCELED
    assert "pending" not in again.to_dict()


def test_a_run_of_a_series_is_tried_for_itself(scheduler: Scheduler) -> None:
    run = scheduler.add_job("Clean", interval=3600)
    plan: dict[str, Any] = {"_id": ObjectId(), "at": run.created + timedelta(hours=1), "created": run.created}  # type: ignore[operator]
    end(scheduler, run, Status.FAILED, pending=["next"], next=plan)
    again = scheduler.retry_job(run.id)
    assert (again.series, again.options["interval"]) == (None, 0)
    following = scheduler.get_job(plan["_id"])
    assert (following.series, following.options["interval"]) == (run.id, 3600)
    again.cancel()
    assert following.refresh().status is Status.POSTPONED


def test_a_job_of_add_job_once_takes_its_key_again(scheduler: Scheduler, database: Documents) -> None:
    process = scheduler.add_job_once("Mail", {"to": 1})
    key = database["taskscheduler.jobs"].find_one({"_id": process.id}, {"once": 1})
    end(scheduler, process, Status.DONE)
    scheduler.retry_job(process.id)
    assert database["taskscheduler.jobs"].find_one({"_id": process.id}, {"once": 1}) == key
    assert scheduler.add_job_once("Mail", {"to": 1}).id == process.id


def test_a_job_of_add_job_once_is_refused_while_another_has_its_place(scheduler: Scheduler) -> None:
    process = scheduler.add_job_once("Mail", {"to": 1})
    end(scheduler, process, Status.FAILED)
    scheduler.add_job_once("Mail", {"to": 1})
    with pytest.raises(InvalidStateError, match="add_job_once has added another job in its place"):
        scheduler.retry_job(process.id)
    assert process.refresh().status is Status.FAILED


def test_a_node_runs_a_job_again_at_once_and_never_twice_at_a_time(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """As it is told: it never looks by itself."""
    start_node(**TOLD)
    failed = scheduler.add_job("fail", "boom")
    failed.wait(20)
    events: list[str] = []
    scheduler.on("waiting", lambda name, process: events.append(name))
    again = scheduler.retry_job(failed.id).wait(20)
    assert (again.status, again.attempt, len(again.attempts)) == (Status.FAILED, 2, 2)
    assert events[:1] == ["waiting"]
    log = tmp_path / "trace"
    slow = scheduler.add_job("wait", {"trace": str(log)})
    eventually(lambda: len(traces(log)) == 1)
    slow.cancel()
    scheduler.retry_job(slow.id)
    eventually(lambda: len(traces(log)) == 2)  # the node does not take it for the one that was cancelled
    assert [words[1] for words in traces(log)] == ["1", "2"]
    assert slow.refresh().attempts[1]["started"] - slow.attempts[0]["ended"] > timedelta(seconds=1)
    scheduler.delete_job(slow.id)
    eventually(lambda: not any(is_running(int(words[2])) for words in traces(log)), 20)


# -- away -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
def test_a_job_is_deleted_whatever_it_does(scheduler: Scheduler, database: Documents, status: Status) -> None:
    process, other = scheduler.add_job("Mail"), scheduler.add_job("Mail")
    if status is Status.PROCESSING:
        hold(scheduler, process, ObjectId())
    else:
        scheduler.store.jobs.collection.update_one({"_id": process.id}, {"$set": {"status": int(status)}})
    assert scheduler.delete_job(process.id) is True
    assert [job.id for job in scheduler.get_jobs({})] == [other.id]
    stops = database["taskscheduler.queue"]
    if status is Status.PROCESSING:
        eventually(lambda: stops.find_one({"stop": process.id}))


def test_deleting_a_queued_parent_cancels_its_children(scheduler: Scheduler) -> None:
    parent = scheduler.add_job("Parent")
    child = scheduler.add_job("Child", parent=parent.id)
    scheduler.delete_job(parent.id)
    assert child.refresh().status is Status.CANCELED


def test_deleting_an_ended_run_does_not_end_its_series(scheduler: Scheduler) -> None:
    run = scheduler.add_job("Clean", interval=3600)
    plan: dict[str, Any] = {"_id": ObjectId(), "at": run.created + timedelta(hours=1), "created": run.created}  # type: ignore[operator]
    end(scheduler, run, Status.DONE, pending=["next"], next=plan)
    scheduler.delete_job(run.id)
    assert scheduler.get_job(plan["_id"]).status is Status.POSTPONED


def test_one_queue_is_flushed(scheduler: Scheduler) -> None:
    kept = [scheduler.add_job("Mail"), scheduler.add_job("Other", queue="bulk")]
    scheduler.add_job("Mail", queue="bulk")
    assert scheduler.flush("Mail", queue="bulk") == 1
    assert [job.id for job in scheduler.get_jobs()] == [job.id for job in kept]
    assert scheduler.flush(queue="bulk") == 1


# -- lost nodes -------------------------------------------------------------------------------------------------------


def test_what_lost_nodes_hold_waits_again_at_once(scheduler: Scheduler, database: Documents) -> None:
    nodes, silent, gone, alive = scheduler.store.nodes, ObjectId(), ObjectId(), ObjectId()
    jobs = [scheduler.add_job("Mail", queue=queue) for queue in ("a", "a", "a", "b")]
    nodes.register(silent, {"name": "silent", "lease": 30.0})
    nodes.register(alive, {"name": "alive", "lease": 30.0})
    for process, boot in zip(jobs, (silent, gone, alive, silent), strict=True):
        hold(scheduler, process, boot)
    database["taskscheduler.nodes"].update_one({"_id": silent}, [{"$set": {"alive": {"$subtract": ["$$NOW", 31_000]}}}])
    assert scheduler.restore(queue="a") == 2
    assert [job.refresh().status.label for job in jobs] == ["waiting", "waiting", "processing", "processing"]
    assert not nodes.beat(silent, {})
    assert nodes.beat(alive, {})
    assert scheduler.restore() == 1
    assert scheduler.restore() == 0


def test_restore_sets_aside_what_was_lost_too_often(scheduler: Scheduler) -> None:
    process = scheduler.add_job("Mail")
    hold(scheduler, process, ObjectId())
    known = {"lost": 2, "worker": str(ObjectId())}
    scheduler.store.jobs.collection.update_one({"_id": process.id}, {"$set": known})
    assert scheduler.restore() == 0
    assert process.refresh().status is Status.FAILED


# -- counts -----------------------------------------------------------------------------------------------------------


def test_jobs_are_counted_by_name_and_status(scheduler: Scheduler) -> None:
    scheduler.add_jobs([("B", 1), ("A", 1, {"queue": "bulk"}), ("A", 2)])
    scheduler.add_job("A").cancel()
    counts = scheduler.counts()
    assert list(counts) == ["A", "B"]
    assert counts["A"] == {**dict.fromkeys(Status, 0), Status.WAITING: 2, Status.CANCELED: 1}
    assert {name: sum(found.values()) for name, found in scheduler.counts("queue").items()} == {"bulk": 1, "default": 3}
    with pytest.raises(InvalidOptionError, match='must be "job" or "queue"'):
        scheduler.counts("data")
    with pytest.raises(InvalidOptionError, match='option by must be "job" or "queue", not '):
        scheduler.counts(["job"])  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["Bulk", "", 5])
def test_what_cannot_be_a_queue_is_refused(scheduler: Scheduler, bad: Any) -> None:
    for call in (scheduler.flush, scheduler.restore):
        with pytest.raises(InvalidOptionError, match="option queue must be a name of lowercase letters"):
            call(queue=bad)


def test_a_family_may_be_deeper_than_calls_can_be_nested(scheduler: Scheduler) -> None:
    chain = [scheduler.add_job("noop")]
    for _ in range(350):
        chain.append(scheduler.add_job("noop", parent=chain[-1].id))
    chain[0].cancel()
    assert chain[-1].refresh().status is Status.CANCELED
    assert list(scheduler.get_jobs({"pending": "family"})) == []


def test_a_cancelled_job_is_not_tried_again_before_its_worker_has_had_the_time_to_end_that_its_node_gives(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    start_node(kill_grace=4)
    process = scheduler.add_job("stubborn", str(tmp_path / "log"))
    [[_, _, first]] = eventually(lambda: traces(tmp_path / "log"))
    process.cancel()
    scheduler.retry_job(process.id)
    assert not is_running(int(first))
    assert eventually(lambda: traces(tmp_path / "log")[1:])[0][1] == "2"
