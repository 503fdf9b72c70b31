"""What nodes and listeners follow is dropped, converted, wrapped, or its history is gone: latency, never a job."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from taskscheduler import Process, Scheduler, Status
from tests.faults.steps.server import Server
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

QUEUE, EVENTS, JOBS = "taskscheduler.queue", "taskscheduler.events", "taskscheduler.jobs"
OPLOG_MB = 8


def drop(scheduler: Scheduler, name: str) -> None:
    scheduler.store.database.drop_collection(name)


def rename(scheduler: Scheduler, name: str) -> None:
    scheduler.store.database[name].rename(f"{name}.old", dropTarget=True)


def make_ordinary(scheduler: Scheduler, name: str) -> None:
    """Whoever writes to it first after a drop makes a collection without a limit."""
    drop(scheduler, name)
    scheduler.store.database[name].insert_one({})


def shrink(scheduler: Scheduler, name: str) -> None:
    scheduler.store.database.command("collMod", name, cappedSize=4096)


def fill(scheduler: Scheduler, name: str) -> None:
    """Wrap it with documents that mean nothing."""
    scheduler.store.database[name].insert_many([{"x": "x" * 1000, "n": number} for number in range(200)])


@pytest.mark.parametrize("name", [QUEUE, EVENTS])
@pytest.mark.parametrize("spoil", [drop, rename, make_ordinary, shrink, fill])
def test_a_capped_collection_may_be_spoiled_while_jobs_are_added(
    scheduler: Scheduler,
    start_node: Callable[..., NodeProcess],
    name: str,
    spoil: Callable[[Scheduler, str], None],
) -> None:
    nodes = [start_node() for _ in range(2)]
    processes: list[Process] = []
    for round_ in range(30):
        processes += [scheduler.add_job("noop", number) for number in range(5)]
        if round_ % 10 == 5:
            try:
                spoil(scheduler, name)
            except PyMongoError:
                assert round_ > 5, "there is nothing left to spoil only after the first time"
    scheduler.wait_for(processes, timeout=40)
    assert {(process.status, process.attempt) for process in processes} == {(Status.DONE, 1)}
    assert scheduler.add_job("echo").wait(timeout=5).status is Status.DONE
    assert [node.stop() for node in nodes] == [0, 0]


def test_the_messages_that_wake_nodes_are_not_needed(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No job wakes a node, no message is sent: everything that jobs do comes to its end, only later."""
    monkeypatch.setattr("taskscheduler.store.wakeups.WakeupQueue._send", lambda *_: None)
    monkeypatch.setattr("taskscheduler.store.wakeups.WakeupQueue.is_quiet", lambda *_: False)
    start_node()
    processes = [scheduler.add_job("noop"), scheduler.add_job("flaky", 2, retry=1, retry_interval=0.1)]
    processes.append(scheduler.add_job("wait", {}))
    scheduler.wait_for(processes[:2], timeout=20)
    eventually(lambda: processes[2].refresh().status is Status.PROCESSING, 10)
    processes[2].cancel()
    eventually(lambda: not any(node["running"] for node in scheduler.store.nodes.all()), 20, "it was killed")
    assert [process.refresh().status for process in processes] == [Status.DONE, Status.DONE, Status.CANCELED]


# -- history ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Its oplog is as small as it can be, and is cut up to the last checkpoint, of which there is one a second."""
    server = Server(tmp_path / "server", "--oplogSize", str(OPLOG_MB), "--syncdelay", "1")
    yield server
    server.stop()


def roll(server: Server) -> None:
    """Write until the oplog has forgotten what was there before.

    The server cuts its oplog when a write has filled another piece of it, and no further than to the last checkpoint:
    after a checkpoint something more must be written, or it forgets nothing at all.
    """
    newest, filler = ends(server)[1], server.client["filler"]["filler"]

    def forgotten() -> bool:
        filler.insert_many([{"x": bytes(1 << 18)} for _ in range(4)])
        server.client.admin.command("fsync")
        return bool(ends(server)[0] > newest)

    eventually(forgotten, 30, "an oplog that has forgotten")


def ends(server: Server) -> tuple[Any, Any]:
    """The times of the oldest and the newest entry of the oplog."""
    oplog = server.client.local["oplog.rs"]
    oldest, newest = (next(oplog.find().sort("$natural", order).limit(1)) for order in (1, -1))
    return oldest["ts"], newest["ts"]


def test_a_node_that_slept_while_history_was_lost_finds_what_it_missed(server: Server, tmp_path: Path) -> None:
    node = NodeProcess(server.uri("lost"), tmp_path / "node.log", {})
    try:
        node.wait_until_ready()
        with Scheduler(server.uri("lost")) as scheduler:
            assert scheduler.add_job("echo").wait(timeout=10)
            node.send(signal.SIGSTOP)
            missed = [scheduler.add_job("noop") for _ in range(20)]
            roll(server)
            node.send(signal.SIGCONT)
            scheduler.wait_for(missed, timeout=20)
            eventually(lambda: "change stream starts anew" in node.log.read_text(), 20, "it has noticed")
            assert scheduler.add_job("echo").wait(timeout=5).status is Status.DONE
        assert node.stop() == 0
        assert node.log.read_text().count("change stream starts anew") == 1, "it follows again"
    finally:
        node.destroy()


def test_a_listener_that_slept_while_history_was_lost_gets_a_gap_and_what_is_known_now(
    server: Server, tmp_path: Path
) -> None:
    heard: list[tuple[str, Any]] = []
    gaps: list[str] = []
    entered, go_on = threading.Event(), threading.Event()

    def sleep_at_the_first(process: Process) -> None:
        heard.append((str(process.id), process.status))
        entered.set()
        go_on.wait(60)

    with Scheduler(server.uri("lost")) as scheduler, Scheduler(server.uri("lost")) as other:
        scheduler.on("gap", lambda event, _process: gaps.append(event))
        ear = threading.Thread(target=lambda: scheduler.listen(sleep_at_the_first, timeout=45), daemon=True)
        other.add_job("noop")
        ear.start()
        eventually(lambda: other.add_job("noop") and entered.wait(0.2), 10, "it listens")
        missed = [other.add_job("noop") for _ in range(5)]
        missed[0].cancel()
        roll(server)
        go_on.set()
        wanted = {(str(one.id), Status.CANCELED if one is missed[0] else Status.WAITING) for one in missed}
        eventually(lambda: gaps and wanted <= set(heard), 40, f"a gap, then {wanted}")
        later = other.add_job("noop")
        eventually(lambda: (str(later.id), Status.WAITING) in heard, 10, "it follows again")
