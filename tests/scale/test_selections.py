"""A hundred thousand failed jobs of one mistake, among those of two others, are put back in the queue at once."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler import Scheduler, Status
from tests.support.jobs import Noop

pytestmark = pytest.mark.scale

MANY, OTHERS = 100_000, 20_000
SPREAD = 60.0  #: seconds
MOST = 60.0  #: seconds that it may take
WHERE = 'status:failed class:noop error:"connection unexpectedly closed"'


def fill(scheduler: Scheduler) -> None:
    """Stores failed jobs as a node leaves them: many of one mistake, and some of two others."""
    model = scheduler.add_job(Noop, {"n": 0}).to_dict()
    jobs = scheduler.store.jobs.collection
    jobs.delete_many({})
    ended = {"status": int(Status.FAILED), "started": model["created"], "ended": model["created"], "attempt": 1}
    ended |= {"claim": "c", "boot": ObjectId(), "node": "n", "worker": "w", "claimed": model["created"]}
    messages = ["connection unexpectedly closed"] * MANY + ["no space left"] * OTHERS + ["refused"] * OTHERS
    for start in range(0, len(messages), 10_000):
        batch: list[dict[str, Any]] = []
        for number, message in enumerate(messages[start : start + 10_000]):
            error = {"type": "OSError", "message": message, "traceback": "x" * 500}
            batch.append({**model, **ended, "_id": ObjectId(), "data": {"n": start + number}, "error": error})
        jobs.insert_many(batch, ordered=False)


def test_all_jobs_of_one_mistake_are_retried_evenly(scheduler: Scheduler) -> None:
    fill(scheduler)
    selection = scheduler.select(WHERE)
    assert selection.count() == MANY
    start = time.monotonic()
    first = selection.retry(limit=MANY // 4)  # as if it was interrupted
    begun = scheduler.store.clock.now()
    rest = selection.retry(spread=SPREAD)
    took = time.monotonic() - start
    print(f"{MANY} jobs were put back in {took:.1f} s")  # noqa: T201
    assert (first.count, dict(first.reasons)) == (MANY // 4, {})
    assert (rest.count, dict(rest.reasons)) == (MANY - MANY // 4, {})
    assert took < MOST
    assert selection.count() == 0
    assert scheduler.select("status:failed").count() == 2 * OTHERS
    later = scheduler.store.jobs.collection.find({"at": {"$gt": begun + timedelta(seconds=SPREAD / 2)}}, {"at": 1})
    per_second = Counter(int((job["at"] - begun).total_seconds()) for job in later)
    fair = rest.count / SPREAD
    inside = [count for second, count in per_second.items() if SPREAD / 2 < second < SPREAD - 2]
    assert len(inside) > 20
    assert all(0.9 * fair < count < 1.1 * fair for count in inside), per_second
