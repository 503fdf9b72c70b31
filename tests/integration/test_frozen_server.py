"""A database that stands still for a while: a lease that is renewed late is not lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.replicaset import ReplicaSet

from taskscheduler import Scheduler, Status

LEASE = 6.0
BEAT = LEASE / 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path, members=1) as server:
        yield server


def freeze(server: ReplicaSet, scheduler: Scheduler, seconds: float) -> None:
    """Stops the server for so long, just before the next heartbeat of the node is due."""
    pause, (port,) = threading.Event(), server.ports
    seen = scheduler.store.nodes.all()[0]["beat"]
    eventually(lambda: scheduler.store.nodes.all()[0]["beat"] != seen, 2 * LEASE, "a heartbeat")
    pause.wait(BEAT * 0.95)
    server.pause(port)
    try:
        pause.wait(seconds)
    finally:
        server.resume(port)


def run_while_frozen(server: ReplicaSet, directory: Path, periods: list[float]) -> tuple[int, list[list[str]], str]:
    """Runs one job while the server stands still; returns its attempts, its starts and the log of its node."""
    uri, log, release = server.uri("app"), directory / "starts", directory / "release"
    node = NodeProcess(uri, directory / "node.log", {"orphaned_timeout": LEASE})
    try:
        node.wait_until_ready()
        with Scheduler(uri) as scheduler:
            process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
            eventually(lambda: traces(log), 15, "the start")
            for seconds in periods:
                freeze(server, scheduler, seconds)
            release.touch()
            assert process.wait(timeout=30).status is Status.DONE
        assert node.stop(timeout=40) == 0
    finally:
        node.destroy()
    return process.attempt, traces(log), node.log.read_text()


def test_a_server_that_stands_still_for_half_of_the_lease_again_and_again_costs_no_attempt(
    server: ReplicaSet, tmp_path: Path
) -> None:
    attempt, starts, log = run_while_frozen(server, tmp_path, [LEASE / 2] * 3)
    assert (attempt, len(starts)) == (1, 1), log
    assert "killing all jobs" not in log


@pytest.mark.faults  # the control of the one above
def test_one_that_stands_still_for_longer_than_the_lease_does(server: ReplicaSet, tmp_path: Path) -> None:
    """The control: a node whose lease is over has killed its jobs."""
    attempt, starts, log = run_while_frozen(server, tmp_path, [LEASE * 1.2])
    assert min(attempt, len(starts)) >= 2, log  # a slow server may cost it more than one lease
    assert "killing all jobs" in log
