"""Jobs that take 5 ms to call something else, once for a hundred of them, beside as many that call it one by one.

It is about figures, so it wants the machine for itself: `.venv/bin/pytest -m scale -s tests/scale/test_batches.py`
"""

from __future__ import annotations

import statistics
import threading
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler import Scheduler, Status
from tests.support.batching import Calls, CallsTogether
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

pytestmark = [pytest.mark.scale, pytest.mark.timeout(600)]

JOBS, ROUNDS = 4_000, 3

NODE: dict[str, Any] = {"pm": "static", "min_children": 2, "jobs": ["tests.support.jobs", "tests.support.batching"]}


def rate(server_uri: str, directory: Path, job: Any) -> float:
    """Jobs that a node with two workers runs in a second: from the first start until all ends are written."""
    with Scheduler(server_uri.format(f"scale_{ObjectId()}")) as scheduler:
        scheduler.add_jobs([job] * JOBS)
        node = NodeProcess(server_uri.format(scheduler.store.database.name), directory / f"node-{ObjectId()}.log", NODE)
        jobs, done = scheduler.store.jobs.collection, {"status": int(Status.DONE)}

        def all_done() -> bool:
            threading.Event().wait(0.1)  # counting takes the database some time
            return jobs.count_documents(done) == JOBS

        try:
            eventually(all_done, 300, "all jobs are done")
            first = jobs.find_one(done, {"claimed": 1}, sort=[("claimed", 1)])
            last = jobs.find_one(done, {"ended": 1}, sort=[("ended", -1)])
        finally:
            node.stop()
            node.destroy()
            scheduler.store.drop()
    assert first is not None
    assert last is not None
    return JOBS / float((last["ended"] - first["claimed"]).total_seconds())


def test_what_is_called_once_for_many_is_faster_in_batches(server_uri: str, tmp_path: Path) -> None:
    rate(server_uri, tmp_path, CallsTogether)  # the first run warms the server up
    pairs = [(rate(server_uri, tmp_path, Calls), rate(server_uri, tmp_path, CallsTogether)) for _ in range(ROUNDS)]
    for single, batched in pairs:
        print(f"one by one {single:,.0f}/s, in batches {batched:,.0f}/s, {batched / single:.2f} times")  # noqa: T201
    assert statistics.median(batched / single for single, batched in pairs) > 3
