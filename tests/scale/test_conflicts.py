"""Nodes that claim from one queue do not ask for the same jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.database import Database

from taskscheduler import Scheduler
from tests.scale.conflicts import noted_claims, profiled_claims
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

NODES = 4

JOBS = 40_000

MOST_CONFLICTS = 0.05


@pytest.mark.scale
def test_nodes_lose_little_of_what_they_ask_for(
    scheduler: Scheduler, database: Database[dict[str, Any]], start_node: Callable[..., NodeProcess]
) -> None:
    """Without a division among them it is half. A slow machine makes the nodes unequal, and the last ones help out."""
    for _ in range(NODES):
        start_node(pm="static", min_children=1, max_children=1)
    jobs = scheduler.store.jobs.collection
    with profiled_claims(database):
        scheduler.add_jobs(["noop"] * JOBS)
        eventually(lambda: next(scheduler.get_jobs(), None) is None, 120, "all done")
        claims = noted_claims(database)
    shares = {entry["_id"]: entry["count"] for entry in jobs.aggregate([{"$sortByCount": "$node"}])}
    assert claims.got >= JOBS * 0.9, "the others were claimed one by one"
    assert len(shares) > NODES // 2, shares
    assert claims.conflicts < MOST_CONFLICTS, claims
