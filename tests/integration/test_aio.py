"""The asyncio twin, futures and statistics: the loop never blocks, no thread is left, and cancelling tells who won."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database
from tests.integration.test_waiting import NEVER, streams
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import (
    AsyncProcess,
    AsyncScheduler,
    DatabaseUnavailableError,
    InvalidOptionError,
    JobCanceledError,
    JobFailedError,
    JobNotFoundError,
    Process,
    Scheduler,
    SchedulerError,
    ServiceNotFoundError,
    Status,
    WaitTimeoutError,
)
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.waiting.futures import JobFuture

LATER = timedelta(hours=1)
Documents = Database[dict[str, Any]]


@pytest.fixture(scope="module")
def served(server_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a database that one node serves for all tests of this module."""
    name = f"test_{ObjectId()}"
    uri = server_uri.format(name)
    # the shorter the lease, the sooner a node tells how many jobs it runs
    options = {"pm": "static", "min_children": 4, "scheduler_options": {"orphaned_timeout": 6}}
    node = NodeProcess(uri, tmp_path_factory.mktemp("node") / "aio.log", options)
    try:
        node.wait_until_ready()
        yield uri
    finally:
        node.destroy()
        with MongoClient[dict[str, Any]](uri) as client:
            client.drop_database(name)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever a test did, its threads end soon after its schedulers were closed."""
    yield
    gc.collect()
    eventually(lambda: not ours(), 20, "the end of all threads")


def ours() -> list[str]:
    prefixes = ("taskscheduler-aio", "taskscheduler-completions")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(prefixes)]


async def watched(scheduler: AsyncScheduler, process: AsyncProcess, times: int = 1) -> None:
    """Until so many wait for the end of a job."""
    while len(getattr(scheduler._core.completions._watched.get(process.id), "subscriptions", ())) < times:
        await asyncio.sleep(0.01)


def run(uri: str, body: Callable[[AsyncScheduler], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Run a coroutine with a scheduler of its own in a loop that notices what nobody handles."""
    unhandled: list[dict[str, Any]] = []

    async def main() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        async with asyncio.timeout(30), AsyncScheduler(uri, **options) as scheduler:
            return await body(scheduler)

    answer = asyncio.run(main())
    gc.collect()
    assert unhandled == []
    return answer


# -- the asyncio twin -------------------------------------------------------------------------------------------------


def test_a_process_can_be_awaited_and_its_result_too(served: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        process = await scheduler.add_job("echo", {"a": 1})
        assert isinstance(process, AsyncProcess)
        assert await process is process
        assert (process.status, process.outcome) == (Status.DONE, "created")
        assert (await process.result())["data"] == {"a": 1}
        assert (await (await scheduler.get_job(process.id))).result_value["data"] == {"a": 1}
        failing = await scheduler.add_job("fail", "why")
        assert (await failing).status is Status.FAILED
        with pytest.raises(JobFailedError, match="why") as caught:
            await failing.result()
        assert caught.value.process is failing

    run(served, body)


def test_hundreds_of_jobs_are_awaited_at_once_without_a_thread_each(served: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        processes = await scheduler.add_jobs([("echo", number) for number in range(200)])
        results = await asyncio.gather(*(process.result() for process in processes))
        assert [result["data"] for result in results] == list(range(200))
        assert len(ours()) <= 5
        again = await scheduler.wait_for(processes, throw=True, timeout=0)
        assert again == processes

    run(served, body)


def test_with_throw_the_first_failure_ends_the_wait_for_all(served: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        never = await scheduler.add_job("noop", at=LATER)
        failing = await scheduler.add_job("fail", at=timedelta(milliseconds=300))
        for stack in ([never, failing], [never, failing], [await failing, never]):
            with pytest.raises(JobFailedError) as caught:
                await scheduler.wait_for(stack, throw=True, timeout=20)
            assert caught.value.process is failing
        assert await never.cancel()

    run(served, body)


def test_waiting_leaves_room_for_other_calls_and_the_loop(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        waited = await scheduler.add_jobs([("noop", None, {"at": LATER})] * 50)
        tasks = [asyncio.ensure_future(process.wait()) for process in waited]
        async with asyncio.timeout(20):
            other = await scheduler.add_job("noop")
            assert await other.cancel() is True
        assert not any(task.done() for task in tasks)
        for process in waited:
            await process.cancel()
        assert {process.status for process in await asyncio.gather(*tasks)} == {Status.CANCELED}

    run(uri, body)


def test_the_end_of_a_job_is_told_by_the_stream_and_not_by_the_poll(
    uri: str, database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        for _ in range(3):
            process = await scheduler.add_job("noop", at=LATER)
            task = asyncio.ensure_future((await scheduler.get_job(process.id)).wait())
            while not await asyncio.to_thread(streams, database):
                await asyncio.sleep(0.01)
            await process.cancel()
            assert (await task).status is Status.CANCELED

    monkeypatch.setattr("taskscheduler.waiting.completion_watcher.POLL", NEVER)
    run(uri, body)


def test_a_task_that_is_cancelled_while_it_waits_leaves_the_job_alone(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        process = await scheduler.add_job("noop", at=LATER)
        tasks = [asyncio.ensure_future(process.wait()) for _ in range(20)]
        await watched(scheduler, process, 20)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
        assert (await process.refresh()).status is Status.POSTPONED
        assert scheduler._core.completions._watched == {}

    run(uri, body)


def test_what_keeps_a_wait_from_ending_well_is_raised(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        process = await scheduler.add_job("noop", at=LATER)
        for timeout in (0, 0.2):
            with pytest.raises(WaitTimeoutError, match=rf"1 job has not ended within {timeout} seconds"):
                await process.wait(timeout)
        await process.cancel()
        with pytest.raises(JobCanceledError):
            await process.result()
        assert (await process.wait(timeout=0)).status is Status.CANCELED
        gone = await scheduler.add_job("noop", at=LATER)
        task = asyncio.ensure_future(gone.wait())
        await watched(scheduler, gone)
        await scheduler.flush()
        for wait in (task, gone.wait(), gone.refresh()):
            with pytest.raises(JobNotFoundError):
                await wait
        with pytest.raises(InvalidOptionError, match="requires a list of AsyncProcess"):
            await scheduler.wait_for([gone, gone.id])  # type: ignore[list-item]
        kept = await scheduler.add_job("noop", at=LATER)
        open_end = asyncio.ensure_future(kept.wait())
        await watched(scheduler, kept)
        await scheduler.close()
        with pytest.raises(SchedulerError, match="closed before the job ended"):
            await open_end

    run(uri, body)


def test_every_method_of_the_scheduler_has_its_twin(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        assert scheduler.set_options(default_retry=2) is scheduler
        one = await scheduler.add_job_once("noop", 1, at=LATER)
        same = await scheduler.add_job_once("noop", 1)
        assert (one.outcome, same.outcome, same) == ("created", "existing", one)
        assert one.options["retry"] == 2
        many = await scheduler.add_jobs([("noop", number) for number in range(250)])
        assert {process async for process in scheduler.get_jobs()} == {one, *many}
        assert [process.id async for process in scheduler.get_jobs({"_id": one.id})] == [one.id]
        assert await scheduler.cancel_job(one.id) is True
        assert (await scheduler.stats())["jobs"]["waiting"] == 250
        assert sum((await scheduler.counts())["noop"].values()) == 251
        assert await scheduler.restore() == 0
        assert (await scheduler.retry_job(one.id)).status.is_final is False
        assert await scheduler.delete_job(one.id) is True
        await scheduler.add_job("noop", queue="bulk")
        assert await scheduler.flush(queue="bulk") == 1
        assert await scheduler.flush("noop") == 250
        with pytest.raises(JobNotFoundError):
            await scheduler.get_job(one.id)
        with pytest.raises(InvalidOptionError):
            await scheduler.add_job("noop", foobar=1)

    run(uri, body)


def test_services_have_their_twins(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        started = await scheduler.start_service("parrot", name="polly", restart="never")
        assert isinstance(started, AsyncProcess)
        assert [process.id for process in await scheduler.services()] == [started.id]
        assert (await scheduler.service("polly")).id == started.id
        assert (await scheduler.stop_service("polly")).status is Status.CANCELED
        assert (await scheduler.restart_service("polly")).status is Status.WAITING
        await scheduler.send(started, 1)
        assert await scheduler.receive("polly", timeout=0.2, default="nothing") == "nothing"
        waiting = asyncio.ensure_future(scheduler.receive(started, timeout=20))
        with Scheduler(uri) as other:
            other.service_messages.send_from(started.id, {"said": 1})
        assert await waiting == {"said": 1}
        with pytest.raises(ServiceNotFoundError):
            await scheduler.service("nobody")

    run(uri, body)


def test_one_listens_with_async_for_from_the_entry_of_the_block_on(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        async with scheduler.listen({"class": "noop"}, timeout=10) as changes:
            process = await scheduler.add_job("noop", at=LATER)
            await scheduler.add_job("echo")
            await process.cancel()
            heard = [await anext(changes), await anext(changes)]
        assert [(one.id, one.status.label) for one in heard] == [(process.id, "postponed"), (process.id, "canceled")]
        assert all(isinstance(one, AsyncProcess) for one in heard)
        assert [one async for one in changes] == []
        await scheduler.add_job("noop", 7)
        async for one in scheduler.listen({"class": "noop"}, timeout=10, after=changes.token):
            assert one.data == 7
            break
        assert [one async for one in scheduler.listen(timeout=0.3)] == []
        with pytest.raises(InvalidOptionError, match=r"\$where"):
            await anext(scheduler.listen({"$where": "1"}))

    run(uri, body)


def test_a_listener_that_can_go_on_no_longer_says_why(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> Any:
        raise DatabaseUnavailableError("lost")

    async def body(scheduler: AsyncScheduler) -> None:
        monkeypatch.setattr("taskscheduler.waiting.listener.Listener.batches", lost)
        async with scheduler.listen() as changes:
            for _ in range(2):
                with pytest.raises(DatabaseUnavailableError, match="lost"):
                    await anext(changes)

    run(uri, body)


def test_a_listener_whose_task_is_cancelled_or_abandoned_ends_its_thread(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        async def follow(enough: int) -> None:
            heard = 0
            async for _ in scheduler.listen():
                heard += 1
                if heard == enough:
                    return

        def listening() -> int:
            return sum(name.endswith("listen") for name in ours())

        tasks = [asyncio.ensure_future(follow(1000)) for _ in range(3)]
        while listening() < 3:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with scheduler.listen() as changes:
            await scheduler.add_job("noop", at=LATER)
            await anext(changes)
            async for _ in scheduler.listen(after=changes.token, timeout=0.1):
                pass
        kept = scheduler.listen()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(kept), 0.2)
        assert [process async for process in kept] == []
        while_listening = asyncio.ensure_future(follow(1))
        while not listening():
            await asyncio.sleep(0.01)
        await scheduler.flush()
        while not while_listening.done():
            await scheduler.add_job("noop", at=LATER)
        deadline = SYSTEM_CLOCK.monotonic() + 20
        while listening():
            assert SYSTEM_CLOCK.monotonic() < deadline, "the scheduler is still open, its listeners must have ended"
            await asyncio.sleep(0.01)

    run(uri, body)


def test_handlers_are_called_in_the_loop_and_may_be_coroutines(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        heard: list[tuple[str, ObjectId, bool]] = []
        in_loop = threading.get_ident()

        def plain(event: str, process: AsyncProcess) -> None:
            heard.append((event, process.id, threading.get_ident() == in_loop))

        async def slow(event: str, process: AsyncProcess) -> None:
            await asyncio.sleep(0)
            plain("slow " + event, await scheduler.get_job(process.id))

        async def raising(event: str, process: AsyncProcess) -> None:
            raise ValueError("handler")

        assert scheduler.on("postponed", plain).on("postponed", slow).on("*", raising) is scheduler
        process = await scheduler.add_job("noop", at=LATER)
        while len(heard) < 2:
            await asyncio.sleep(0.01)
        assert heard == [("postponed", process.id, True), ("slow postponed", process.id, True)]
        for wrong in (("postponed", None), ("nonsense", plain)):
            with pytest.raises(InvalidOptionError):
                scheduler.on(*wrong)

    with caplog.at_level(logging.ERROR, "taskscheduler"):
        run(uri, body)
    assert "event handler failed" in caplog.text


def parameters(method: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    return [(one.name, one.kind, one.default) for one in signature(method).parameters.values()]


@pytest.mark.parametrize(("one", "twin"), [(Scheduler, AsyncScheduler), (Process, AsyncProcess)])
def test_twins_take_the_same_arguments(one: type, twin: type) -> None:
    threads_only = {"listen", "listen_in_background", "future"}  # `async for` and `await` stand for them
    inside = {"store", "core", "connection", "completions", "service_messages", "disconnect"}  # for the daemon
    public = {name for name in dir(one) if not name.startswith("_")} - threads_only - inside
    assert public <= set(dir(twin))
    for name in public:
        here, there = getattr(one, name), getattr(twin, name)
        assert not callable(here) or parameters(here) == parameters(there), name


def test_what_cannot_be_waited_for_is_refused(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        process = await scheduler.add_job("noop", at=LATER)
        with pytest.raises(
            InvalidOptionError, match=r"wait_for\(\) requires a list of AsyncProcess, not <AsyncProcess"
        ):
            await scheduler.wait_for(process)  # type: ignore[arg-type]
        with pytest.raises(WaitTimeoutError, match=r"0\.2 seconds"):
            await process.wait(timeout=timedelta(seconds=0.2))
        calls: list[Callable[[], Any]] = [
            lambda: process.wait(timeout="1"),  # type: ignore[arg-type]
            lambda: scheduler.run_batch([], timeout="1"),  # type: ignore[arg-type]
            lambda: scheduler.receive("none", timeout="1"),  # type: ignore[arg-type]
            lambda: anext(scheduler.listen(timeout="1")),  # type: ignore[arg-type]
        ]
        for bad in calls:
            with pytest.raises(InvalidOptionError, match="timeout must be a number of seconds"):
                await bad()
        for start in (scheduler.add_jobs, scheduler.run_batch):
            with pytest.raises(InvalidOptionError, match="a batch must be a list of jobs, not 'noop'"):
                await start("noop")
        with pytest.raises(InvalidOptionError, match="a query must be a mapping"):
            await anext(scheduler.get_jobs("failed"))  # type: ignore[arg-type]
        with pytest.raises(InvalidOptionError, match=r"after must be the token that an earlier listen\(\) gave"):
            await anext(scheduler.listen(after="x"))  # type: ignore[arg-type]

    run(uri, body)


def test_it_belongs_to_one_event_loop(uri: str) -> None:
    async def body(scheduler: AsyncScheduler) -> None:
        def elsewhere() -> None:
            asyncio.run(scheduler.flush())

        with pytest.raises(SchedulerError, match="belongs to one event loop"):
            await asyncio.to_thread(elsewhere)

    run(uri, body)


# -- futures ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def serving(served: str) -> Iterator[Scheduler]:
    with Scheduler(served) as scheduler:
        yield scheduler


def test_futures_resolve_as_those_of_an_executor(serving: Scheduler) -> None:
    futures = {serving.add_job("echo", number).future(): number for number in range(20)}
    for future in concurrent.futures.as_completed(futures, timeout=20):
        assert future.result()["data"] == futures[future]
    failing = serving.add_job("fail", "why").future()
    with pytest.raises(JobFailedError, match="why"):
        failing.result(20)
    called: list[Any] = []
    future = serving.add_job("echo", "late").wait(20).future()
    future.add_done_callback(called.append)
    assert called == [future]
    assert isinstance(future, JobFuture)
    assert future.process.status is Status.DONE


def test_a_retried_job_resolves_its_future_at_its_final_outcome(serving: Scheduler) -> None:
    assert serving.add_job("flaky", 3, retry=5, retry_interval=0.05).future().result(20) == 3


def test_cancelling_a_future_wins_before_the_start_and_leaves_a_job_that_runs_alone(
    serving: Scheduler, tmp_path: Path
) -> None:
    queued = serving.add_job("noop", at=LATER)
    future = queued.future()
    assert future.cancel() is True
    assert (future.cancelled(), future.cancel()) == (True, True)
    assert concurrent.futures.wait([future], 5).done == {future}
    assert serving.get_job(queued.id).status is Status.CANCELED
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(0)
    running = serving.add_job("wait", {"until": str(tmp_path / "end")})
    future = running.future()
    eventually(future.running)
    assert future.cancel() is False
    assert not future.done()
    (tmp_path / "end").touch()
    assert future.result(20) == "told"
    assert (future.cancel(), future.cancelled(), future.running()) == (False, False, False)


def test_a_job_that_anybody_cancels_cancels_its_futures(serving: Scheduler, tmp_path: Path) -> None:
    process = serving.add_job("wait", {"until": str(tmp_path / "never")})
    futures = [process.future(), process.future()]
    eventually(lambda: process.refresh().status is Status.PROCESSING)
    assert process.cancel(only_queued=True) is False
    assert process.status is Status.PROCESSING
    assert process.cancel() is True
    assert concurrent.futures.wait(futures, 10).not_done == set()
    assert all(future.cancelled() for future in futures)
    assert process.cancel(only_queued=True) is False


def test_no_future_is_left_hanging_when_its_job_or_the_scheduler_goes(uri: str, database: Documents) -> None:
    scheduler = Scheduler(uri)
    gone, left = (scheduler.add_job("noop", at=LATER).future() for _ in range(2))
    database["taskscheduler.jobs"].delete_one({"_id": gone.process.id})  # type: ignore[attr-defined]
    assert isinstance(gone.exception(10), JobNotFoundError)
    scheduler.close()
    assert isinstance(left.exception(0), SchedulerError)
    process = scheduler.add_job("noop", at=LATER)  # it may be used again
    future = process.future()
    process.cancel()
    assert concurrent.futures.wait([future], 10).done
    scheduler.close()


def test_a_callback_that_exits_keeps_no_other_future_from_its_end(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(*_: object) -> None:
        raise SystemExit(3)

    first, second = (scheduler.add_job("noop", at=LATER) for _ in range(2))
    scheduler.on("cancel", leave)
    first.future().add_done_callback(leave)
    with Scheduler(scheduler.store.database) as other:
        for process in (first, second):
            future = process.future()
            other.cancel_job(process.id)
            assert concurrent.futures.wait([future], 10).not_done == set()
    assert {record.message for record in caplog.records} == {"callback failed", "event handler failed"}


def test_futures_end_when_the_database_is_lost(uri: str, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    future = scheduler.add_job("noop", at=LATER).future()

    def lost(ids: Any) -> Any:
        raise DatabaseUnavailableError("lost")

    monkeypatch.setattr(scheduler.store.jobs, "statuses", lost)
    assert isinstance(future.exception(10), DatabaseUnavailableError)


def test_an_idle_thread_lets_go_of_its_stream_and_takes_it_up_again(
    scheduler: Scheduler, database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskscheduler.waiting.completion_watcher._IDLE", 0.1)
    for _ in range(2):
        process = scheduler.add_job("noop", at=LATER)
        future = process.future()
        eventually(lambda: streams(database) == 1)
        process.cancel()
        assert concurrent.futures.wait([future], 10).done
        eventually(lambda: streams(database) == 0)


def test_handlers_hear_what_is_waited_for_by_a_future_once(scheduler: Scheduler) -> None:
    heard: list[str] = []

    def handler(event: str, process: Process) -> None:
        heard.append(event)

    with Scheduler(scheduler.store.database) as other:
        process = scheduler.on("*", handler).add_job("noop")
        future = process.future()
        added = {"documentKey": {"_id": process.id}, "operationType": "insert", "fullDocument": process.to_dict()}
        added["_id"] = {"_data": "a place in the stream"}
        scheduler.completions._take(scheduler.store, added)  # a stream that lags behind tells of the insert only now
        other.cancel_job(process.id)
        concurrent.futures.wait([future], 10)
    assert heard == ["waiting", "cancel"]


# -- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_count_jobs_queues_and_slots(serving: Scheduler, tmp_path: Path) -> None:
    serving.flush()
    busy = serving.add_jobs([("wait", {"until": str(tmp_path / "end")})] * 3)
    later = serving.add_job("noop", at=LATER)
    eventually(lambda: serving.stats()["slots"]["running"] == 3, 20)
    stats = serving.stats()
    assert {name: count for name, count in stats["jobs"].items() if count} == {"processing": 3, "postponed": 1}
    assert stats["slots"] == {"running": 3, "free": 1, "total": 4}
    assert [(node["name"], node["state"], node["free"]) for node in stats["nodes"]] == [("aio", "up", 1)]
    assert 3500 < stats["next_due"] <= 3600
    (tmp_path / "end").touch()
    serving.wait_for(busy, timeout=20)
    eventually(lambda: serving.stats()["nodes"][0]["ended"].get("succeeded", 0) >= 3, 20)  # with its next heartbeat
    assert serving.stats()["nodes"][0]["workers"] >= 3
    later.cancel()


def test_statistics_without_a_node_tell_what_waits(scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", None, {"queue": "other"})] * 6 + [("noop", None, {"at": LATER}), "noop"])
    stats = scheduler.stats()
    assert {name: queue["waiting"] for name, queue in stats["queues"].items()} == {"default": 1, "other": 6}
    assert (stats["nodes"], stats["slots"]) == ([], {"running": 0, "free": 0, "total": 0})
    assert (stats["jobs"]["waiting"], stats["jobs"]["postponed"]) == (7, 1)
