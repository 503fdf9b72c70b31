"""The message queues between node and manager are full, missing or damaged: every job ends all the same."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import nodes
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess, is_running

from taskscheduler import Process, Scheduler, Status

StartNode = Callable[..., NodeProcess]
LEASE = 1.5

MISSING = "from taskscheduler_daemon.ipc import channel; channel.posix_ipc = None"
NO_ROOM = "import resource; resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))"
SPOIL = "from tests.faults.steps.channels import every, spoil; "


def prepend(monkeypatch: pytest.MonkeyPatch, statements: str) -> None:
    """Nodes that are started from now on run these statements first."""
    monkeypatch.setattr(nodes, "_MAIN", f"{statements}\n{nodes._MAIN}")


def assert_each_ended_once(processes: list[Process], log: Path) -> None:
    """All done, no attempt started twice, and none more often than its attempts."""
    assert Counter(process.status for process in processes) == {Status.DONE: len(processes)}
    starts = Counter((job_id, attempt) for job_id, attempt, _ in traces(log))
    assert set(starts.values()) == {1}
    assert {job_id for job_id, _ in starts} == {str(process.id) for process in processes}


# -- full -------------------------------------------------------------------------------------------------------------


def test_a_full_queue_to_a_stopped_manager_loses_no_job(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    node, log = start_node(pm="static", min_children=2), tmp_path / "log"
    scheduler.wait_for([scheduler.add_job("noop") for _ in range(50)], timeout=10)  # it learns to claim ahead
    manager = node.manager
    os.kill(manager, signal.SIGSTOP)
    try:
        processes = scheduler.add_jobs([("trace", str(log)) for _ in range(2000)])
        processes += scheduler.add_jobs([("large", 10, {"priority": 1}) for _ in range(5)])
        eventually(lambda: processes[0].refresh().status is Status.PROCESSING, 10, "claimed")
        threading.Event().wait(0.5)
        assert all(one.refresh().status is not Status.DONE for one in processes[:10])
    finally:
        os.kill(manager, signal.SIGCONT)
    scheduler.wait_for(processes, timeout=30)
    assert_each_ended_once(processes[:2000], log)
    assert {process.attempt for process in processes} == {1}


def test_a_full_queue_to_a_stopped_node_loses_no_result(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    """Results of 300 KB: one of them alone takes 37 of the 10 frames that a queue holds."""
    node, release = start_node(pm="static", min_children=2), tmp_path / "release"
    processes = [scheduler.add_job("large", 300_000) for _ in range(6)]
    processes += [scheduler.add_job("wait", {"until": str(release)}) for _ in range(2)]
    eventually(lambda: any(one.refresh().status is Status.PROCESSING for one in processes), 10)
    node.send(signal.SIGSTOP)
    try:
        release.touch()
        threading.Event().wait(0.5)
    finally:
        node.send(signal.SIGCONT)
    scheduler.wait_for(processes, timeout=30)
    assert {process.status for process in processes} == {Status.DONE}
    assert {process.attempt for process in processes} == {1}
    assert all(len(process.result_value) == 300_000 for process in processes[:6])


# -- missing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [MISSING, NO_ROOM], ids=["no-library", "no-room"])
def test_without_message_queues_sockets_do_the_same(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Also the word of a cancellation arrives: this node never looks by itself."""
    prepend(monkeypatch, how)
    node, log = start_node(pm="static", min_children=2, **nodes.TOLD), tmp_path / "log"
    descriptors = [path.readlink() for path in Path(f"/proc/{node.pid}/fd").iterdir()]
    assert not [path for path in descriptors if str(path).startswith("/taskscheduler-")], "no message queue"
    processes = scheduler.add_jobs([("trace", str(log)) for _ in range(2000)])
    large = scheduler.add_job("large", 500_000)
    waiting = scheduler.add_job("wait", {"trace": str(tmp_path / "other")})
    scheduler.wait_for([*processes, large], timeout=30)
    assert_each_ended_once(processes, log)
    assert len(large.result_value) == 500_000
    eventually(lambda: traces(tmp_path / "other"))
    waiting.cancel()
    worker = int(traces(tmp_path / "other")[0][2])
    eventually(lambda: not is_running(worker), 20, "killed")
    below = node.tree()
    assert node.stop() == 0
    assert not any(is_running(pid) for pid in below)


# -- damaged ----------------------------------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize("how", ["lose", "flip", "cut", "twice"])
def test_frames_that_are_damaged_now_and_then_stick_no_job(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    prepend(monkeypatch, SPOIL + f"spoil('both', {how!r}, every(25))")
    log = tmp_path / "log"
    start_node(pm="static", min_children=2, orphaned_timeout=LEASE, max_lost=20)
    processes = [scheduler.add_job("trace", str(log)) for _ in range(200)]
    scheduler.wait_for(processes, timeout=60)
    assert_each_ended_once(processes, log)
    started_again = sum(process.attempt - 1 for process in processes)
    assert started_again == 0 if how == "twice" else 0 < started_again < 100


@pytest.mark.faults
@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("frame", range(1, 9))
def test_any_one_frame_may_be_lost(
    scheduler: Scheduler,
    start_node: StartNode,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    direction: str,
    frame: int,
) -> None:
    """Of those that say how many slots there are, start and end jobs, renew the lease, kill, and stop the manager."""
    with monkeypatch.context() as patch:
        prepend(patch, SPOIL + f"spoil({direction!r}, 'lose', [{frame}])")
        node = start_node(pm="static", min_children=2, orphaned_timeout=LEASE, stop_timeout=1)
    log, killed = tmp_path / "log", tmp_path / "killed"
    processes = [scheduler.add_job("trace", str(log)) for _ in range(3)]
    canceled = scheduler.add_job("wait", {"trace": str(killed)})
    scheduler.wait_for(processes, timeout=20)
    assert_each_ended_once(processes, log)
    eventually(lambda: traces(killed), 10, "the job that is cancelled has started")
    canceled.cancel()
    eventually(lambda: not any(is_running(int(line[2])) for line in traces(killed)), LEASE + 3, "it is killed")
    assert node.stop(timeout=20) == 0
    assert canceled.refresh().status is Status.CANCELED


def test_a_manager_that_does_not_end_when_the_node_stops_is_killed_and_not_replaced(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    node = start_node(stop_timeout=0.2)
    scheduler.add_job("echo").wait(timeout=10)
    below = node.tree()
    os.kill(node.manager, signal.SIGSTOP)
    assert node.stop(timeout=15) == 0
    assert not any(is_running(pid) for pid in below)
    assert node.log.read_text().count("node ready") == 1, "it has not started anew"


# -- late -------------------------------------------------------------------------------------------------------------


def test_the_word_of_a_cancellation_that_comes_when_the_job_runs_once_more_does_not_end_it(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    """It would be given back as if it had not begun, and begin twice with the same number."""
    log, release = tmp_path / "log", tmp_path / "release"
    process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
    [[_, _, pid]] = eventually(lambda: traces(log))
    canceled = scheduler.add_job("wait", {"trace": str(tmp_path / "other")})
    [[_, _, other]] = eventually(lambda: traces(tmp_path / "other"))
    scheduler.store.jobs.cancel(canceled.id)
    scheduler.store.wakeups.jobs_cancelled([process.id, canceled.id])
    eventually(lambda: not is_running(int(other)), 10, "the word has come")
    assert is_running(int(pid))
    release.touch()
    assert process.result(20) == "told"
    assert (process.attempt, len(traces(log))) == (1, 1)
