"""Steps, sleeps and signals on real nodes: workers are killed, signals compete, and nothing holds a slot."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess

from taskscheduler import AsyncScheduler, Scheduler, Signal, Status

StartNode = Callable[..., NodeProcess]

JOBS = ["tests.support.resumable", "tests.support.jobs"]

KINDS = ["order", "async_order"]


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    return start_node(jobs=JOBS, max_lost=10)


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(tmp_path / "trace")


def runs(log: str) -> Counter[str]:
    """How often each step ran."""
    return Counter(words[1] for words in traces(log))


def waits(scheduler: Scheduler, job_id: Any) -> bool:
    return "awaits" in scheduler.get_job(job_id).to_dict() and scheduler.get_job(job_id).status is Status.POSTPONED


ONCE = {"reserve": 1, "charge": 1, "ship": 1}


def test_a_worker_is_killed_after_each_step(scheduler: Scheduler, node: NodeProcess, log: str) -> None:
    steps = ["reserve", "charge", "ship"]
    process = scheduler.add_job("killed_after", {"trace": log, "killed_after": steps})
    process.wait(60)
    assert process.status is Status.DONE, process.error
    assert process.attempt == 4
    assert runs(log) == ONCE
    assert [step["attempt"] for step in process.steps] == [1, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_is_killed_while_a_step_runs(scheduler: Scheduler, node: NodeProcess, log: str, kind: str) -> None:
    """That step has not been acknowledged, so it runs again; those before it do not."""
    process = scheduler.add_job(kind, {"trace": log, "stops_in": "charge"})
    eventually(lambda: runs(log)["charge"], 20, "it charges")
    eventually(lambda: len(scheduler.get_job(process.id).steps) == 1, 20, "reserved")
    os.kill(int(traces(log)[-1][3]), signal.SIGKILL)
    assert process.wait(60).status is Status.DONE
    assert runs(log) == {"reserve": 1, "charge": 2, "ship": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_waits_is_begun_again_by_its_signal(
    scheduler: Scheduler, node: NodeProcess, log: str, kind: str
) -> None:
    process = scheduler.add_job(kind, {"trace": log, "waits": True})
    eventually(lambda: waits(scheduler, process.id), 20, "it waits")
    assert scheduler.add_job("echo", 1).result(20)["data"] == 1
    assert scheduler.signal(process.id, "approved", {"by": "Ada"}).won
    assert process.result(20)["approval"] == {"by": "Ada"}
    assert runs(log) == ONCE


@pytest.mark.parametrize("kind", KINDS)
def test_a_sleep_and_a_wait_that_times_out(scheduler: Scheduler, node: NodeProcess, log: str, kind: str) -> None:
    process = scheduler.add_job(kind, {"trace": log, "sleep": 2.0, "waits": True, "timeout": 2.0})
    assert process.result(20)["approval"] == "timed out"
    assert process.attempt == 3
    assert runs(log) == ONCE
    assert scheduler.signal(process.id, "approved").timed_out


def test_of_two_signals_at_once_one_wins_and_both_learn_which(
    scheduler: Scheduler, node: NodeProcess, log: str
) -> None:
    processes = [scheduler.add_job("order", {"trace": log, "waits": True}) for _ in range(10)]
    barrier = Barrier(2)

    def tell(number: int) -> list[Signal]:
        with Scheduler(scheduler.store.database) as own:
            told = []
            for process in processes:
                barrier.wait(20)
                told.append(own.signal(process.id, "approved", number))
            return told

    with ThreadPoolExecutor(2) as threads:
        ours, theirs = threads.map(tell, (1, 2))
    for process, one, other in zip(processes, ours, theirs, strict=True):
        assert [one.won, other.won].count(True) == 1
        assert one.value == other.value == (1 if one.won else 2)
        assert process.result(30)["approval"] == one.value


def test_a_timeout_and_a_signal_at_the_same_time(scheduler: Scheduler, node: NodeProcess, log: str) -> None:
    """Whoever comes first holds: a caller who has won is heard, one who has lost is told that it was too late."""
    outcomes = []
    for number in range(12):
        process = scheduler.add_job("order", {"trace": log, "waits": True, "timeout": 0.3})
        eventually(partial(waits, scheduler, process.id), 20, "it waits")
        left = (process.refresh().to_dict()["awaits"]["until"] - scheduler.store.clock.now()).total_seconds()
        scheduler.store.clock.pause(left + number * 0.002)
        told = scheduler.signal(process.id, "approved", number)
        assert process.result(20)["approval"] == (number if told.won else "timed out")
        assert told.timed_out is not told.won
        outcomes.append(told.won)
    assert True in outcomes


def test_an_asynchronous_program_gives_a_signal(uri: str, node: NodeProcess, log: str) -> None:
    async def tell() -> None:
        async with AsyncScheduler(uri) as own:
            process = await own.add_job("async_order", {"trace": log, "waits": True})
            assert (await own.signal(process.id, "approved", 5)).won
            assert (await process.result(20))["approval"] == 5
            assert not (await own.signal(process.id, "approved", 6)).won
            assert (await own.retry_job(process.id, from_step="ship")).status is Status.WAITING

    asyncio.run(tell())


def test_jobs_that_sleep_hold_no_slot(scheduler: Scheduler, start_node: StartNode, log: str) -> None:
    start_node(jobs=JOBS, pm="static", min_children=1)
    sleeping = scheduler.add_jobs([("order", {"trace": log, "sleep": 3600})] * 50)
    assert scheduler.add_job("echo", 1).result(30)["data"] == 1
    scheduler.wait_for([scheduler.add_job("echo", number) for number in range(20)], timeout=30)
    assert {process.refresh().status for process in sleeping} == {Status.POSTPONED}
