"""What a manager does when its node commands it, and when the node's lease is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bson import ObjectId
from tests.unit.manager.fakes import (
    FOREVER,
    FakeAssigner,
    FakeClock,
    FakeNode,
    Scenario,
    a_run,
    async_run,
    forced_run,
    handles,
    unread,
)

from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Flag, Kind, Run
from taskscheduler_daemon.ipc.worker_reports import ReportReader
from taskscheduler_daemon.manager import commands as module
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.commands import NodeCommands
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.manager.stacks import StackRequests
from taskscheduler_daemon.manager.timeouts import Timeouts
from taskscheduler_daemon.manager.worker_messages import WorkerMessages

READER = ReportReader(4096)


class FakeTimeouts(Timeouts):
    """Keeps which workers are terminated, after what they had not read was recalled."""

    def __init__(self, scene: Scene, attempts: AsyncAttempts) -> None:
        received = WorkerMessages(scene.pool, scene.assigner, attempts, scene.node, READER, FakeClock(scene.now))
        super().__init__(scene.pool, scene.assigner, received, attempts, scene.node, 0.5)
        self.terminated: list[tuple[WorkerState, KillReason]] = []

    def _interrupt(self, worker: WorkerState, reason: KillReason, now: float) -> None:
        worker.kill_reason = reason
        self.terminated.append((worker, reason))


class Scene(Scenario):
    """The commands of a node, and one worker."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.node, self.assigner = FakeNode(), FakeAssigner(self.pool)
        attempts = AsyncAttempts(self.assigner, self.node, 0.5)
        self.timeouts = FakeTimeouts(self, attempts)
        self.commands = NodeCommands(
            self.pool,
            self.assigner,
            self.timeouts,
            attempts,
            StackRequests(self.pool, self.assigner, self.node),
            self.node,
        )
        [self.worker] = self.boot()

    def receive(self, *received: bytes) -> None:
        self.commands.handle(list(received), self.now)

    def assigned(self, *runs: Run) -> list[Run]:
        """Runs in the socket of the worker, unread."""
        for run in runs:
            assert self.assigner.handles[self.worker.pid].assign(run)
            self.pool.began(self.worker, run, self.now)
        return list(runs)


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    with handles(scene.assigner, scene.worker):
        yield scene


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    pids: list[int] = []
    monkeypatch.setattr(module, "kill_tree", pids.append)
    return pids


def test_runs_are_accepted_in_their_order(scene: Scene) -> None:
    runs = [a_run(), a_run()]
    scene.receive(*(run.encode() for run in runs))
    assert [entry.run for entry in scene.pool.queues.ordinary] == runs


def test_a_run_that_comes_when_the_pool_stops_is_handed_back(scene: Scene) -> None:
    run = a_run()
    scene.receive(messages.timed(Kind.STOP, 5.0), run.encode())
    assert scene.node.endings == [(Ending.UNSTARTED, run.job_id)]
    assert not scene.pool.queues.has_runs()


def test_each_lease_tells_the_node_how_many_jobs_can_run_here(scene: Scene) -> None:
    scene.receive(messages.timed(Kind.LEASE, scene.now + 30))
    [notice] = scene.node.of_kind(Kind.POOL)
    facts = {"slots": 2, "async_jobs": 100, "forced": 16, "pm": "dynamic", "ready": True}
    assert messages.facts_of(notice) == facts


@pytest.mark.parametrize(("sign", "terminated"), [(0.0, 1), (1002.0, 0)])
def test_the_answer_about_children_decides_about_a_silent_job(scene: Scene, sign: float, terminated: int) -> None:
    [run] = scene.assigned(a_run(silence=3))
    scene.assigner.handles[scene.worker.pid].recall()  # it has begun
    scene.now += 3.5
    scene.receive(messages.alive(run.job_id, run.attempt, sign))
    assert len(scene.timeouts.terminated) == terminated


def test_workers_are_dismissed_to_be_recycled(scene: Scene) -> None:
    scene.receive(messages.timed(Kind.RECYCLE, 0.0))
    assert scene.worker.leaving


# -- cancel -----------------------------------------------------------------------------------------------------------


def cancel(scene: Scene, run: Run) -> None:
    scene.receive(messages.cancel([ObjectId(run.job_id)]))


@pytest.mark.parametrize("run", [a_run(flags=Flag.EXCLUSIVE), forced_run(), async_run()])
def test_a_waiting_job_that_is_cancelled_never_runs(scene: Scene, run: Run) -> None:
    scene.accept(run)
    cancel(scene, run)
    assert not scene.pool.queues.has_runs()
    assert scene.node.left == [run]
    assert scene.node.gone == ([run.job_id] if run.flags & Flag.EXCLUSIVE else [])


def test_a_cancelled_job_that_its_worker_has_not_read_yet_never_runs(scene: Scene) -> None:
    [run] = scene.assigned(a_run())
    cancel(scene, run)
    assert scene.node.left == [run]
    assert scene.node.reports == []
    assert list(scene.worker.runs) == []
    assert not scene.pool.queues.has_runs()
    assert scene.timeouts.terminated == []


def test_a_cancelled_job_behind_the_running_one_is_recalled_and_the_others_wait_again(scene: Scene) -> None:
    [running] = scene.loaded(scene.worker, 1)
    canceled, other = scene.assigned(a_run(), a_run())
    cancel(scene, canceled)
    assert scene.node.left == [canceled]
    assert list(scene.worker.runs) == [running]
    assert [entry.run for entry in scene.pool.queues.ordinary] == [other]
    assert scene.timeouts.terminated == []


def test_a_running_job_that_is_cancelled_is_terminated_and_the_runs_behind_it_wait_again(scene: Scene) -> None:
    [running] = scene.loaded(scene.worker, 1)
    [ahead] = scene.assigned(a_run())
    cancel(scene, running)
    assert scene.timeouts.terminated == [(scene.worker, KillReason.CANCELED)]
    assert [entry.run for entry in scene.pool.queues.ordinary] == [ahead]
    assert scene.node.left == []


def test_a_worker_that_calls_the_notification_of_a_cancelled_job_is_not_terminated(scene: Scene) -> None:
    hook, again = a_run(flags=Flag.HOOK), a_run(attempt=2)
    again = again._replace(job_id=hook.job_id)
    scene.pool.began(scene.worker, hook, scene.now)
    scene.assigned(again)
    cancel(scene, again)
    assert scene.node.left == [again]
    assert list(scene.worker.runs) == [hook]
    assert scene.timeouts.terminated == []


def test_a_cancelled_async_job_is_interrupted_alone(scene: Scene) -> None:
    canceled, other = async_run(), async_run()
    for run in (canceled, other):
        scene.pool.began(scene.worker, run, scene.now)
    cancel(scene, canceled)
    assert scene.assigner.interrupts == [(canceled.job_id, Status.CANCELED)]
    assert scene.timeouts.terminated == []


def test_an_unknown_job_is_not_cancelled(scene: Scene) -> None:
    [running] = scene.loaded(scene.worker, 1)
    cancel(scene, a_run())
    assert (scene.node.sent, list(scene.worker.runs)) == ([], [running])
    assert scene.timeouts.terminated == []


# -- stop -------------------------------------------------------------------------------------------------------------


def test_a_stop_hands_back_what_has_not_begun_and_lets_the_rest_finish(scene: Scene) -> None:
    [running] = scene.loaded(scene.worker, 1)
    [ahead] = scene.assigned(a_run())
    waiting = a_run()
    scene.accept(waiting)
    scene.receive(messages.timed(Kind.STOP, 10.0))
    assert scene.node.endings == [(Ending.UNSTARTED, ahead.job_id), (Ending.UNSTARTED, waiting.job_id)]
    assert list(scene.worker.runs) == [running]
    assert scene.worker.leaving
    assert scene.timeouts.terminated == []


def test_when_the_stop_timeout_is_over_everything_is_terminated_once(scene: Scene) -> None:
    scene.loaded(scene.worker, 1)
    scene.commands.stop(10.0, scene.now)
    assert scene.commands.next_event(scene.pool.holds()) == scene.now + 10
    scene.commands.enforce(scene.now + 9.9)
    assert scene.timeouts.terminated == []
    scene.commands.enforce(scene.now + 10)
    assert scene.timeouts.terminated == [(scene.worker, KillReason.RETURNED)]
    assert scene.commands.next_event(scene.pool.holds()) == FOREVER


def test_a_second_stop_may_shorten_the_time_but_not_prolong_it(scene: Scene) -> None:
    scene.commands.stop(10.0, scene.now)
    scene.commands.stop(20.0, scene.now + 1)
    assert scene.commands.next_event(scene.pool.holds()) == scene.now + 10
    scene.commands.stop(0.0, scene.now + 2)
    assert scene.commands.next_event(scene.pool.holds()) == scene.now + 2


def test_a_service_is_stopped_at_once(scene: Scene) -> None:
    scene.pool.began(scene.worker, a_run(flags=Flag.SERVICE), scene.now)
    scene.commands.stop(10.0, scene.now)
    assert scene.timeouts.terminated == [(scene.worker, KillReason.RETURNED)]


# -- the lease --------------------------------------------------------------------------------------------------------


def test_when_the_lease_is_over_all_jobs_are_killed_or_handed_back(
    scene: Scene, killed: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    scene.receive(messages.timed(Kind.LEASE, scene.now + 5))
    scene.loaded(scene.worker, 1)
    [ahead] = scene.assigned(a_run())
    waiting = a_run()
    scene.accept(waiting)
    assert scene.commands.next_event(scene.pool.holds()) == scene.now + 5
    scene.commands.enforce(scene.now + 4.9)
    assert (killed, scene.node.endings) == ([], [])
    for _ in range(3):
        scene.commands.enforce(scene.now + 5)
    assert killed == [scene.worker.pid] * 3
    assert scene.worker.kill_reason is KillReason.LEASE_ENDED, "its job is not charged"
    assert scene.node.endings == [(Ending.UNSTARTED, waiting.job_id), (Ending.UNSTARTED, ahead.job_id)]
    assert [record.getMessage() for record in caplog.records] == ["lease not renewed in time; killing all jobs"]


def test_a_job_that_had_to_end_anyway_keeps_its_reason_when_the_lease_is_over(scene: Scene, killed: list[int]) -> None:
    scene.receive(messages.timed(Kind.LEASE, scene.now + 5))
    scene.loaded(scene.worker, 1)
    scene.worker.kill_reason = KillReason.TIMED_OUT
    scene.commands.enforce(scene.now + 5)
    assert (killed, scene.worker.kill_reason) == ([scene.worker.pid], KillReason.TIMED_OUT)


def test_an_idle_worker_outlives_the_lease(scene: Scene, killed: list[int]) -> None:
    scene.receive(messages.timed(Kind.LEASE, scene.now + 5))
    assert scene.commands.next_event(scene.pool.holds()) == FOREVER
    scene.commands.enforce(scene.now + 50)
    assert (killed, scene.worker.leaving) == ([], False)


def test_a_renewed_lease_counts(scene: Scene, killed: list[int]) -> None:
    scene.loaded(scene.worker, 1)
    scene.receive(*(messages.timed(Kind.LEASE, scene.now + seconds) for seconds in (5, 10)))
    scene.commands.enforce(scene.now + 9.9)
    assert killed == []
    scene.commands.enforce(scene.now + 10)
    assert killed == [scene.worker.pid]


def test_recycling_closes_the_socket_of_an_idle_worker(scene: Scene) -> None:
    scene.receive(messages.timed(Kind.RECYCLE, 0.0))
    assert unread(scene.assigner.handles[scene.worker.pid]) == [b""]
