"""Ten jobs of one group beside a hundred thousand of another; ten thousand groups; what turns cost.

It is about figures, so the test wants the machine for itself: `.venv/bin/pytest -m scale tests/scale/test_groups.py`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskscheduler import Scheduler
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.control.keys import group_lists
from tests.integration.test_groups import HERE, Turn, turns
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess

StartNode = Callable[..., NodeProcess]

pytestmark = [pytest.mark.scale, pytest.mark.timeout(600)]

BATCH = 2000


def add(scheduler: Scheduler, jobs: list[Any]) -> None:
    for start in range(0, len(jobs), BATCH):
        scheduler.add_jobs(jobs[start : start + BATCH])


@pytest.mark.parametrize(("nodes", "seconds"), [(1, 0), (1, 0.005), (2, 0.02), (4, 0.02)])
def test_ten_jobs_start_among_the_next_forty(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, nodes: int, seconds: float
) -> None:
    path = tmp_path / "turns"
    data = {"trace": str(path), "seconds": seconds}
    add(scheduler, [(Turn, {**data, "group": "a"}, {"group": "a"})] * 100_000)
    for _ in range(nodes):
        start_node(**HERE, max_children=2)
    eventually(lambda: len(traces(path)) > 1000, 60)
    add(scheduler, [(Turn, {**data, "group": "b"}, {"group": "b"})] * 10)
    added = SYSTEM_CLOCK.monotonic()
    eventually(lambda: [name for _, name in turns(path)].count("b") == 10, 30)
    last = max(at for at, name in turns(path) if name == "b")
    assert len([at for at, _ in turns(path) if added < at <= last]) <= 40


def test_ten_thousand_groups_have_their_turns(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    """Each of them has had one, more or less, before any of them has had two."""
    path = tmp_path / "turns"
    groups = [f"g{number}" for number in range(10_000)]
    add(scheduler, [(Turn, {"trace": str(path), "group": name}, {"group": name}) for name in groups for _ in range(2)])
    start_node(**HERE, max_children=2)
    eventually(lambda: len(traces(path)) == 20_000, 180)
    first = Counter(name for _, name in turns(path)[:10_000])
    assert len(first) > 9_000


@pytest.mark.parametrize("groups", [1, 100])
def test_thousands_of_quick_jobs_a_second(scheduler: Scheduler, start_node: StartNode, groups: int) -> None:
    add(scheduler, [("noop", None, {"group": f"g{number % groups}"}) for number in range(20_000)])
    start_node(max_children=2)
    jobs = scheduler.store.jobs.collection
    waiting = {"blocked": group_lists(), "parked_at": {"$exists": True}}
    left = eventually(lambda: (count := jobs.count_documents(waiting, hint="blocked")) < 19_000 and count, 30)
    began = SYSTEM_CLOCK.monotonic()
    eventually(lambda: jobs.count_documents(waiting, hint="blocked", limit=1) == 0, 60)
    assert left / (SYSTEM_CLOCK.monotonic() - began) > 1000
