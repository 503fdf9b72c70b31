"""The times of an attempt are those of its worker, by the clock of the server, which here is that of the host."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.tables import crossed

from taskscheduler import Job, Process, Scheduler, Status

StartNode = Callable[..., NodeProcess]

HERE: dict[str, Any] = {"jobs": ["tests.support.jobs", "tests.integration.test_times"]}

EXACT = 0.06  #: seconds

CLOCKS = timedelta(seconds=EXACT)  #: the server notes a claim; a node reckons the time of the server for what follows


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


def in_order(job: Process) -> bool:
    assert job.created is not None
    assert job.claimed is not None
    assert job.started is not None
    assert job.ended is not None
    return job.created <= job.claimed <= job.started + CLOCKS and job.started <= job.ended


@pytest.fixture
def start_here(scheduler: Scheduler, start_node: StartNode) -> StartNode:
    """Starts a node with the jobs of this module, and waits until it has asked the server for the time again.

    The answer to its first question may have come late on a busy machine.
    """

    def start(**options: Any) -> NodeProcess:
        node = start_node(**HERE, orphaned_timeout=4, **options)
        eventually(lambda: all(one["beat"] >= 2 for one in scheduler.store.nodes.all()))
        return node

    return start


def check(times: Sequence[tuple[datetime | None, datetime | None, float, float]]) -> None:
    """The stored times of attempts are those that their job has measured.

    A worker that a busy machine keeps from running between two looks at the clock begins a job later than it says, and
    ends it earlier: of most it does not.
    """
    before, after = list[float](), list[float]()
    for started, ended, begun, over in times:
        assert started is not None
        assert ended is not None
        before.append(begun - started.timestamp())
        after.append(ended.timestamp() - over)
    assert min(before + after) > -EXACT, (before, after)
    assert median(before) < EXACT, before
    assert median(after) < EXACT, after


def test_thousands_of_quick_jobs_take_as_long_as_they_take(scheduler: Scheduler, start_here: StartNode) -> None:
    start_here()
    jobs = scheduler.add_jobs([("noop", number) for number in range(2000)])
    scheduler.wait_for(jobs, timeout=60)
    took, waited = [job.run_time or 0.0 for job in jobs], [job.wait_time or 0.0 for job in jobs]
    assert median(took) <= 0.005
    assert median(waited) > 10 * median(took), "they waited for each other"
    assert all(in_order(job) for job in jobs)
    assert len({job.started for job in jobs}) >= 5


@pytest.mark.parametrize(
    ("job", "data"),
    crossed([Works, AsyncWorks], [{}, {"retry": 1}, {"interval": 3600, "interval_reference": "start"}]),
)
def test_the_times_are_those_of_the_worker(
    scheduler: Scheduler, start_here: StartNode, job: type[Job], data: dict[str, Any]
) -> None:
    start_here(pm="static", min_children=1, async_jobs=5)
    scheduler.wait_for(scheduler.add_jobs([("noop", number) for number in range(300)]), timeout=30)
    jobs = scheduler.add_jobs([(job, {"seconds": 0.15}, data) for _ in range(5)])
    scheduler.wait_for(jobs, timeout=30)
    check([(one.started, one.ended, one.result_value["begun"], one.result_value["ended"]) for one in jobs])
    assert all(in_order(one) for one in jobs)
    if job is Works:
        ordered = sorted(jobs, key=lambda one: one.result_value["begun"])
        for before, after in pairwise(ordered):
            assert before.ended <= after.started + CLOCKS, "one worker runs one job at a time"  # type: ignore[operator]


def test_so_are_those_of_an_attempt_that_fails_and_is_retried(scheduler: Scheduler, start_here: StartNode) -> None:
    start_here(pm="static", min_children=1)
    options = {"retry": 1, "retry_interval": 0}
    jobs = scheduler.add_jobs([(Works, {"seconds": 0.2, "ends": "fails"}, options) for _ in range(3)])
    scheduler.wait_for(jobs, timeout=30)
    entries = [entry for one in jobs for entry in one.attempts]
    assert [entry["status"] for entry in entries] == [Status.FAILED] * 6
    check([(one["started"], one["ended"], *map(float, one["error"]["message"].split())) for one in entries])
    assert all(entry["claimed"] <= entry["started"] + CLOCKS for entry in entries)


@pytest.mark.parametrize(("ends", "options"), [("dies", {}), ("is killed", {"timeout": 0.3})])
def test_the_manager_knows_the_times_of_a_worker_that_died(
    scheduler: Scheduler, start_here: StartNode, ends: str, options: dict[str, Any]
) -> None:
    start_here(pm="static", min_children=1, max_lost=1)
    data = {"seconds": 0.3 if ends == "dies" else 60, "ends": ends}
    before = time.time()
    process = scheduler.add_job(Works, data, **options).wait(30)
    assert process.status in (Status.FAILED, Status.TIMEOUT)
    assert 0.2 <= (process.run_time or 0.0) <= time.time() - before


def test_a_running_job_says_when_it_began_from_its_first_sign_of_life_on(
    scheduler: Scheduler, start_here: StartNode, tmp_path: Any
) -> None:
    """Its worker is started for it, so that it begins some time after the claim."""
    start_here(pm="ondemand", max_children=3)
    jobs = [scheduler.add_job(Reports, str(tmp_path / "end")) for _ in range(3)]
    eventually(lambda: all(one.refresh().message is not None for one in jobs))
    assert [one.status for one in jobs] == [Status.PROCESSING] * 3
    differences = [float(one.message or 0) - one.started.timestamp() for one in jobs if one.started]
    assert -EXACT < median(differences) < EXACT, differences
    assert median((one.started - one.claimed).total_seconds() for one in jobs if one.started and one.claimed) > 0
    (tmp_path / "end").touch()
    scheduler.wait_for(jobs, timeout=30)
