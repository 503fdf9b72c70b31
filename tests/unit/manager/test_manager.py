"""The loop of a manager: what wakes it, what it does when its time has come, how it ends. Nothing is forked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from bson import ObjectId
from tests.unit.manager.fakes import FakeClock, a_run, async_run

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Receiver, Sender
from taskscheduler_daemon.ipc.link import Link, ManagerSettings
from taskscheduler_daemon.ipc.messages import Kind, Report, Run
from taskscheduler_daemon.manager import manager as module
from taskscheduler_daemon.manager import supervisor
from taskscheduler_daemon.manager.manager import ManagerLoop
from taskscheduler_daemon.manager.pool.boot_backoff import MOST_BOOT_FAILURES
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.worker_state import WorkerState
from taskscheduler_daemon.manager.supervisor import BuiltWorker
from taskscheduler_daemon.system.exits import EXIT_BOOT, EXIT_OK, ChildExit
from taskscheduler_daemon.system.signal_pipe import SignalPipe

SETTINGS = ManagerSettings(stop_timeout=10, kill_grace=0.5, progress_limit=0.25, max_payload=4096)


class NoBuilder:
    """Builds nothing: no worker process is ever started."""

    def build_worker(self, id: ObjectId, /) -> BuiltWorker:
        raise AssertionError("not in this process")


class Scene:
    """A manager's loop with its channels and a clock; its node reads and writes the other ends."""

    def __init__(self, **options: object) -> None:
        self.link, self.signals, self.clock = Link(SETTINGS), SignalPipe([]), FakeClock()
        self.loop = ManagerLoop(NoBuilder(), self.clock, PoolOptions.of(options), self.link.manager_end(), self.signals)
        self.pool = self.loop._pool
        self._sender, self._receiver = Sender(self.link.down), Receiver(self.link.up)
        self._pids = iter(range(100_000_000, 100_000_100))  # of no process that could be hit by a signal

    def spawn(self, *_: object, **__: object) -> int:
        return next(self._pids)

    def send(self, *sent: bytes) -> None:
        self._sender.push(*sent)
        assert self._sender.flush()

    def worker(self) -> WorkerState:
        """Starts a worker in name only."""
        self.pool.queues.add(a_run(), self.clock.time)  # which it is started for
        self.loop._supervisor.spawn_missing(self.clock.time)
        self.pool.queues.drain()
        [worker] = self.pool.workers.values()
        self.pool.ready(worker, self.clock.time)
        return worker

    def wait(self, seconds: float) -> None:
        """Lets time pass, and the manager do what it is time for."""
        self.clock.pause(seconds)
        self.loop._keep_times(self.clock.time)

    def received(self, kind: Kind) -> list[bytes]:
        self.loop._node.flush()
        return [message for message in self._receiver.receive() if messages.kind_of(message) == kind]

    def handed_back(self) -> list[bytes]:
        reports = [Report.decode(message) for message in self.received(Kind.REPORT)]
        assert all(report.ending is Ending.UNSTARTED for report in reports)
        return [report.job_id for report in reports]

    def close(self) -> None:
        for handle in self.loop._assigner.handles.values():
            handle.close()
        for selector in (self.loop._selector, self.loop._urgent):
            selector.close()
        self.signals.close()
        self.link.close()


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that would have been killed; 0: all adopted ones."""
    pids: list[int] = []
    monkeypatch.setattr(supervisor, "kill_tree", pids.append)

    def kill_adopted(_known: set[int]) -> bool:
        pids.append(0)
        return False

    monkeypatch.setattr(supervisor, "kill_adopted", kill_adopted)
    return pids


@pytest.fixture
def scene(killed: list[int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene(min_children=0, max_children=1)
    monkeypatch.setattr(supervisor, "spawn", scene.spawn)
    yield scene
    scene.close()


# -- its end ----------------------------------------------------------------------------------------------------------


def test_a_manager_introduces_itself_serves_until_it_is_stopped_and_says_so(scene: Scene, killed: list[int]) -> None:
    scene.send(messages.timed(Kind.STOP, 10.0))
    assert scene.loop.run() == EXIT_OK
    sent = scene._receiver.receive()
    assert [messages.kind_of(message) for message in sent] == [Kind.POOL, Kind.STOPPED]
    facts = {"slots": 1, "async_jobs": 100, "forced": 16, "pm": "dynamic", "ready": True}
    assert messages.facts_of(sent[0]) == facts
    assert killed == [0], "whatever is left"


def test_sigterm_stops_a_manager_within_the_stop_timeout(scene: Scene) -> None:
    scene.pool.began(scene.worker(), a_run(), scene.clock.time)
    scene.signals.send(signal.SIGTERM)
    scene.loop._handle_signals()
    assert scene.pool.stopping
    assert scene.loop._commands.next_event(holds=True) == scene.clock.time + SETTINGS.stop_timeout


def test_a_manager_that_cannot_build_workers_gives_up(scene: Scene) -> None:
    for _ in range(MOST_BOOT_FAILURES):
        scene.pool.boot_backoff.failed(scene.clock.time)
    scene.signals.wake()  # so that the loop does not wait
    assert scene.loop.run() == EXIT_BOOT
    assert [messages.kind_of(message) for message in scene._receiver.receive()] == [Kind.POOL, Kind.BROKEN]


def test_when_the_node_is_dead_everything_is_killed_at_once(
    scene: Scene, killed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    worker = scene.worker()
    os.close(scene.link._held)
    scene.link._held = os.dup(scene.link._lifeline)  # for the end of the test
    for key, _ in scene.loop._selector.select(0):
        key.data()
    assert (killed, codes) == ([worker.pid, 0], [EXIT_OK])


def test_children_that_ended_are_reaped_at_a_signal(
    scene: Scene, killed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = scene.worker()
    monkeypatch.setattr(module, "reap", lambda: [ChildExit(worker.pid, 0, None, 0), ChildExit(1, 0, None, 0)])
    scene.loop._handle_signals()
    assert not scene.pool.workers
    assert killed == [0], "orphans of its jobs"


# -- what it is time for ----------------------------------------------------------------------------------------------


def test_commands_of_the_node_are_carried_out(scene: Scene) -> None:
    run = a_run()
    scene.send(run.encode())
    for key, _ in scene.loop._selector.select(0):
        key.data()
    assert [entry.run for entry in scene.pool.queues.ordinary] == [run]


def test_each_second_the_node_gets_the_inventory_as_long_as_there_is_one(scene: Scene) -> None:
    scene.wait(5)
    assert scene.received(Kind.HELD) == []
    worker, run = scene.worker(), a_run()
    scene.pool.began(worker, run, scene.clock.time)
    assert scene.loop._next_event(scene.clock.time) <= scene.clock.time
    for seconds in (0.0, 0.9, 0.1):
        scene.wait(seconds)
    entries = [entry for message in scene.received(Kind.HELD) for entry in messages.held_entries(message)]
    assert {(entry.job_id, entry.worker) for entry in entries} == {(ObjectId(run.job_id), ObjectId(worker.id))}
    assert [entry.began for entry in entries] == [worker.since] * 2


def begin(scene: Scene, run: Run) -> WorkerState:
    """Has the only worker run this."""
    worker = scene.worker()
    scene.pool.began(worker, run, scene.clock.time)
    return worker


def test_work_behind_a_long_job_goes_back_to_the_node(scene: Scene) -> None:
    worker, ahead, waiting = begin(scene, a_run()), a_run(), a_run()
    assert scene.loop._assigner.handles[worker.pid].assign(ahead)
    scene.pool.began(worker, ahead, scene.clock.time)
    scene.pool.queues.add(waiting, scene.clock.time)
    scene.wait(0.1)
    assert scene.handed_back() == []
    scene.wait(0.1)
    assert scene.handed_back() == [ahead.job_id, waiting.job_id]
    assert len(worker.runs) == 1


def test_async_runs_that_no_event_loop_has_room_for_go_back_to_the_node(scene: Scene) -> None:
    begin(scene, a_run())
    waiting = async_run()
    scene.pool.queues.add(waiting, scene.clock.time)
    scene.wait(0.1)
    assert scene.handed_back() == []
    scene.wait(0.1)
    assert scene.handed_back() == [waiting.job_id]


def test_a_surplus_worker_is_dismissed_when_its_time_is_over(scene: Scene) -> None:
    worker = scene.worker()
    assert scene.loop._next_event(scene.clock.time) == scene.clock.time + scene.pool.options.idle_ttl
    scene.wait(scene.pool.options.idle_ttl)
    assert worker.leaving


def test_a_job_that_times_out_is_terminated(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("taskscheduler_daemon.manager.timeouts.signal_group", lambda *given: sent.append(given))
    worker = begin(scene, a_run(timeout=2))
    assert scene.loop._next_event(scene.clock.time + 0.5) <= scene.clock.time + 2
    scene.wait(2)
    assert sent == [(worker.pid, signal.SIGTERM)]


def test_the_lease_ends_all_jobs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []
    monkeypatch.setattr("taskscheduler_daemon.manager.commands.kill_tree", pids.append)
    worker = begin(scene, a_run())
    scene.send(messages.timed(Kind.LEASE, scene.clock.time + 5))
    scene.loop._handle_commands()
    scene.wait(5)
    assert pids == [worker.pid]
