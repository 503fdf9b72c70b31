"""wait, result and wait_for: they end at the final outcome, whenever it came, from any thread, and in no other way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import (
    InvalidOptionError,
    JobCanceledError,
    JobError,
    JobFailedError,
    JobNotFoundError,
    JobTimeoutError,
    Scheduler,
    SchedulerError,
    Status,
    WaitTimeoutError,
)
from taskscheduler.store.change_feed import ChangeFeed

Documents = Database[dict[str, Any]]
NEVER = 3600.0  #: seconds until the next poll: whoever learns of something has not learnt it from that


def streams(database: Documents) -> int:
    """How many change streams on the jobs of this database wait for something."""
    namespace = f"{database.name}.taskscheduler.jobs"
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleCursors": True}},
        {"$match": {"ns": namespace, "cursor.originatingCommand.pipeline.$changeStream": {"$exists": True}}},
    ]
    return len(list(database.client.admin.aggregate(stages)))


def in_thread(function: Callable[[], Any]) -> Future[Any]:
    """The outcome of a call in a thread that does not keep the process alive."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def test_wait_gives_the_process_and_result_its_value(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("echo", "foobar")
    assert process.wait(timeout=10) is process
    assert process.status is Status.DONE
    assert process.progress == 100.0
    assert process.result_value["data"] == "foobar"
    assert scheduler.add_job("echo", 1).result(timeout=10)["data"] == 1
    assert scheduler.add_job("noop").result(timeout=10) is None


def test_a_job_that_ended_before_the_call_is_not_waited_for(
    scheduler: Scheduler, node: NodeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scheduler.add_job("echo", 1)
    first.wait(10)
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "watch", None)  # nothing is followed that has ended
        for wait in (scheduler.get_job(first.id).wait, first.wait, scheduler.get_job(first.id).result):
            wait(timeout=5)
    stale = scheduler.add_job("echo", 2)
    eventually(lambda: scheduler.get_job(stale.id).status is Status.DONE)
    assert stale.status is Status.WAITING
    assert stale.wait(timeout=0).status is Status.DONE


def test_a_job_that_ends_while_the_stream_is_being_opened_is_not_waited_for(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, watch = scheduler.add_job("noop"), Collection.watch

    def slow(collection: Collection[Any], *args: Any, **given: Any) -> Any:
        scheduler.cancel_job(process.id)
        return watch(collection, *args, **given)

    monkeypatch.setattr(Collection, "watch", slow)
    monkeypatch.setattr("taskscheduler.waiting.waiter.POLL", NEVER)
    assert scheduler.get_job(process.id).wait(20).status is Status.CANCELED


def test_a_stack_of_jobs_is_waited_for_whatever_their_outcomes(scheduler: Scheduler, node: NodeProcess) -> None:
    stack = [
        scheduler.add_job("echo", 1),
        scheduler.add_job("fail"),
        scheduler.add_job("wait", {}, timeout=0.3),
        scheduler.add_job("noop", at=timedelta(hours=1)),
        scheduler.add_job("echo", at=timedelta(milliseconds=300)),
    ]
    stack[3].cancel()
    assert scheduler.wait_for(stack, timeout=20) == stack
    assert [process.status.label for process in stack] == ["done", "failed", "timeout", "canceled", "done"]
    assert all(process.ended is not None for process in stack)


def test_a_generator_and_the_same_job_twice_can_be_waited_for(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("echo", 1)
    again = scheduler.get_job(process.id)
    waited = scheduler.wait_for((one for one in (process, again, process)), timeout=10)
    assert [one.status for one in waited] == [Status.DONE] * 3
    assert again.result_value["data"] == 1
    assert scheduler.wait_for([]) == []


def test_wait_goes_on_through_retries_to_the_final_outcome(scheduler: Scheduler, node: NodeProcess) -> None:
    flaky = scheduler.add_job("flaky", 3, retry=5, retry_interval=0.2)
    failing = scheduler.add_job("fail", "no", retry=2, retry_interval=0)
    expiring = scheduler.add_job("wait", {}, retry=1, retry_interval=0.1, timeout=0.2)
    threads = [in_thread(partial(one.wait, 15)) for one in (flaky, failing, expiring)]
    assert [thread.result(20).status.label for thread in threads] == ["done", "failed", "timeout"]
    assert (flaky.attempt, flaky.result_value) == (3, 3)
    assert failing.attempt == 3
    assert expiring.attempt == 2


def test_with_throw_the_outcome_of_the_job_is_raised(scheduler: Scheduler, node: NodeProcess) -> None:
    cases: list[tuple[str, Any, dict[str, Any], type[JobError], str]] = [
        ("fail", "the reason", {}, JobFailedError, "failed: ValueError: the reason"),
        ("wait", {}, {"timeout": 0.2}, JobTimeoutError, "ran longer than 0.2 s"),
        ("noop", None, {"at": timedelta(hours=1)}, JobCanceledError, "was cancelled"),
    ]
    for name, data, options, error, text in cases:
        process = scheduler.add_job(name, data, options)
        if error is JobCanceledError:
            process.cancel()
        for wait in (partial(process.wait, 10, throw=True), partial(process.result, 10)):
            with pytest.raises(error, match=text) as caught:
                wait()
            assert caught.value.process.id == process.id
        with pytest.raises(error):
            scheduler.wait_for([scheduler.add_job("noop"), process], throw=True, timeout=10)
        assert process.wait(10).status.is_final


def test_with_throw_the_first_failure_ends_the_wait_for_all(scheduler: Scheduler, node: NodeProcess) -> None:
    never = scheduler.add_job("noop", at=timedelta(hours=1))
    failing = scheduler.add_job("fail", at=timedelta(milliseconds=300))
    for stack in ([never, failing], [never, failing.refresh()], [failing.wait(20), never]):
        with pytest.raises(JobFailedError) as caught:
            scheduler.wait_for(stack, throw=True, timeout=20)
        assert caught.value.process is failing
    assert never.refresh().status is Status.POSTPONED


def counted_looks(monkeypatch: pytest.MonkeyPatch) -> list[ChangeFeed]:
    """Notes each look at a change stream, which takes half a second at most."""
    looks: list[ChangeFeed] = []
    look = ChangeFeed.next

    def noted(feed: ChangeFeed) -> Any:
        looks.append(feed)
        return look(feed)

    monkeypatch.setattr(ChangeFeed, "next", noted)
    return looks


def test_timeouts_raise_and_leave_the_jobs_alone(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = counted_looks(monkeypatch)
    process = scheduler.add_job("noop")
    waits: list[Callable[[], Any]] = [
        lambda: process.wait(timeout=0),
        lambda: process.wait(timeout=0.3),
        lambda: process.result(timeout=0.3),
        lambda: scheduler.wait_for([process], timeout=0.3),
    ]
    for wait in waits:
        looks.clear()
        with pytest.raises(WaitTimeoutError) as caught:
            wait()
        assert len(looks) <= 2
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, SchedulerError)
    assert process.refresh().status is Status.WAITING


def test_waiting_works_from_many_threads_at_once(scheduler: Scheduler, node: NodeProcess) -> None:
    processes = [scheduler.add_job("echo", number, at=timedelta(seconds=0.5)) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda process: process.result(timeout=20)["data"], processes))
    assert results == list(range(16))


def test_jobs_of_one_process_can_be_waited_for_in_another_scheduler(
    scheduler: Scheduler, uri: str, node: NodeProcess
) -> None:
    ids = [scheduler.add_job("echo", number).id for number in range(3)]
    with Scheduler(uri) as other:
        stack = list(other.get_jobs({"_id": {"$in": ids}}))
        other.wait_for(stack, timeout=10)
        assert sorted(process.result_value["data"] for process in stack) == [0, 1, 2]


def test_a_job_cancelled_while_waited_for_ends_the_wait(
    scheduler: Scheduler, database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = scheduler.add_job("noop")
    monkeypatch.setattr("taskscheduler.waiting.waiter.POLL", NEVER)
    waiting = in_thread(lambda: process.wait(30))
    eventually(lambda: streams(database) == 1)
    scheduler.cancel_job(process.id)
    assert waiting.result(20).status is Status.CANCELED


@pytest.mark.parametrize("how", ["flush", "drop"])
def test_a_job_deleted_while_waited_for_is_not_found(scheduler: Scheduler, database: Documents, how: str) -> None:
    process, other = scheduler.add_job("noop"), scheduler.add_job("noop")
    waiting = in_thread(lambda: scheduler.wait_for([process, other], timeout=20))
    eventually(lambda: streams(database) == 1)
    if how == "flush":
        scheduler.flush()
    else:
        database.drop_collection("taskscheduler.jobs")
    with pytest.raises(JobNotFoundError, match="was not found"):
        waiting.result(10)


def test_a_job_deleted_before_the_call_is_not_found(scheduler: Scheduler) -> None:
    process = scheduler.add_job("noop")
    scheduler.flush()
    with pytest.raises(JobNotFoundError, match=str(process.id)):
        process.wait(timeout=5)


@pytest.mark.parametrize("bad", [[None], [ObjectId()], ["x"], [object()], [{"_id": 1}]])
def test_anything_but_processes_is_refused(scheduler: Scheduler, bad: list[Any]) -> None:
    with pytest.raises(InvalidOptionError, match=r"wait_for\(\) requires a list of Process"):
        scheduler.wait_for([scheduler.add_job("noop"), *bad], timeout=0)


@pytest.mark.parametrize("bad", [None, 5])
def test_anything_but_a_list_is_refused(scheduler: Scheduler, bad: Any) -> None:
    with pytest.raises(InvalidOptionError, match=rf"wait_for\(\) requires a list of Process, not {bad}"):
        scheduler.wait_for(bad)
    process = scheduler.add_job("noop")
    with pytest.raises(InvalidOptionError, match=rf"requires a list of Process, not <Process {process.id}"):
        scheduler.wait_for(process)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["1", True, [1], float("nan")])
def test_a_timeout_is_a_number_of_seconds_or_a_timedelta(scheduler: Scheduler, bad: Any) -> None:
    process = scheduler.add_job("noop")
    calls: list[Callable[[], Any]] = [
        lambda: process.wait(timeout=bad),
        lambda: process.result(timeout=bad),
        lambda: scheduler.run_batch(["noop"], timeout=bad),
        lambda: scheduler.listen(lambda _: None, timeout=bad),
        lambda: scheduler.receive(process, timeout=bad),
    ]
    for call in calls:
        with pytest.raises(InvalidOptionError, match=r"timeout must be a number of seconds, a timedelta or None"):
            call()
    assert [one.id for one in scheduler.get_jobs()] == [process.id]  # a batch is not added in vain
    with pytest.raises(WaitTimeoutError, match=r"1 job has not ended within 0\.2 seconds"):
        process.wait(timeout=timedelta(seconds=0.2))
    assert process.cancel()
    for long in (float("inf"), 10**400, timedelta.max):
        assert process.wait(timeout=long).status is Status.CANCELED
        assert scheduler.run_batch([], timeout=long)


def test_dropped_queue_and_event_collections_do_not_matter(
    scheduler: Scheduler, database: Documents, node: NodeProcess, tmp_path: Path
) -> None:
    process = scheduler.add_job("wait", {"until": str(tmp_path / "end")})
    eventually(lambda: process.refresh().status is Status.PROCESSING)
    waiting = in_thread(lambda: process.result(30))
    eventually(lambda: streams(database) == 1)
    database.drop_collection("taskscheduler.queue")
    database.drop_collection("taskscheduler.events")
    (tmp_path / "end").touch()
    assert waiting.result(20) == "told"
    assert scheduler.add_job("echo", 1).result(30)["data"] == 1


def is_within(size: int, collection: Collection[dict[str, Any]], scheduler: Scheduler) -> bool:
    """Whether a capped collection has wrapped: of inserts at one time the server lets one cut it, or a later one."""
    scheduler.add_job("noop")
    stats = collection.database.command("collStats", collection.name)
    return bool(stats["capped"] and stats["size"] <= size)


def test_wrapped_queue_and_event_collections_do_not_matter(
    uri: str, database: Documents, start_node: Callable[..., NodeProcess]
) -> None:
    sizes = {"job_queue_size": 4096, "event_queue_size": 4096}
    with Scheduler(uri, options=sizes) as scheduler:
        scheduler.add_job("noop")
        start_node(scheduler_options=sizes)
        processes = [scheduler.add_job("echo", number) for number in range(300)]
        scheduler.wait_for(processes, timeout=30)
        assert [process.result_value["data"] for process in processes] == list(range(300))
        for name in ("queue", "events"):
            eventually(partial(is_within, 4096, database[f"taskscheduler.{name}"], scheduler))


def test_a_wait_ends_soon_after_the_job(
    scheduler: Scheduler, database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the stream, not by the poll."""
    monkeypatch.setattr("taskscheduler.waiting.waiter.POLL", NEVER)
    for _ in range(3):
        process = scheduler.add_job("noop")
        waiting = in_thread(partial(process.wait, 30))
        eventually(lambda: streams(database) == 1)
        process.cancel()
        waiting.result(20)
        eventually(lambda: streams(database) == 0)
