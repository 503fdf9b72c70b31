"""Processes die, hang, ignore signals and leave children behind: jobs survive, and nothing else does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support import nodes as support
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import TOLD, NodeProcess, is_running
from tests.support.tables import rarely

from taskscheduler import InvalidOptionError, Process, Scheduler, Status
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler_daemon import QueueNode

StartNode = Callable[..., NodeProcess]


def started(path: Path, count: int = 1) -> list[list[str]]:
    """The first lines that jobs have traced, once there are so many."""
    return eventually(lambda: traces(path) if len(traces(path)) >= count else None, 30, f"{count} traces")


def claiming_ends_after(seconds: float) -> str:
    """Statements that let a node wait so long for its claims to end."""
    imports = "from threading import Event; from taskscheduler_daemon.node.claiming.claimer import Claimer"
    slow = f"{imports}; stop = Claimer.stop"
    return f"{slow}; Claimer.stop = lambda claimer: (Event().wait({seconds}), stop(claimer))"


def all_gone(pids: list[int]) -> bool:
    return not any(is_running(pid) for pid in pids)


def until(condition: Callable[[], bool], what: str) -> float:
    """How many seconds it takes to come true."""
    began = SYSTEM_CLOCK.monotonic()
    eventually(condition, 20, what)
    return SYSTEM_CLOCK.monotonic() - began


_TRIES = 3


def within_a_second(measured: Callable[[int], float]) -> bool:
    """Whether it takes less. It may be tried three times: a machine that stands still for a moment says nothing."""
    return any(measured(number) < 1.0 for number in range(_TRIES))


# -- workers ----------------------------------------------------------------------------------------------------------


def test_a_killed_worker_costs_a_second_at_most_and_no_result(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    """Nobody has to look for its job, and no lease has to end."""
    start_node(**TOLD)
    done = [scheduler.add_job("echo", number) for number in range(20)]
    scheduler.wait_for(done, timeout=60)

    def cost(number: int) -> float:
        """The seconds from the death of a worker to the second attempt."""
        log, release = tmp_path / f"log-{number}", tmp_path / f"release-{number}"
        process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
        os.kill(int(started(log)[0][2]), signal.SIGKILL)
        seconds = until(lambda: len(traces(log)) == 2, "the second attempt")
        release.touch()
        assert process.result(timeout=30) == "told"
        assert process.attempt == 2
        assert process.attempts[0]["error"]["signal"] == signal.SIGKILL
        assert process.options["retry"] == 0  # a lost worker is no failure of the job
        return seconds

    assert within_a_second(cost)
    scheduler.wait_for(done)
    assert [one.result_value["data"] for one in done] == list(range(20))
    assert {one.attempt for one in done} == {1}


@pytest.mark.parametrize(("job", "key", "value"), [("os_exit", "exit_code", 3), ("segfault", "signal", signal.SIGSEGV)])
def test_a_job_that_kills_its_workers_is_set_aside(
    scheduler: Scheduler, node: NodeProcess, job: str, key: str, value: int
) -> None:
    process = scheduler.add_job(job).wait(timeout=20)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert process.error["type"] == "PoisonedJobError"
    assert process.error[key] == value
    assert process.error["peak_memory"] > 0
    assert [attempt["attempt"] for attempt in process.attempts] == [1, 2, 3]
    assert scheduler.add_job("echo").result(timeout=30)


@pytest.mark.parametrize("job", ["stubborn", "setsid", *rarely("spin")])  # spins: the next test
def test_a_job_over_its_time_is_gone_with_all_it_started(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path, job: str
) -> None:
    log = tmp_path / "log"
    process = scheduler.add_job(job, str(log), timeout=1, retry=1, retry_interval=0)
    pids = [int(word) for word in started(log)[0][2:]]
    process.wait(timeout=30)
    assert process.status is Status.TIMEOUT
    pids += [int(word) for words in traces(log)[1:] for word in words[2:]]
    eventually(lambda: all_gone(pids), 20, "no process of the job")
    took = [(attempt["ended"] - attempt["started"]).total_seconds() for attempt in process.attempts]
    assert min(took) < 1 + 0.5 + 1, took  # the machine may have stood still in one of them
    assert scheduler.add_job("echo").result(timeout=30)


def test_a_job_over_its_time_is_tried_again(scheduler: Scheduler, node: NodeProcess, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = scheduler.add_job("spin", str(log), timeout=0.3, retry=1, retry_interval=0.1).wait(timeout=30)
    assert process.status is Status.TIMEOUT
    assert len(traces(log)) == 2
    assert [attempt["status"] for attempt in process.attempts] == [Status.TIMEOUT, Status.TIMEOUT]


@pytest.mark.parametrize("job", ["stubborn", "setsid", *rarely("spin")])
def test_cancelling_kills_a_running_job_within_a_second(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, job: str
) -> None:
    """As its node is told: it never looks by itself."""
    start_node(**TOLD)

    def taken(number: int) -> float:
        log = tmp_path / f"log-{number}"
        process = scheduler.add_job(job, str(log))
        pids = [int(word) for word in started(log)[0][2:]]
        assert process.cancel()
        seconds = until(lambda: all_gone(pids), "killed")
        assert process.refresh().status is Status.CANCELED
        assert scheduler.add_job("echo").result(timeout=30)
        assert len(traces(log)) == 1
        return seconds

    assert within_a_second(taken)


def test_cancelling_kills_within_a_second_also_while_a_backlog_is_drained(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    start_node(pm="static", min_children=_TRIES + 2)
    log = tmp_path / "log"
    for _ in range(_TRIES):
        scheduler.add_job("stubborn", str(log))
    lines = started(log, _TRIES)
    scheduler.add_jobs([("noop", number) for number in range(40_000)])
    jobs = scheduler.store.jobs.collection
    eventually(lambda: jobs.count_documents({"status": 3}) > 5_000, 60, "a backlog that is being drained")

    def taken(number: int) -> float:
        job_id, _, pid = lines[number]
        scheduler.cancel_job(ObjectId(job_id))
        return until(lambda: not is_running(int(pid)), "killed")

    assert within_a_second(taken)
    assert jobs.find_one({"status": 0}) is not None, "the backlog lasted until then"


def test_a_cancelled_job_that_was_queued_never_starts(scheduler: Scheduler, node: NodeProcess, tmp_path: Path) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    busy = [scheduler.add_job("wait", {"until": str(release)}) for _ in range(2)]
    eventually(lambda: all(one.refresh().status is Status.PROCESSING for one in busy))
    queued = scheduler.add_job("trace", str(log))
    queued.cancel()
    release.touch()
    scheduler.wait_for(busy, timeout=10)
    scheduler.add_job("echo").wait(timeout=30)
    assert traces(log) == []
    assert queued.refresh().status is Status.CANCELED


# -- manager and node -------------------------------------------------------------------------------------------------


def test_a_killed_manager_is_replaced_and_its_jobs_run_again(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
    worker = int(started(log)[0][2])
    manager = node.manager
    os.kill(manager, signal.SIGKILL)
    eventually(lambda: not is_running(worker), 20, "the worker dies with its manager")
    started(log, 2)
    release.touch()
    assert process.result(timeout=30) == "told"
    assert node.manager != manager
    assert node.stop() == 0


def test_the_jobs_of_a_killed_node_run_elsewhere_after_its_lease(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    lease = 4
    first = start_node(orphaned_timeout=lease)
    process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
    worker = int(started(log)[0][2])
    start_node(orphaned_timeout=lease)
    below = first.tree()
    first.kill()
    eventually(lambda: all_gone([*below, worker]), 2.0, "manager and workers die with their node")
    eventually(lambda: len(traces(log)) == 2, lease + 5, "the second attempt after the lease")
    release.touch()
    assert process.result(timeout=30) == "told"
    assert process.attempts[0]["error"]["type"] == "NodeLostError"
    assert process.attempt == 2


def test_a_frozen_node_loses_its_jobs_and_cannot_overwrite_what_came_after(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    frozen = start_node(orphaned_timeout=4)
    process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
    started(log)
    tree = [frozen.pid, *frozen.tree()]
    for pid in tree:
        os.kill(pid, signal.SIGSTOP)
    try:
        start_node(orphaned_timeout=6)  # which does not lose its own lease when the machine stands still for a moment
        eventually(lambda: len(traces(log)) == 2, 30, "the second attempt")
    finally:
        for pid in tree:
            with suppress(ProcessLookupError):  # the first ones to wake may have ended the others
                os.kill(pid, signal.SIGCONT)
    release.touch()
    process.wait(timeout=30)
    assert process.attempt == 2
    assert process.node == "node-1"
    assert scheduler.add_job("echo").result(timeout=30)
    eventually(lambda: "taken over" in frozen.log.read_text() or "lease not renewed" in frozen.log.read_text())
    assert frozen.stop() == 0


def test_an_interval_survives_the_death_of_its_node_at_any_moment(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    first = scheduler.add_job("trace", str(log), interval=0.05)
    for round_ in range(3):
        node = start_node(orphaned_timeout=1)
        count = len(traces(log))
        started(log, count + 3 + round_)
        node.kill()
    start_node(orphaned_timeout=1)
    started(log, len(traces(log)) + 5)
    scheduler.cancel_job(first.id)
    runs = list(scheduler.get_jobs({"series": first.id}))
    numbers = sorted(run.to_dict()["seq"] for run in runs)
    assert numbers == list(range(len(numbers)))
    ended = [run for run in runs if run.status is Status.DONE]
    assert len(ended) >= len(runs) - 1
    starts = Counter(job_id for job_id, _, _ in traces(log))
    attempts = Counter((job_id, attempt) for job_id, attempt, _ in traces(log))
    assert set(attempts.values()) == {1}
    assert all(starts[str(run.id)] >= 1 for run in ended)


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_sigterm_lets_a_job_finish_and_leaves_nothing_behind(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    node = start_node(stop_timeout=10)
    process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
    started(log)
    below = node.tree()
    threading.Timer(0.3, release.touch).start()
    assert node.stop() == 0
    assert process.refresh().status is Status.DONE
    assert all_gone(below)
    assert list(scheduler.store.nodes.all()) == []


def test_sigterm_hands_a_job_back_that_does_not_finish_and_another_node_takes_it_at_once(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    first = start_node(stop_timeout=0.3)
    process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
    started(log)
    start_node()
    assert first.stop(timeout=5) == 0
    started(log, 2)
    release.touch()
    assert process.result(timeout=30) == "told"
    stored = process.to_dict()
    assert (stored["lost"], stored["retries"]) == (0, 0)


def test_a_node_that_was_asked_to_stop_does_not_begin_anew_when_it_has_lost_its_lease(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    log, release = tmp_path / "log", tmp_path / "release"
    node, nodes = start_node(stop_timeout=60, orphaned_timeout=6), scheduler.store.nodes
    process = scheduler.add_job("wait", {"trace": str(log), "until": str(release)})
    started(log)
    node.tree()
    node.send(signal.SIGTERM)
    eventually(lambda: "node stops" in node.log.read_text())
    eventually(lambda: any(nodes.declare_lost(one["_id"], one["beat"]) for one in nodes.all()))
    assert node.process.wait(20) == 0
    assert node.log.read_text().count("node ready") == 1
    assert process.refresh().status is Status.PROCESSING, "for those who have taken it over"


_STOPPED_BETWEEN_SESSIONS = """
import json, logging, sys, threading
logging.basicConfig(level=logging.INFO)
from taskscheduler import Scheduler
from taskscheduler_daemon import QueueNode

class Node(QueueNode):
    sessions = 0

    def _fork_manager(self, factory):
        self.sessions += 1
        if self.sessions == 2:
            self.stop_from_a_thread("BEFORE")
        return super()._fork_manager(factory)

    def _end_manager(self, *given):
        super()._end_manager(*given)
        if self.sessions == 1:
            self.stop_from_a_thread("AFTER")

    def stop_from_a_thread(self, where):
        if where == "WHERE":
            thread = threading.Thread(target=self.stop)
            thread.start()
            thread.join()

sys.exit(Node(Scheduler(sys.argv[1]), **json.loads(sys.argv[3])).process())
"""


@pytest.mark.parametrize("where", ["AFTER", "BEFORE"])
def test_a_node_that_a_thread_stops_between_two_sessions_ends(
    scheduler: Scheduler, start_node: StartNode, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr("tests.support.nodes._MAIN", _STOPPED_BETWEEN_SESSIONS.replace("WHERE", where))
    node, nodes = start_node(orphaned_timeout=2), scheduler.store.nodes
    node.tree()
    eventually(lambda: any(nodes.declare_lost(one["_id"], one["beat"]) for one in nodes.all()))
    assert node.process.wait(20) == 0
    assert node.log.read_text().count("node ready") == 1


def test_what_others_have_taken_over_is_killed_before_anything_else(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "_MAIN", f"{claiming_ends_after(15)}\n{support._MAIN}")
    log, nodes = tmp_path / "log", scheduler.store.nodes
    node = start_node(orphaned_timeout=15)
    scheduler.add_job("wait", {"trace": str(log)})
    [[_, _, pid]] = started(log)
    eventually(lambda: any(nodes.declare_lost(one["_id"], one["beat"]) for one in nodes.all()))
    eventually(lambda: "has taken over" in node.log.read_text())
    eventually(lambda: not is_running(int(pid)), 4, "its manager would end it in 7 s at the earliest")


def test_a_second_signal_ends_a_node_at_once(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    log = tmp_path / "log"
    node = start_node(stop_timeout=60)
    process = scheduler.add_job("stubborn", str(log))
    started(log)
    node.send(signal.SIGINT)
    eventually(lambda: "node stops" in node.log.read_text())
    node.send(signal.SIGINT)
    assert node.process.wait(20) == 0
    assert process.refresh().status is Status.WAITING
    assert scheduler.store.nodes.all() == [], "it has handed everything back, so it is not taken for lost"


def test_a_second_signal_ends_a_node_whose_manager_hangs_also_while_claims_are_under_way(
    scheduler: Scheduler, start_node: StartNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "_MAIN", f"{claiming_ends_after(1)}\n{support._MAIN}")
    node = start_node(stop_timeout=60)
    os.kill(node.manager, signal.SIGSTOP)
    node.tree()
    node.send(signal.SIGTERM)
    eventually(lambda: "node stops" in node.log.read_text())
    node.send(signal.SIGTERM)
    assert node.process.wait(25) == 0
    assert scheduler.store.nodes.all() == []


_WRITES_NO_ENDS = """
from pymongo.errors import AutoReconnect
from taskscheduler.store.completions import CompletionStore
from taskscheduler.store.nodes import NodeStore
def away(*_): raise AutoReconnect("away")
CompletionStore.write = away
"""


def test_a_node_that_stops_waits_for_its_database_no_longer_than_its_lease(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    node = start_node(orphaned_timeout=8, late=f"{_WRITES_NO_ENDS}NodeStore.beat = away")
    process = scheduler.add_job("echo")
    eventually(lambda: "ends of jobs not written yet" in node.log.read_text())
    node.send(signal.SIGTERM)
    assert node.process.wait(30) == 0
    said = node.log.read_text()
    assert "another signal ends the node" in said
    assert "ends of jobs not written 2" in said  # behind it stands the time, not "yet"
    assert process.refresh().status is Status.PROCESSING
    assert scheduler.stats()["nodes"], "it is not signed off, as long as it holds a job"


def test_another_signal_ends_a_node_that_waits_for_its_database(scheduler: Scheduler, start_node: StartNode) -> None:
    node = start_node(late=_WRITES_NO_ENDS)
    scheduler.add_job("echo")
    eventually(lambda: "ends of jobs not written yet" in node.log.read_text())

    def gives_up() -> bool:
        node.send(signal.SIGTERM)
        return "ends of jobs not written 2" in node.log.read_text()  # behind it stands the time, not "yet"

    eventually(gives_up, 20)
    assert node.process.wait(20) in (0, -signal.SIGTERM), "the last of so many may find no handler any more"


def test_sighup_replaces_idle_workers(scheduler: Scheduler, start_node: StartNode) -> None:
    node = start_node(pm="static", min_children=2)
    before = set(eventually(lambda: len(node.workers) == 2 and node.workers))
    node.send(signal.SIGHUP)
    eventually(lambda: len(node.workers) == 2 and not before & set(node.workers), 30, "two new workers")
    assert "new code needs a restart of the node" in node.log.read_text()
    assert scheduler.add_job("echo").result(timeout=30)


def test_a_node_ends_after_max_jobs(scheduler: Scheduler, start_node: StartNode) -> None:
    node = start_node(max_jobs=3)
    processes = [scheduler.add_job("noop") for _ in range(5)]
    assert node.process.wait(20) == 0
    states = Counter(process.refresh().status for process in processes)
    assert states == {Status.DONE: 3, Status.WAITING: 2}


# -- pools ------------------------------------------------------------------------------------------------------------


def busy(scheduler: Scheduler, count: int, release: Path, **options: Any) -> list[Process]:
    return [scheduler.add_job("wait", {"until": str(release)}, **options) for _ in range(count)]


def running(processes: list[Process]) -> int:
    return sum(process.refresh().status is Status.PROCESSING for process in processes)


def test_a_dynamic_pool_grows_to_its_maximum(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    release = tmp_path / "release"
    node = start_node(pm="dynamic", min_children=1, max_children=3)
    assert len(eventually(lambda: node.workers)) == 1
    processes = busy(scheduler, 5, release)
    eventually(lambda: running(processes) == 3 and len(node.workers) == 3)
    release.touch()
    scheduler.wait_for(processes, timeout=10)


def test_a_static_pool_keeps_its_number(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    release = tmp_path / "release"
    node = start_node(pm="static", min_children=2, max_children=1)
    eventually(lambda: len(node.workers) == 2)
    processes = busy(scheduler, 4, release)
    eventually(lambda: running(processes) == 2)
    os.kill(node.workers[0], signal.SIGKILL)
    eventually(lambda: len(node.workers) == 2 and running(processes) == 2)
    release.touch()
    scheduler.wait_for(processes, timeout=10)


def test_an_ondemand_pool_has_one_worker_per_job_and_none_without(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    node = start_node(pm="ondemand", max_children=2)
    assert node.workers == []
    processes = busy(scheduler, 3, release)
    eventually(lambda: running(processes) == 2 and len(node.workers) == 2)
    release.touch()
    scheduler.wait_for(processes, timeout=10)
    eventually(lambda: node.workers == [])
    pids = {scheduler.add_job("echo").result(timeout=30)["pid"] for _ in range(3)}
    assert len(pids) == 3


def test_force_spawn_gets_a_worker_beyond_the_limit(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    node = start_node(pm="dynamic", max_children=1)
    processes = busy(scheduler, 1, release)
    eventually(lambda: running(processes) == 1)
    forced = busy(scheduler, 2, release, force_spawn=True)
    eventually(lambda: running(forced) == 2 and len(node.workers) == 3, 30, "both forced jobs run")
    release.touch()
    scheduler.wait_for([*processes, *forced], timeout=10)
    eventually(lambda: len(node.workers) == 1)


def test_forced_jobs_take_no_slot_from_others(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    release = tmp_path / "release"
    start_node(pm="dynamic", max_children=2)
    forced = busy(scheduler, 2, release, force_spawn=True)
    eventually(lambda: running(forced) == 2)
    assert scheduler.add_job("echo").result(timeout=20)
    release.touch()
    scheduler.wait_for(forced, timeout=10)


def test_forced_jobs_have_a_limit_and_all_of_them_run(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    node = start_node(pm="dynamic", max_children=1, max_forced=3)
    forced = busy(scheduler, 20, release, force_spawn=True)
    eventually(lambda: running(forced) == 3)
    assert scheduler.add_job("echo").result(timeout=20)  # one that needs none of these workers
    assert running(forced) == 3
    assert len(node.workers) <= 4
    release.touch()
    scheduler.wait_for(forced, timeout=30)
    assert {process.attempt for process in forced} == {1}


# -- together ---------------------------------------------------------------------------------------------------------


def test_two_nodes_share_the_work_and_run_each_job_once(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    release, begun = tmp_path / "release", tmp_path / "begun"
    nodes = [start_node(pm="static", min_children=4) for _ in range(2)]
    waiting = [("wait", {"trace": str(begun), "until": str(release)}, {"priority": 1})] * 8
    shared = scheduler.add_jobs(waiting)
    processes = scheduler.add_jobs([("trace", str(log)) for _ in range(2000)])
    started(begun, 8)  # no node has room for all of them
    release.touch()
    scheduler.wait_for([*shared, *processes], timeout=60)
    assert {process.status for process in processes} == {Status.DONE}
    runs = Counter(job_id for job_id, _, _ in traces(log))
    assert runs == {str(process.id): 1 for process in processes}
    assert Counter(process.node for process in shared) == {"node-0": 4, "node-1": 4}
    assert [node.stop() for node in nodes] == [0, 0]


def test_capped_collections_may_wrap_or_vanish(start_node: StartNode, uri: str, tmp_path: Path) -> None:
    small = {"job_queue_size": 4096, "event_queue_size": 4096}
    start_node(scheduler_options=small)
    with Scheduler(uri, options=small) as scheduler:
        processes = []
        for number in range(20):
            processes += scheduler.add_jobs([("noop", number) for _ in range(100)])
            if number in (5, 12):
                scheduler.store.database.drop_collection("taskscheduler.queue")
                scheduler.store.database.drop_collection("taskscheduler.events")
        scheduler.wait_for(processes, timeout=60)
        assert {process.status for process in processes} == {Status.DONE}


@pytest.mark.faults  # with all that follows it takes as long as a hundred other tests
def test_ten_thousand_jobs_leave_memory_processes_and_descriptors_flat(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    node = start_node(pm="static", min_children=2)

    def drain(count: int) -> None:
        scheduler.add_jobs([("noop", number) for number in range(count)])
        eventually(lambda: next(scheduler.get_jobs(), None) is None, 60, "all jobs done")

    def facts(pid: int) -> tuple[int, int]:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4
        return len(os.listdir(f"/proc/{pid}/fd")), resident

    def grown() -> list[str]:
        """What ten thousand jobs have added to: descriptors, and KiB of memory."""
        before = {pid: facts(pid) for pid in (node.pid, *node.tree())}
        drain(10000)
        after = {pid: facts(pid) for pid in (node.pid, *node.tree())}
        assert after.keys() == before.keys()
        return [
            f"{pid}: from {before[pid]} to {facts}"
            for pid, facts in after.items()
            if facts[0] > before[pid][0] + 2 or facts[1] > before[pid][1] + 8 * 1024
        ]

    drain(5000)
    if grown():  # connections that were needed for the first time; what leaks goes on
        assert grown() == []


# -- worker factories -------------------------------------------------------------------------------------------------

_FACTORY = """
import logging, sys
from taskscheduler import Scheduler, SchedulerError
from taskscheduler_daemon import QueueNode, WorkerManager
logging.basicConfig(format="%(message)s")

class Factory:
    def build_manager(self):
        return {manager}

    def build_worker(self, id):
        raise AssertionError("no manager, no worker")

try:
    QueueNode(Scheduler(sys.argv[1]), Factory()).process()
except SchedulerError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize(
    ("manager", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("WorkerManager(self, min_children=3)", "option min_children must not be greater than option max_children"),
        ("None", "build_manager must return a WorkerManager"),
    ],
)
def test_a_node_whose_manager_cannot_be_built_ends_and_says_why(uri: str, manager: str, reason: str) -> None:
    script = _FACTORY.format(manager=manager)
    ended = subprocess.run([sys.executable, "-c", script, uri], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count(reason) == 1
    assert ended.stderr.endswith("the worker factory or a job module fails; see the log\n")


@pytest.mark.parametrize("manager", ["os._exit(7)", *rarely("os._exit(0)", "os.abort()", "os.kill(os.getpid(), 9)")])
def test_a_node_whose_managers_end_before_they_are_built_gives_up(uri: str, manager: str) -> None:
    script = f"import os\n{_FACTORY.format(manager=manager)}"
    ended = subprocess.run([sys.executable, "-c", script, uri], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("the worker manager died") == 5
    assert ended.stderr.endswith("build_manager ends its process; see the log\n")


@pytest.mark.parametrize(
    "manager", ["sys.exit(3)", *rarely("sys.exit('no')", "(_ for _ in ()).throw(KeyboardInterrupt)")]
)
def test_a_factory_that_wants_to_leave_builds_no_manager(uri: str, manager: str) -> None:
    script = _FACTORY.format(manager=manager)
    ended = subprocess.run([sys.executable, "-c", script, uri], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith("the worker factory or a job module fails; see the log\n")


def test_a_manager_that_is_asked_to_end_is_replaced(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    """By a job, or by whatever sends signals to single processes: the node was not asked."""
    node, release = start_node(pm="static", min_children=2), tmp_path / "release"
    running = scheduler.add_job("wait", {"until": str(release)})
    eventually(lambda: running.refresh().status is Status.PROCESSING)
    former = node.manager
    os.kill(former, signal.SIGTERM)
    later = [scheduler.add_job("noop") for _ in range(20)]
    release.touch()
    scheduler.wait_for([running, *later], timeout=30)
    assert {process.status for process in (running, *later)} == {Status.DONE}
    assert {process.attempt for process in (running, *later)} == {1}, "nothing was charged, and what ran could finish"
    eventually(lambda: not is_running(former) and node.manager != former)
    assert "the worker manager ended by itself" in node.log.read_text()
    assert node.stop() == 0


def test_a_node_hears_signals_that_its_parent_process_had_blocked(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    """A mask survives fork and exec: such a node could not be stopped, and its jobs could not clean up."""
    blocks = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))"
    node, path = start_node(jobs=["tests.support.hooks"], prelude=blocks, kill_grace=5), tmp_path / "trace"
    process = scheduler.add_job("traced", {"trace": str(path), "wait": True})
    eventually(lambda: ["start", "1"] in traces(path), 20)
    process.cancel()
    eventually(lambda: ["tear_down", "1", "canceled", "None", "none"] in traces(path), 20)
    assert node.stop() == 0


@pytest.mark.parametrize("how", ["of the node, which is open", "closed"])
def test_jobs_that_read_standard_input_find_its_end(uri: str, scheduler: Scheduler, tmp_path: Path, how: str) -> None:
    """They would wait for ever, or take what was meant for others."""
    options = json.dumps({"jobs": ["tests.support.streams"], "pm": "static", "min_children": 1})
    shell = ["sh", "-c", 'exec "$@" <&-' if how == "closed" else 'exec "$@"', "sh"]
    command = [*shell, sys.executable, "-c", support._MAIN, uri, "{}", options]
    reader, writer = os.pipe()
    with (tmp_path / "log").open("w") as log:
        node = subprocess.Popen(command, stdin=reader, stdout=log, stderr=log, cwd=support.ROOT)
    try:
        assert scheduler.add_job("reads_input").result(timeout=20) == ["", "", "", "", "no answer"]
    finally:
        node.terminate()
        assert node.wait(20) == 0
        os.close(reader)
        os.close(writer)


def test_what_is_no_factory_or_scheduler_is_refused(scheduler: Scheduler) -> None:
    class Half:
        def build_manager(self) -> None: ...

    refused: list[tuple[tuple[Any, ...], str]] = [
        ((scheduler, Half), r"must be an object, not a class: give Half\(\)"),
        ((scheduler, Half()), "the worker factory Half has no method build_worker"),
        (("mongodb://host/app",), "a QueueNode needs a Scheduler, not str"),
    ]
    for given, text in refused:
        with pytest.raises(InvalidOptionError, match=text):
            QueueNode(*given)


@pytest.mark.parametrize("event", ["flow_done", "flow-failed", "taskscheduler.onFlowCanceled"])
def test_the_end_of_a_flow_is_not_bound_on_a_node_which_never_tells_it(scheduler: Scheduler, event: str) -> None:
    node = QueueNode(scheduler).on("*", print)
    with pytest.raises(InvalidOptionError, match=f"a node does not tell '{event}': bind its handler with Scheduler.on"):
        node.on(event, print)
