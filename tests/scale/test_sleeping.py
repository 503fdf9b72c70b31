"""A thousand jobs that sleep or wait for a signal beside one worker: others run as if they were not there.

It is about figures, so the test wants the machine for itself: `.venv/bin/pytest -m scale tests/scale/test_sleeping.py`
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskscheduler import Process, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

StartNode = Callable[..., NodeProcess]

pytestmark = [pytest.mark.scale, pytest.mark.timeout(600)]

ASLEEP, OTHERS, ROUNDS = 1000, 3000, 3

ONE_WORKER = {"jobs": ["tests.support.resumable", "tests.support.jobs"], "pm": "static", "min_children": 1}


def drained(scheduler: Scheduler) -> float:
    """The seconds in which one worker runs many jobs that do nothing."""
    jobs = scheduler.store.jobs.collection
    began = SYSTEM_CLOCK.monotonic()
    scheduler.add_jobs([("noop", None)] * OTHERS)
    eventually(lambda: jobs.count_documents({"class": "noop", "status": {"$lte": 2}}, limit=1) == 0, 120)
    return SYSTEM_CLOCK.monotonic() - began


def best(scheduler: Scheduler) -> float:
    return min(drained(scheduler) for _ in range(ROUNDS))


def statuses(processes: list[Process]) -> set[Status]:
    return {process.refresh().status for process in processes}


def test_1000_sleeping_jobs_slow_nobody(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(**ONE_WORKER)
    alone = best(scheduler)
    data = {"trace": "/dev/null", "waits": True}
    asleep = scheduler.add_jobs([("order", {**data, "sleep": 3600})] * (ASLEEP // 2))
    waiting = scheduler.add_jobs([("order", data)] * (ASLEEP // 2))
    jobs = scheduler.store.jobs.collection
    eventually(lambda: jobs.count_documents({"awaits": {"$exists": True}, "status": 1}) == ASLEEP, 300)
    among = best(scheduler)
    print(f"{OTHERS} jobs: {alone:.2f} s alone, {among:.2f} s beside {ASLEEP} that sleep")  # noqa: T201  (a figure)
    assert among <= alone * 1.15
    assert statuses(asleep) == statuses(waiting) == {Status.POSTPONED}
    began = SYSTEM_CLOCK.monotonic()
    assert scheduler.signal(waiting[0].id, "approved", 1).won
    assert waiting[0].result(30)["approval"] == 1
    assert SYSTEM_CLOCK.monotonic() - began < 5
