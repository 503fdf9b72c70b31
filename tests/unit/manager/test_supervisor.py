"""How workers are started, and what is reported of those that have ended. Nothing is forked."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from bson import ObjectId
from tests.unit.manager.fakes import FOREVER, FakeClock, FakeNode, Scenario, a_run, async_run, report_of

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages, packets
from taskscheduler_daemon.ipc.begun_page import BegunPage
from taskscheduler_daemon.ipc.link import ManagerSettings
from taskscheduler_daemon.ipc.messages import Flag
from taskscheduler_daemon.ipc.output_pipes import WorkerPipes, receive_pipes
from taskscheduler_daemon.ipc.worker_reports import ReportReader
from taskscheduler_daemon.manager import supervisor as module
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.manager.supervisor import BuiltWorker, WorkerSupervisor
from taskscheduler_daemon.manager.worker_messages import WorkerMessages
from taskscheduler_daemon.system.exits import ChildExit
from taskscheduler_daemon.system.spawn import ForkError

SETTINGS = ManagerSettings(stop_timeout=10, kill_grace=0.5, progress_limit=0.25, max_payload=4096, keep_children=True)

READER = ReportReader(4096)


class FakeWorker:
    """Keeps what its process was given."""

    given: tuple[object, ...] = ()

    def process_all(self, *given: object) -> int:
        self.given = given
        return 7


class FakeBuilder:
    """Builds stand-ins for workers."""

    def __init__(self) -> None:
        self.built: list[tuple[ObjectId, FakeWorker]] = []

    def build_worker(self, id: ObjectId, /) -> BuiltWorker:
        self.built.append((id, FakeWorker()))
        return self.built[-1][1]


class Scene(Scenario):
    """A supervisor whose workers are started in name only."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.node, self.assigner, self.builder = FakeNode(), Assigner(self.pool), FakeBuilder()
        self.selector = selectors.DefaultSelector()
        attempts = AsyncAttempts(self.assigner, self.node, 0.5)
        received = WorkerMessages(self.pool, self.assigner, attempts, self.node, READER, FakeClock(self.now))
        self.read, self.outputs = socket.socketpair(socket.AF_UNIX, packets.KIND)
        link: Any = SimpleNamespace(settings=SETTINGS, begun=BegunPage(1000), outputs=self.outputs)
        self.supervisor = WorkerSupervisor(
            self.pool, self.assigner, received, self.node, self.builder, link, self.selector
        )
        self.mains: list[Callable[[], int]] = []
        self.refuses = False

    def fork(self, main: Callable[[], int], **_: object) -> int:
        if self.refuses:
            raise ForkError("no more processes")
        self.mains.append(main)
        return next(self._pids)

    def start(self) -> WorkerState:
        self.supervisor.spawn_missing(self.now)
        [worker] = self.pool.workers.values()
        self.pool.ready(worker, self.now)
        return worker

    def exited(self, worker: WorkerState, code: int | None = None) -> None:
        if worker.running is not None:
            self.assigner.handles[worker.pid].page.begin(worker.running.job_id, worker.running.attempt)
        number = 9 if code is None else None
        self.supervisor.exited(ChildExit(worker.pid, code, number, 2048), self.now + 2)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene()
    monkeypatch.setattr(module, "spawn", scene.fork)
    yield scene
    for handle in scene.assigner.handles.values():
        handle.close()
    scene.selector.close()
    scene.read.close()
    scene.outputs.close()


# -- start ------------------------------------------------------------------------------------------------------------


def test_a_worker_is_built_in_its_process_and_gets_its_socket_its_page_and_the_settings(scene: Scene) -> None:
    worker = scene.start()
    assert scene.builder.built == []
    assert scene.mains[0]() == 7
    [(worker_id, built)] = scene.builder.built
    handle = scene.assigner.handles[worker.pid]
    assert worker_id.binary == worker.id
    *given, pipes = built.given
    assert tuple(given) == (handle.worker_end, handle.page, 0.25, 4096, SETTINGS.limits, True)
    assert isinstance(pipes, WorkerPipes)
    received = receive_pipes(scene.read)
    assert received is not None
    assert received.worker == worker.id
    received.page.close()
    for reader in received.readers:
        os.close(reader)


def test_each_start_is_reported_and_the_socket_of_the_worker_is_watched(scene: Scene) -> None:
    worker = scene.start()
    assert scene.node.worker_events == [
        {"event": "worker_spawn", "worker": ObjectId(worker.id), "pid": worker.pid},
    ]
    worker.ready = False
    handle = scene.assigner.handles[worker.pid]
    assert packets.send(handle.worker_end, messages.ready(0.25, ["Mail"]))
    for key, _ in scene.selector.select(0):
        key.data()
    assert worker.ready


def test_a_start_that_the_system_refuses_is_logged_and_tried_again_later(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.refuses = True
    scene.supervisor.spawn_missing(scene.now)
    assert "cannot start a worker" in caplog.text
    assert not scene.pool.workers
    scene.refuses = False
    scene.supervisor.spawn_missing(scene.now + 0.5)
    assert not scene.pool.workers
    scene.supervisor.spawn_missing(scene.now + 1)
    assert len(scene.pool.workers) == 1


def test_a_worker_for_a_forced_job_is_started_beside_the_others(scene: Scene) -> None:
    scene.accept(a_run(flags=Flag.FORCED))
    scene.supervisor.spawn_missing(scene.now)
    assert [worker.forced for worker in scene.pool.workers.values()] == [False, True]


# -- end --------------------------------------------------------------------------------------------------------------


def test_a_worker_that_died_loses_its_job_and_leaves_the_others(scene: Scene) -> None:
    worker = scene.start()
    [running] = scene.loaded(worker, 1)
    unread = a_run()
    assert scene.assigner.handles[worker.pid].assign(unread)
    scene.pool.began(worker, unread, scene.now)
    scene.exited(worker)
    [report] = scene.node.reports
    assert (report.ending, report.job_id, report.seconds) == (Ending.LOST, running.job_id, 2.0)
    assert report.worker == worker.id
    assert [entry.run for entry in scene.pool.queues.ordinary] == [unread]


def test_what_a_worker_reported_last_counts(scene: Scene) -> None:
    worker = scene.start()
    [running] = scene.loaded(worker, 1)
    assert packets.send(scene.assigner.handles[worker.pid].worker_end, report_of(worker, running).encode())
    scene.exited(worker)
    assert scene.node.endings == [(Ending.SUCCEEDED, running.job_id)]


def test_all_traces_of_a_worker_that_ended_are_removed(scene: Scene) -> None:
    worker = scene.start()
    handle = scene.assigner.handles[worker.pid]
    scene.exited(worker, code=3)
    assert (scene.pool.workers, scene.assigner.handles, len(scene.selector.get_map())) == ({}, {}, 0)
    assert handle.manager_end.fileno() == handle.worker_end.fileno() == -1
    assert scene.node.worker_events[-1] == {
        "event": "worker_kill",
        "worker": ObjectId(worker.id),
        "pid": worker.pid,
        "exit": "exited with code 3",
    }


def test_a_cancelled_exclusive_job_is_released_when_its_worker_is_gone(scene: Scene) -> None:
    worker, run = scene.start(), a_run(flags=Flag.EXCLUSIVE)
    scene.pool.began(worker, run, scene.now)
    worker.kill_reason = KillReason.CANCELED
    scene.exited(worker)
    assert (scene.node.reports, scene.node.gone) == ([], [run.job_id])


def test_a_cancelled_async_job_that_was_not_read_does_not_begin_in_another_worker(scene: Scene) -> None:
    """An event loop that another job blocks reads nothing until its worker is killed."""
    worker = scene.start()
    canceled, other = async_run(), async_run()
    for run in (canceled, other):
        assert scene.assigner.handles[worker.pid].assign(run)
        scene.pool.began(worker, run, scene.now)
    worker.async_runs[canceled.job_id].kill_reason = KillReason.CANCELED
    scene.exited(worker)
    assert [entry.run for entry in scene.pool.queues.asynchronous.waiting] == [other]
    assert (scene.node.left, scene.node.reports) == ([canceled], [])


def test_a_pool_that_stops_hands_back_what_a_dead_worker_had_not_begun(scene: Scene) -> None:
    worker = scene.start()
    _, ahead = scene.loaded(worker, 2)
    scene.pool.stopping = True
    scene.exited(worker)
    assert scene.node.endings[1:] == [(Ending.UNSTARTED, ahead.job_id)]
    assert not scene.pool.queues.has_runs()


def test_the_end_of_an_adopted_orphan_is_not_reported(scene: Scene) -> None:
    scene.start()
    sent = len(scene.node.sent)
    scene.supervisor.exited(ChildExit(1, 0, None, 0), scene.now)
    assert len(scene.node.sent) == sent
    assert len(scene.pool.workers) == 1


def test_orphans_are_looked_for_again_until_none_is_left(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = scene.start()
    known: list[set[int]] = []
    answers = iter([True, False])

    def kill_adopted(pids: set[int]) -> bool:
        known.append(pids)
        return next(answers)

    monkeypatch.setattr(module, "kill_adopted", kill_adopted)
    scene.supervisor.kill_adopted_orphans(scene.now)
    assert scene.supervisor.orphans_at == pytest.approx(scene.now + 0.1)
    scene.supervisor.kill_adopted_orphans(scene.now + 0.1)
    assert scene.supervisor.orphans_at == FOREVER
    assert known == [{worker.pid}, {worker.pid}]


def test_all_workers_are_killed_with_everything_below_them(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = scene.start()
    killed: list[int] = []
    monkeypatch.setattr(module, "kill_tree", killed.append)
    monkeypatch.setattr(module, "kill_adopted", lambda known: killed.append(os.getpid() if known else 0))
    scene.supervisor.kill_all()
    assert killed == [worker.pid, 0]
