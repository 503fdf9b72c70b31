"""Clocks of hosts, and of the server, are wrong by an hour: nothing starts too early, too late, twice or never.

Time is the server's; who is dead is judged by monotonic clocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from glob import glob
from pathlib import Path

import pytest

from taskscheduler import Process, Scheduler, Status
from taskscheduler.clock import SystemClock
from tests.faults.steps.server import Server
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.replicaset import ReplicaSet

LIBRARY = next(iter(glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not LIBRARY, reason="libfaketime is not installed (Debian: apt-get install faketime)"),
]

HOUR = 3600
LEASE = 2.0
StartNode = Callable[..., NodeProcess]


@pytest.fixture(scope="module", autouse=True)
def shared_memory() -> Iterator[None]:
    """Removes what libfaketime leaves of processes that were killed: nobody else does."""
    yield
    for path in Path("/dev/shm").glob("*faketime_*_*"):
        if not Path("/proc", path.name.rpartition("_")[2]).exists():
            path.unlink(missing_ok=True)


def skewed(seconds: int) -> dict[str, str]:
    """The environment of a process whose wall clock is wrong; its monotonic one is right."""
    return {"LD_PRELOAD": LIBRARY, "FAKETIME": f"{seconds:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@contextmanager
def wrong_by(seconds: int) -> Iterator[None]:
    """Processes that are started in here have a wrong clock."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in skewed(seconds).items():
            patch.setenv(name, value)
        yield


class FixedOffset(SystemClock):
    """The clock of a producer on a host that is wrong by so many seconds."""

    def __init__(self, seconds: int) -> None:
        self._offset = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._offset


def server_now(scheduler: Scheduler) -> datetime:
    now: datetime = scheduler.store.database.command("hello")["localTime"]
    return now if now.tzinfo else now.replace(tzinfo=UTC)


def promises_hold(scheduler: Scheduler, log: Path) -> None:
    """What depends on time: a job's own time, an interval, a retry, a timeout."""
    soon = scheduler.add_job("trace", str(log), at=timedelta(seconds=1))
    exactly = scheduler.add_job("trace", str(log), at=server_now(scheduler) + timedelta(seconds=1))
    far = scheduler.add_job("trace", str(log), at=timedelta(minutes=30))
    again = scheduler.add_job("flaky", 2, retry=1, retry_interval=1)
    long = scheduler.add_job("wait", {"seconds": 30}, timeout=1)
    series = scheduler.add_job("trace", str(log), interval=0.5)
    first = scheduler.schedules.add("tick", "trace", str(log), every=1, overlap="allow", missed="skip").next_at
    scheduler.wait_for([soon, exactly, again, long], timeout=20)
    assert [one.status for one in (soon, exactly, again, long)] == [Status.DONE] * 3 + [Status.TIMEOUT]
    for one in (soon, exactly, again):
        assert timedelta(0) <= started(one) - due(one) < timedelta(seconds=3), "neither early nor late"
    assert timedelta(seconds=0.9) <= ended(long) - started(long) < timedelta(seconds=3)
    eventually(lambda: len(list(scheduler.get_jobs({"series": series.id, "status": 3}))) >= 3, 10, "three runs")
    scheduler.cancel_job(series.id)
    runs = sorted(scheduler.get_jobs({"series": series.id, "status": 3}), key=started)
    for before, after in itertools.pairwise(runs):
        assert timedelta(seconds=0.45) <= started(after) - ended(before) < timedelta(seconds=3)
    assert far.refresh().status is Status.POSTPONED
    ticks = eventually(lambda: len(found := list(scheduler.get_jobs({"schedule": "tick", "status": 3}))) >= 3 and found)
    scheduler.schedules.delete("tick")
    assert min(one.scheduled_at for one in ticks if one.scheduled_at) == first
    for one in ticks:
        assert one.scheduled_at is not None
        assert timedelta(0) <= started(one) - one.scheduled_at < timedelta(seconds=3), "neither early nor late"
    attempts = [tuple(words[:2]) for words in traces(log)]
    assert len(attempts) == len(set(attempts))


def due(process: Process) -> datetime:
    assert process.at is not None
    return process.at


def started(process: Process) -> datetime:
    assert process.started is not None
    return process.started


def ended(process: Process) -> datetime:
    assert process.ended is not None
    return process.ended


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
def test_the_clock_of_a_node_may_be_wrong(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, offset: int
) -> None:
    with wrong_by(offset):
        node = start_node(min_children=4, max_children=4)
    assert off_by(node) == pytest.approx(offset, abs=120)
    promises_hold(scheduler, tmp_path / "log")
    assert node.stop() == 0


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
def test_the_clock_of_a_producer_may_be_wrong(uri: str, start_node: StartNode, tmp_path: Path, offset: int) -> None:
    start_node(min_children=4, max_children=4)
    with Scheduler(uri, clock=FixedOffset(offset)) as scheduler:
        promises_hold(scheduler, tmp_path / "log")


def test_without_the_clock_of_the_server_a_wrong_producer_breaks_a_promise(
    uri: str, start_node: StartNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_node(min_children=4, max_children=4)
    monkeypatch.setattr("taskscheduler.store.client.ServerClock", lambda own, _server_now: own)
    with Scheduler(uri, clock=FixedOffset(-HOUR)) as scheduler, pytest.raises(AssertionError, match="neither early"):
        promises_hold(scheduler, tmp_path / "log")


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
def test_the_clock_of_the_server_may_be_wrong(tmp_path: Path, offset: int) -> None:
    server = Server(tmp_path / "server", environment=skewed(offset))
    try:
        node = NodeProcess(server.uri("skewed"), tmp_path / "node.log", {"min_children": 4, "max_children": 4})
        try:
            node.wait_until_ready()
            with Scheduler(server.uri("skewed")) as scheduler:
                off = server_now(scheduler) - datetime.now(UTC)
                assert abs(off.total_seconds() - offset) < 60, "the server's clock is wrong"
                promises_hold(scheduler, tmp_path / "log")
            assert node.stop() == 0
        finally:
            node.destroy()
    finally:
        server.stop()


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
def test_the_clock_of_one_member_may_be_wrong(tmp_path: Path, offset: int) -> None:
    """Time jumps by an hour with each change of the primary: that moves nothing that is to run now, and no lease."""
    log, wrong = tmp_path / "log", set()
    with ReplicaSet(tmp_path, environment={0: skewed(offset)}) as members:
        node = NodeProcess(members.uri("skewed"), tmp_path / "node.log", {"orphaned_timeout": LEASE})
        try:
            node.wait_until_ready()
            with Scheduler(members.uri("skewed")) as scheduler:
                added = []
                for number in range(150):
                    if number % 50 == 25:
                        members.step_down(seconds=2)
                    if number % 25 == 0:
                        wrong.add(abs((server_now(scheduler) - datetime.now(UTC)).total_seconds()) > HOUR / 2)
                    added.append(scheduler.add_job("trace", str(log)))
                scheduler.wait_for(added, timeout=60)
                assert {process.status for process in added} == {Status.DONE}
            assert wrong == {True, False}, "both kinds of members have been primary"
            attempts = [tuple(words[:2]) for words in traces(log)]
            assert len(attempts) == len(set(attempts))
            assert node.stop(timeout=40) == 0
        finally:
            node.destroy()


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
def test_nodes_with_different_clocks_neither_rob_a_living_one_nor_forget_a_dead_one(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, offset: int
) -> None:
    """A job that takes longer than the lease stays where it is; that of a killed node is taken over in time."""
    log, release = tmp_path / "log", tmp_path / "release"
    first = start_node(orphaned_timeout=LEASE, max_children=1)
    process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
    eventually(lambda: traces(log), 15, "it runs")
    with wrong_by(offset):
        second = start_node(orphaned_timeout=LEASE, max_children=1)
    assert off_by(second) == pytest.approx(offset, abs=120)
    seen = scheduler.add_job("wait", {"seconds": 2.5 * LEASE}).wait(timeout=30)
    assert (seen.attempt, seen.node) == (1, "node-1")
    assert len(traces(log)) == 1, "nobody has taken it from a node that lives"
    first.kill()
    eventually(lambda: len(traces(log)) == 2, LEASE + 5, "the second attempt after the lease")
    release.touch()
    assert process.result(timeout=10) == "told"
    assert process.attempts[0]["error"]["type"] == "NodeLostError"


def off_by(node: NodeProcess) -> float:
    """By how many seconds the node's own log, written by its clock, is off."""
    line = next(line for line in node.log.read_text().splitlines() if "node ready" in line)
    stamp = datetime.strptime(" ".join(line.split()[-2:]), "%Y-%m-%d %H:%M:%S,%f").astimezone(UTC)
    return (stamp - datetime.now(UTC)).total_seconds()
