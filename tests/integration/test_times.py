"""The times of an attempt are those of its worker, by the clock of the server, which here is that of the host."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import Job, Process, Scheduler, Status

StartNode = Callable[..., NodeProcess]

HERE: dict[str, Any] = {"jobs": ["tests.support.jobs", "tests.integration.test_times"]}

EXACT = 0.06  #: seconds


def work(seconds: float) -> dict[str, float]:
    """Begins and ends at these times."""
    begun = time.time()
    time.sleep(seconds)
    return {"begun": begun, "ended": time.time()}


class Works(Job):
    """Works for so many seconds, then gives, fails with or dies after its times."""

    name = "times.works"

    def start(self) -> Any:
        found = work(self.data["seconds"])
        if self.data.get("ends") == "fails":
            raise ValueError(f"{found['begun']} {found['ended']}")
        if self.data.get("ends") == "dies":
            os._exit(1)
        return found


class AsyncWorks(Job):
    """The same beside others."""

    name = "times.async_works"

    async def start(self) -> Any:
        begun = time.time()
        await asyncio.sleep(self.data["seconds"])
        return {"begun": begun, "ended": time.time()}


class Reports(Job):
    """Says when it began, then waits for the file."""

    name = "times.reports"

    def start(self) -> None:
        self.update_progress(message=str(time.time()))
        while not os.path.exists(self.data):
            time.sleep(0.01)


def near(date: datetime | None, unix: float, within: float = EXACT) -> bool:
    return date is not None and abs(date.timestamp() - unix) < within


def check(process: Process, said: dict[str, float]) -> None:
    """The stored times are those that the job has measured, in the right order."""
    assert near(process.started, said["begun"]), (process.started, said)
    assert near(process.ended, said["ended"]), (process.ended, said)
    assert process.created <= process.claimed <= process.started <= process.ended  # type: ignore[operator]


def test_thousands_of_quick_jobs_take_as_long_as_they_take(scheduler: Scheduler, node: NodeProcess) -> None:
    jobs = scheduler.add_jobs([("noop", number) for number in range(2000)])
    scheduler.wait_for(jobs, timeout=60)
    took, waited = [job.run_time or 0.0 for job in jobs], [job.wait_time or 0.0 for job in jobs]
    assert median(took) <= 0.005
    assert median(waited) > 10 * median(took), "they waited for each other"
    assert all(job.claimed <= job.started <= job.ended for job in jobs)  # type: ignore[operator]
    assert len({job.started for job in jobs}) >= 5


@pytest.mark.parametrize("job", [Works, AsyncWorks])
@pytest.mark.parametrize("data", [{}, {"retry": 1}, {"interval": 3600, "interval_reference": "start"}])
def test_the_times_are_those_of_the_worker(
    scheduler: Scheduler, start_node: StartNode, job: type[Job], data: dict[str, Any]
) -> None:
    start_node(**HERE, pm="static", min_children=1, async_jobs=5)
    scheduler.wait_for(scheduler.add_jobs([("noop", number) for number in range(300)]), timeout=30)
    jobs = scheduler.add_jobs([(job, {"seconds": 0.15}, data) for _ in range(5)])
    scheduler.wait_for(jobs, timeout=30)
    for one in jobs:
        check(one, one.result_value)
    if job is Works:
        ordered = sorted(jobs, key=lambda one: one.result_value["begun"])
        for before, after in pairwise(ordered):
            assert before.ended <= after.started, "one worker runs one job at a time"  # type: ignore[operator]


def test_so_are_those_of_an_attempt_that_fails_and_is_retried(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(**HERE, pm="static", min_children=1)
    options = {"retry": 1, "retry_interval": 0}
    jobs = scheduler.add_jobs([(Works, {"seconds": 0.2, "ends": "fails"}, options) for _ in range(2)])
    scheduler.wait_for(jobs, timeout=30)
    for one in jobs:
        assert [entry["status"] for entry in one.attempts] == [Status.FAILED, Status.FAILED]
        for entry in one.attempts:
            begun, ended = map(float, entry["error"]["message"].split())
            assert near(entry["started"], begun)
            assert near(entry["ended"], ended)
            assert entry["claimed"] <= entry["started"]


@pytest.mark.parametrize(("ends", "options"), [("dies", {}), ("is killed", {"timeout": 0.3})])
def test_the_manager_knows_the_times_of_a_worker_that_died(
    scheduler: Scheduler, start_node: StartNode, ends: str, options: dict[str, Any]
) -> None:
    start_node(**HERE, pm="static", min_children=1, max_lost=1)
    data = {"seconds": 0.3 if ends == "dies" else 60, "ends": ends}
    before = time.time()
    process = scheduler.add_job(Works, data, **options).wait(30)
    assert process.status in (Status.FAILED, Status.TIMEOUT)
    assert 0.2 <= (process.run_time or 0.0) <= time.time() - before


def test_a_running_job_says_when_it_began_from_its_first_sign_of_life_on(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Any
) -> None:
    """Its worker is started for it, so that it begins some time after the claim."""
    start_node(**HERE, pm="ondemand")
    process = scheduler.add_job(Reports, str(tmp_path / "end"))
    eventually(lambda: process.refresh().message is not None, 20)
    assert process.status is Status.PROCESSING
    assert near(process.started, float(process.message or 0))
    assert process.claimed < process.started  # type: ignore[operator]
    (tmp_path / "end").touch()
    process.wait(20)
