"""Async jobs: many at once in one worker, each of them cancelled, timed out and told of for itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from tests.support import asyncjobs
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess

from taskscheduler import Process, Scheduler, Status
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.node.dispatch.quarantine import MOST_WORKERS

StartNode = Callable[..., NodeProcess]
JOBS = ["tests.support.jobs", "tests.support.asyncjobs"]


@pytest.fixture
def waits(scheduler: Scheduler, tmp_path: Path) -> Callable[..., list[Process]]:
    """Add so many jobs that wait for the file `go`."""

    def add(count: int, name: str = "async_wait", **options: Any) -> list[Process]:
        data = {"trace": str(tmp_path / "trace"), "until": str(tmp_path / "go")}
        return scheduler.add_jobs([(name, data, options)] * count)

    return add


def started(path: Path, attempt: int = 1) -> list[list[str]]:
    """id, attempt and pid of each job that has begun."""
    found = [words[1:] for words in traces(path / "trace") if words[0] == "start"]
    return [words for words in found if words[1] == str(attempt)]


@pytest.fixture(autouse=True)
def known() -> None:
    """The classes are known here, so that the jobs are added as async ones."""
    assert asyncjobs.Meet.name == "meet"


def test_many_async_jobs_run_at_once_in_one_worker_and_others_beside_it(
    start_node: StartNode, scheduler: Scheduler
) -> None:
    start_node(jobs=JOBS, async_jobs=200)
    processes = scheduler.add_jobs([("meet", 200)] * 199)
    assert scheduler.add_job("echo", 5).result(30)["data"] == 5  # while the others wait for the last one
    echoes = scheduler.add_jobs([("echo", number) for number in range(50)])
    scheduler.wait_for(echoes, timeout=30)
    processes.append(scheduler.add_job("meet", 200))
    scheduler.wait_for(processes, timeout=30)
    workers = {process.result_value for process in processes}
    assert len(workers) == 1
    assert not workers & {process.result_value["pid"] for process in echoes}


def test_async_functions(start_node: StartNode, scheduler: Scheduler) -> None:
    start_node(jobs=JOBS)
    processes = scheduler.add_jobs([("async_double", {"number": number}) for number in range(300)])
    scheduler.wait_for(processes, timeout=30)
    assert [p.result_value for p in processes] == [{"double": 2 * n, "attempt": 1} for n in range(300)]


def test_a_node_learns_which_classes_are_async(
    start_node: StartNode, scheduler: Scheduler, database: Database[Any], tmp_path: Path
) -> None:
    """From the first one, which runs alone, if they were added where the class is not known."""
    start_node(jobs=JOBS)

    def add_unknown(count: int, until: Path) -> list[Process]:
        data = {"trace": str(tmp_path / "trace"), "until": str(until)}
        added = scheduler.add_jobs([("async_wait", data, {"at": timedelta(days=1)})] * count)
        chosen = {"_id": {"$in": [process.id for process in added]}}
        change = {"$unset": {"async": 1}, "$set": {"status": 0, "at": datetime.now(UTC)}}
        database["taskscheduler.jobs"].update_many(chosen, change)
        return added

    (first,) = add_unknown(1, tmp_path)
    first.wait(20)
    processes = add_unknown(10, tmp_path / "go")
    eventually(lambda: len(started(tmp_path)) == 11, 20)
    (tmp_path / "go").touch()
    scheduler.wait_for(processes, timeout=20)


def test_sync_and_async_jobs_share_one_worker(start_node: StartNode, scheduler: Scheduler) -> None:
    node = start_node(jobs=JOBS, max_children=1)
    mixed: list[Any] = []
    for number in range(100):
        mixed += [("async_double", {"number": number}), ("echo", number)]
    processes = scheduler.add_jobs(mixed)
    scheduler.wait_for(processes, timeout=40)
    assert {process.status for process in processes} == {Status.DONE}
    assert len(node.workers) == 1


def test_one_of_many_is_cancelled_and_one_times_out(
    start_node: StartNode, waits: Callable[..., list[Process]], tmp_path: Path
) -> None:
    start_node(jobs=JOBS)
    processes = waits(20)
    (late,) = waits(1, timeout=2)
    eventually(lambda: len(started(tmp_path)) == 21, 20)
    processes[7].cancel()
    assert late.wait(20).status is Status.TIMEOUT
    assert late.error is not None
    assert late.error["message"] == "ran longer than 2 s"
    down = eventually(
        lambda: (
            len(found := [words[1:] for words in traces(tmp_path / "trace") if words[0] == "tear_down"]) == 2 and found
        ),
        20,
    )
    assert sorted(down) == sorted([[str(processes[7].id), "1", "canceled"], [str(late.id), "1", "timeout"]])
    (tmp_path / "go").touch()
    for process in processes:
        process.wait(20)
    assert [process.status for process in processes] == [
        Status.CANCELED if number == 7 else Status.DONE for number in range(20)
    ]
    assert len({process.result_value for process in processes if process.result_value}) == 1  # the worker lived on


def test_a_job_that_blocks_the_loop_does_not_take_the_others_with_it(
    start_node: StartNode, waits: Callable[..., list[Process]], scheduler: Scheduler, tmp_path: Path
) -> None:
    """Its worker is killed: it has timed out, the others run again and are not charged."""
    start_node(jobs=JOBS)
    data = {"trace": str(tmp_path / "trace"), "until": str(tmp_path / "go")}
    others = scheduler.add_jobs([("async_wait", {**data, "until": str(tmp_path / "later")})] * 5)
    blocker = scheduler.add_job("blocks", data, timeout=1.5, retry=1, retry_interval=0)
    eventually(lambda: len(started(tmp_path)) == 6, 20)
    (tmp_path / "go").touch()
    assert blocker.result(30) == 2
    assert [attempt["status"] for attempt in blocker.attempts] == [Status.TIMEOUT, Status.DONE]
    eventually(lambda: len(started(tmp_path, attempt=2)) == 6, 20)
    (tmp_path / "later").touch()
    for process in others:
        process.wait(20)
        assert (process.status, process.attempt) == (Status.DONE, 2)
        assert (process.to_dict()["retries"], process.to_dict()["lost"]) == (0, 0)


def test_all_run_again_when_their_worker_is_killed(
    start_node: StartNode, waits: Callable[..., list[Process]], tmp_path: Path
) -> None:
    start_node(jobs=JOBS)
    processes = waits(30)
    eventually(lambda: len(started(tmp_path)) == 30, 20)
    os.kill(int(started(tmp_path)[0][2]), signal.SIGKILL)
    eventually(lambda: len(started(tmp_path, attempt=2)) == MOST_WORKERS, 30, "each in a worker of its own")
    (tmp_path / "go").touch()
    for process in processes:
        process.wait(20)
        assert (process.status, process.to_dict()["lost"]) == (Status.DONE, 0), "nobody knows which one is the cause"
    assert len(started(tmp_path, attempt=2)) == 30


def test_a_node_that_stops_hands_them_back(
    start_node: StartNode, waits: Callable[..., list[Process]], tmp_path: Path
) -> None:
    node = start_node(jobs=JOBS, stop_timeout=0.2)
    processes = waits(10)
    eventually(lambda: len(started(tmp_path)) == 10, 20)
    assert node.stop() == 0
    assert {process.refresh().status for process in processes} == {Status.WAITING}
    down = [words for words in traces(tmp_path / "trace") if words[0] == "tear_down"]
    assert {words[3] for words in down} == {"waiting"}
    assert len(down) == 10
    (tmp_path / "go").touch()
    start_node(jobs=JOBS)
    for process in processes:
        assert process.wait(20).to_dict()["lost"] == 0


def test_every_other_end_of_an_async_job(start_node: StartNode, scheduler: Scheduler, tmp_path: Path) -> None:
    """None of them harms the job beside it, which waits all the time."""
    node = start_node(jobs=JOBS)
    data = {"trace": str(tmp_path / "trace"), "until": str(tmp_path / "go")}
    beside = scheduler.add_job("async_wait", data)
    for how, kind in {
        "went wrong": "ValueError",
        "exit": "SystemExit",
        "exit in a task": "SystemExit",
        "cancelled": "asyncio.exceptions.CancelledError",
        "large": "PayloadTooLargeError",
        "nested": "RuntimeError",
    }.items():
        process = scheduler.add_job("async_raises", how).wait(20)
        assert (process.status, (process.error or {})["type"]) == (Status.FAILED, kind), how
    assert scheduler.add_job("async_raises", "cancels itself").result(20) is True
    assert scheduler.add_job("async_forks").result(20) in node.workers  # the end in the fork is none
    (tmp_path / "go").touch()
    assert (beside.wait(20).status, beside.attempt) == (Status.DONE, 1)


def test_one_that_meddles_with_the_event_loop_harms_nobody(
    start_node: StartNode, scheduler: Scheduler, waits: Callable[..., list[Process]], tmp_path: Path
) -> None:
    node = start_node(jobs=JOBS)
    alone = [scheduler.add_job("async_meddles", how).result(20) for how in ("cancel", "stop", "cancel")]
    (beside,) = waits(1)
    assert {*alone, scheduler.add_job("async_meddles", "stop").result(20)} <= set(node.workers)  # none has died
    (tmp_path / "go").touch()
    assert (beside.wait(20).status, beside.attempt) == (Status.DONE, 1)


def test_the_last_progress_arrives_and_the_scheduler_of_the_loop_works(
    start_node: StartNode, scheduler: Scheduler, tmp_path: Path
) -> None:
    start_node(jobs=JOBS)
    process = scheduler.add_job("async_progress", str(tmp_path / "go"))
    eventually(lambda: (process.refresh().progress, process.message) == (99.5, "there"), 20)
    (tmp_path / "go").touch()
    process.wait(20)
    hooked = scheduler.add_job("async_hooked", str(tmp_path / "trace"))
    assert hooked.result(20)
    eventually(lambda: traces(tmp_path / "trace") == [[str(hooked.id), "done"]], 20)


def test_async_jobs_run_in_this_very_process_too(scheduler: Scheduler, tmp_path: Path) -> None:
    with InlineNode(scheduler) as node:
        doubled = scheduler.add_job("async_double", {"number": 4})
        failed = scheduler.add_job("async_raises", "exit")
        hooked = scheduler.add_job("async_hooked", str(tmp_path / "trace"))
        stopped = scheduler.add_job("async_meddles", "stop")
        node.run_due()
        assert stopped.result(0) == os.getpid()
        assert doubled.result(0) == {"double": 8, "attempt": 1}
        assert failed.refresh().status is Status.FAILED
    assert traces(tmp_path / "trace") == [[str(hooked.id), "done"]]


def test_one_that_gives_no_sign_of_life_is_ended(
    start_node: StartNode, scheduler: Scheduler, waits: Callable[..., list[Process]], tmp_path: Path
) -> None:
    start_node(jobs=JOBS)
    (beside,) = waits(1)
    (quiet,) = waits(1, silence_timeout=1)
    assert quiet.wait(20).status is Status.TIMEOUT
    assert (quiet.error or {})["message"] == "gave no sign of life for 1 s"
    (tmp_path / "go").touch()
    assert (beside.wait(20).status, beside.attempt) == (Status.DONE, 1)


@pytest.mark.parametrize("last", ["async_lingers", "async_exhausts"])
def test_jobs_that_an_event_loop_has_read_ahead_outlive_its_worker(
    start_node: StartNode, scheduler: Scheduler, last: str
) -> None:
    """They are handed over when the last async job has ended, which the loop has not noticed yet."""
    start_node(jobs=JOBS, max_children=1)
    scheduler.wait_for(scheduler.add_jobs([("noop", None)] * 300), timeout=30)  # short jobs are handed over ahead
    first, dies, *rest = scheduler.add_jobs([(last, None), ("os_exit", 3), *[("noop", None)] * 30])
    scheduler.wait_for([first, dies, *rest], timeout=25)  # less than the lease, after which they would be missed
    assert {(process.status, process.attempt) for process in rest} == {(Status.DONE, 1)}
    assert {process.refresh().to_dict()["lost"] for process in rest} == {0}
    assert dies.attempt == 3


def test_a_job_that_is_cancelled_behind_one_that_blocks_the_loop_never_begins(
    start_node: StartNode, scheduler: Scheduler, waits: Callable[..., list[Process]], tmp_path: Path
) -> None:
    start_node(jobs=JOBS, max_children=1, kill_grace=0.2)
    (blocks,) = waits(1, "blocks")
    eventually(lambda: started(tmp_path))
    (tmp_path / "go").touch()
    eventually(lambda: [words for words in traces(tmp_path / "trace") if words[0] == "blocks"])
    (tmp_path / "go").unlink()
    (canceled,) = waits(1)
    eventually(lambda: canceled.refresh().worker, 20, "the word that a worker has it")
    canceled.cancel()
    eventually(lambda: started(tmp_path, 2), 20)
    (tmp_path / "go").touch()
    assert blocks.result(20) == 2
    assert {words[0] for words in started(tmp_path)} == {str(blocks.id)}
