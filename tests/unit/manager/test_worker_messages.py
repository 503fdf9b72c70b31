"""What a manager does with the messages of its workers."""

from __future__ import annotations

from collections.abc import Iterator

import bson
import pytest
from tests.unit.manager.fakes import (
    FOREVER,
    FakeClock,
    FakeNode,
    Scenario,
    a_run,
    async_run,
    handles,
    report_of,
    unread,
)

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Flag, Kind, Report, Run
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.manager.worker_handle import WorkerHandle
from taskscheduler_daemon.manager.worker_messages import WorkerMessages

LIMIT = 60.0


class Scene(Scenario):
    """One worker with a socket, and the messages that it sends."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.node, self.clock = FakeNode(), FakeClock(self.now)
        self.assigner = Assigner(self.pool)
        attempts = AsyncAttempts(self.assigner, self.node, 0.5)
        self.messages = WorkerMessages(self.pool, self.assigner, attempts, self.node, LIMIT, self.clock)
        [self.worker] = self.spawn()
        self.handle: WorkerHandle

    def begin(self, run: Run) -> Run:
        self.pool.began(self.worker, run, self.now)
        return run

    def receive(self, *messages: bytes) -> None:
        for message in messages:
            assert packets.send(self.handle.worker_end, message)
        self.messages.read(self.worker)

    def progress(self, run: Run, body: bytes) -> bytes:
        return Report(Kind.PROGRESS, Ending.SUCCEEDED, run.job_id, 1, self.worker.id, 0.0, body).encode()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    with handles(scene.assigner, scene.worker) as [scene.handle]:
        yield scene


def test_a_worker_that_has_ended_in_the_same_moment_says_nothing_more() -> None:
    """One look at what is ready may tell of the death of a child first, and then that its socket can be read."""
    scene = Scene()
    scene.messages.read(WorkerState(b"worker", 1234, single=False, forced=False))
    assert scene.node.sent == []


def test_a_worker_is_ready_when_it_says_so(scene: Scene) -> None:
    assert scene.worker.born == 0
    scene.receive(bytes([Kind.READY]))
    assert scene.worker.ready
    assert scene.worker.born == scene.now


def test_an_empty_sign_of_life_is_not_passed_on(scene: Scene) -> None:
    run = scene.begin(async_run(silence=1.0))
    scene.clock.time += 5
    scene.receive(scene.progress(run, b""), scene.progress(run, b"news"))
    assert [Report.decode(message).body for message in scene.node.sent] == [b"news"]
    assert scene.worker.async_runs[run.job_id].alive_at == scene.now + 5


def values(scene: Scene) -> list[float]:
    """The progress that was passed on to the node."""
    return [report.content()["progress"] for report in map(Report.decode, scene.node.of_kind(Kind.PROGRESS))]


def leave(scene: Scene, value: float) -> None:
    scene.handle.page.write(bson.encode({"progress": value}))


def test_after_the_first_progress_the_page_is_read_once_per_limit(scene: Scene) -> None:
    run = scene.begin(a_run())
    assert scene.messages.read_pages_at == FOREVER
    leave(scene, 1.0)
    scene.receive(scene.progress(run, b""))
    assert scene.messages.read_pages_at == scene.now + LIMIT
    leave(scene, 2.0)
    scene.messages.read_pages(scene.now + LIMIT)
    scene.messages.read_pages(scene.now + 2 * LIMIT)
    [_, left] = [Report.decode(message) for message in scene.node.sent]
    assert (left.job_id, left.content()) == (run.job_id, {"progress": 2.0})
    assert scene.messages.read_pages_at == scene.now + 3 * LIMIT
    scene.receive(report_of(scene.worker, run).encode())
    scene.messages.read_pages(scene.now + 3 * LIMIT)
    assert scene.messages.read_pages_at == FOREVER


def test_progress_that_was_read_before_its_message_arrived_is_passed_on_once_and_never_goes_back(scene: Scene) -> None:
    run = scene.begin(a_run())
    leave(scene, 1.0)
    scene.receive(scene.progress(run, b""))
    leave(scene, 2.0)
    assert packets.send(scene.handle.worker_end, scene.progress(run, b""))
    leave(scene, 3.0)
    scene.clock.time += LIMIT
    scene.messages.read_pages(scene.clock.time)
    scene.messages.read(scene.worker)
    assert values(scene) == [1.0, 3.0]


def test_messages_within_the_limit_are_no_reason_for_another_write(scene: Scene) -> None:
    run = scene.begin(a_run())
    for value in (1.0, 2.0, 3.0):
        leave(scene, value)
        scene.receive(scene.progress(run, b""))
        scene.clock.time += LIMIT / 10
    assert values(scene) == [1.0]
    assert scene.messages.read_pages_at == scene.now + LIMIT
    scene.messages.read_pages(scene.now + LIMIT)
    assert values(scene) == [1.0, 3.0]


def test_each_run_is_read_at_its_first_message_whatever_the_one_before_did(scene: Scene) -> None:
    for value in (1.0, 2.0):
        run = scene.begin(a_run())
        leave(scene, value)
        scene.receive(scene.progress(run, b""))
        scene.receive(report_of(scene.worker, run).encode())
    assert values(scene) == [1.0, 2.0]


def test_progress_without_a_limit_is_passed_on_message_by_message(scene: Scene) -> None:
    run = scene.begin(a_run())
    scene.receive(*(scene.progress(run, bson.encode({"progress": value})) for value in (1.0, 2.0, 3.0)))
    assert values(scene) == [1.0, 2.0, 3.0]
    assert scene.messages.read_pages_at == FOREVER


def test_the_end_of_a_run_is_passed_on_and_an_exclusive_one_is_released(scene: Scene) -> None:
    run = scene.begin(a_run(flags=Flag.EXCLUSIVE))
    scene.receive(report_of(scene.worker, run).encode())
    assert scene.node.endings == [(Ending.SUCCEEDED, run.job_id)]
    assert scene.node.gone == [run.job_id]
    assert scene.worker.running is None


def test_a_report_of_a_run_that_the_worker_was_not_given_is_logged_only(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    run = scene.begin(a_run())
    scene.receive(report_of(scene.worker, a_run()).encode())
    assert "an attempt that it was not running" in caplog.text
    assert (scene.node.sent, scene.worker.running) == ([], run)


def test_a_leaving_worker_is_released_after_its_last_job(scene: Scene) -> None:
    run = scene.begin(a_run())
    scene.worker.leaving = True
    scene.receive(report_of(scene.worker, run).encode())
    assert unread(scene.handle) == [b""]


def test_the_end_of_a_service_that_was_asked_to_stop_is_not_passed_on(scene: Scene) -> None:
    """Its kill reason is reported when its worker has ended."""
    run = scene.begin(a_run(flags=Flag.SERVICE))
    scene.worker.kill_reason = KillReason.CANCELED
    scene.receive(report_of(scene.worker, run).encode())
    assert scene.node.sent == []
    assert unread(scene.handle) == [b""]
