"""The primary dies while jobs are added and run: none is lost, none ends twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.replicaset import ReplicaSet

from taskscheduler import Scheduler, Status


@pytest.fixture
def members(tmp_path: Path) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path) as members:
        yield members


def test_jobs_survive_the_death_of_the_primary(members: ReplicaSet, tmp_path: Path) -> None:
    uri, log = members.uri("failover"), tmp_path / "log"
    node = NodeProcess(uri, tmp_path / "node.log", {"pm": "static", "min_children": 2})
    try:
        node.wait_until_ready()
        with Scheduler(uri) as scheduler:
            added = []
            for number in range(300):
                if number in (100, 200):
                    dead = members.primary()
                    members.kill(dead)
                added.append(scheduler.add_job("trace", str(log)))
                if number in (130, 230):
                    members.start(dead)
            scheduler.wait_for(added, timeout=60)
            assert {process.status for process in added} == {Status.DONE}
            starts = Counter((job_id, attempt) for job_id, attempt, _ in traces(log))
            assert set(starts.values()) == {1}  # no attempt started twice
            assert {job_id for job_id, _ in starts} == {str(process.id) for process in added}
            assert sum(process.attempt for process in added) - len(added) < 20  # few had to start again
        assert node.stop(timeout=40) == 0
    finally:
        node.destroy()
