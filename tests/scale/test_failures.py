"""Counting dead letters by mistake skips from one mistake to the next, however many jobs have failed by each.

A few thousand are part of every run; 100,000 within 200 ms: `.venv/bin/pytest -m scale tests/scale/test_failures.py`
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from taskscheduler import Scheduler
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.counts.shares import share
from taskscheduler.store.fence import Fence
from taskscheduler.store.job_lists import CAP
from tests.scale.explaining import Explainer

MISTAKES = ("0123456789ab", "456789abcdef", "89abcdef0123")
BATCH = 10_000
LONGEST = 0.2  #: seconds


def fail(scheduler: Scheduler, fingerprint: str) -> dict[str, Any]:
    """A job that has failed for good, as it is stored."""
    job_id, store = scheduler.add_job("scale-failing", {"to": "somebody"}).id, scheduler.store
    store.claims.claim([job_id], "claim", ObjectId(), "node")
    error = {"type": "OSError", "message": "no", "traceback": "t" * 800, "place": "mail.py:42 in Mail.start"}
    end = Completion(Fence(job_id, "claim", 1), Verdict(Transition.FAIL), error=error, fingerprint=fingerprint)
    assert store.completions.write([end]) == 1
    return scheduler.get_job(job_id).to_dict()


def multiply(scheduler: Scheduler, templates: list[dict[str, Any]], count: int) -> None:
    """Stores so many copies, each with an id, a message and an end of its own."""
    jobs = scheduler.store.jobs.collection
    for start in range(0, count, BATCH):
        numbers = range(start, min(count, start + BATCH))
        jobs.insert_many([_copy(templates[number % len(templates)], number) for number in numbers])


def _copy(template: dict[str, Any], number: int) -> dict[str, Any]:
    ended = template["ended"] - timedelta(milliseconds=number)
    return {**template, "_id": ObjectId(), "ended": ended, "error": {**template["error"], "message": f"no {number}"}}


@pytest.fixture
def failed(uri: str, request: pytest.FixtureRequest) -> Iterator[tuple[Scheduler, Explainer]]:
    """A scheduler on a database of so many dead letters, and who explains its commands."""
    with Scheduler(uri) as scheduler:
        multiply(scheduler, [fail(scheduler, one) for one in MISTAKES], request.param - len(MISTAKES))
        explainer = Explainer(uri, scheduler.store.options.job_store)
    with MongoClient[dict[str, Any]](uri, event_listeners=[explainer]) as client:
        scheduler = Scheduler(client.get_default_database())
        assert scheduler.store
        explainer.plans.clear()  # to connect reads, too
        yield scheduler, explainer
    explainer.close()


def check(scheduler: Scheduler, explainer: Explainer, many: int) -> None:
    rows = scheduler.failures()
    assert {row.fingerprint for row in rows} == set(MISTAKES)
    assert [row.is_complete for row in rows] == [many <= CAP] * len(MISTAKES)
    assert sum(row.count for row in rows) == min(many, len(MISTAKES) * (share(len(MISTAKES)) + 1))
    assert not explainer.errors
    last, first, *counts = explainer.plans
    for plan in (last, first):
        assert "DISTINCT_SCAN" in plan.stages, plan
        assert max(plan.keys, plan.documents) <= 2 * len(MISTAKES), plan
    assert counts
    for plan in counts:
        assert not plan.scans, plan
        assert plan.documents == 0, plan
        assert plan.keys <= CAP + 2, plan
    explainer.plans.clear()
    assert scheduler.failures(since=0) == []
    assert all("DISTINCT_SCAN" in plan.stages for plan in explainer.plans), explainer.plans


@pytest.mark.parametrize("failed", [3_000], indirect=True)
def test_no_read_looks_at_all_failed_jobs(failed: tuple[Scheduler, Explainer]) -> None:
    check(*failed, many=3_000)


@pytest.mark.scale
@pytest.mark.timeout(600)
@pytest.mark.parametrize("failed", [100_000], indirect=True)
def test_100_000_failures_of_three_mistakes_take_less_than_200_ms(
    failed: tuple[Scheduler, Explainer], uri: str
) -> None:
    check(*failed, many=100_000)
    with Scheduler(uri) as scheduler:
        took = []
        for _ in range(9):
            begun = time.perf_counter()
            assert len(scheduler.failures()) == len(MISTAKES)
            took.append(time.perf_counter() - begun)
    assert sorted(took)[4] < LONGEST, took
