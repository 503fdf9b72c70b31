"""How jobs and workers are ended whose time is over. Signals are noted, not sent."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.manager.fakes import (
    FOREVER,
    FakeAssigner,
    FakeClock,
    FakeNode,
    Scenario,
    a_run,
    async_run,
    handles,
    report_of,
)

from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc import messages, packets
from taskscheduler_daemon.ipc.messages import Flag, Kind, Run
from taskscheduler_daemon.ipc.worker_reports import ReportReader
from taskscheduler_daemon.manager import timeouts as module
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.worker_state import KillReason
from taskscheduler_daemon.manager.timeouts import Timeouts
from taskscheduler_daemon.manager.worker_handle import WorkerHandle
from taskscheduler_daemon.manager.worker_messages import WorkerMessages

GRACE = 0.5

READER = ReportReader(4096)


class Scene(Scenario):
    """One worker with a socket and a page, and the signals that it would get."""

    def __init__(self) -> None:
        super().__init__()
        self.node, self.assigner = FakeNode(), FakeAssigner(self.pool)
        attempts = AsyncAttempts(self.assigner, self.node, GRACE)
        received = WorkerMessages(self.pool, self.assigner, attempts, self.node, READER, FakeClock(self.now))
        self.timeouts = Timeouts(self.pool, self.assigner, received, attempts, self.node, GRACE)
        [self.worker] = self.boot()
        self.handle: WorkerHandle
        self.signals: list[tuple[str, int]] = []

    def begin(self, run: Run) -> Run:
        self.pool.began(self.worker, run, self.now)
        return run

    def answer(self, sign: float, seconds: float) -> None:
        """The node answers that a child gave a sign of life so many seconds after the start; 0: none did."""
        run = self.worker.running
        assert run is not None
        at = self.now + sign if sign else 0.0
        self.timeouts.children_alive(run.job_id, run.attempt, at, self.now + seconds)

    def enforce(self, seconds: float) -> None:
        self.timeouts.enforce(self.now + seconds)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    scene = Scene()

    def note(kind: str) -> Any:
        return lambda pid, number=signal.SIGKILL: scene.signals.append((kind, number))

    for name in ("kill", "kill_tree", "signal_group"):
        monkeypatch.setattr(module, name, note(name))
    with handles(scene.assigner, scene.worker) as [scene.handle]:
        yield scene


def test_a_job_that_runs_too_long_gets_sigterm_and_its_worker_sigkill_after_the_grace_time(scene: Scene) -> None:
    scene.begin(a_run(timeout=2))
    scene.enforce(1.9)
    assert scene.signals == []
    scene.enforce(2.0)
    assert scene.signals == [("signal_group", signal.SIGTERM)]
    assert Status(scene.handle.page.kill_status) is Status.TIMEOUT
    scene.enforce(2.0 + GRACE)
    assert scene.signals[1:] == [("kill_tree", signal.SIGKILL)]
    scene.enforce(2.0 + GRACE + 0.9)
    assert len(scene.signals) == 2
    scene.enforce(2.0 + GRACE + 1.0)
    assert len(scene.signals) == 3, "it is still there, so it is killed again"


def test_a_sign_of_life_in_the_page_puts_the_silence_off(scene: Scene) -> None:
    scene.begin(a_run(flags=Flag.WATCHED, silence=3))
    scene.handle.page.touch(scene.now + 2)
    scene.enforce(4.0)
    assert scene.signals == []
    scene.enforce(5.0)
    scene.answer(0.0, 5.0)
    assert scene.worker.kill_reason is KillReason.SILENT
    assert scene.signals == [("signal_group", signal.SIGTERM)]


def test_the_node_is_asked_for_signs_of_life_of_children_until_it_answers(scene: Scene) -> None:
    run = scene.begin(a_run(flags=Flag.WATCHED, silence=3))
    for seconds in (3.0, 3.9, 4.0):
        scene.enforce(seconds)
    assert list(map(messages.attempt_of, scene.node.of_kind(Kind.SILENT))) == [(run.job_id, 1)] * 2
    assert scene.pool.next_event(scene.now) == scene.now + 5.0
    scene.answer(2.5, 4.2)
    scene.enforce(5.4)
    assert (scene.signals, scene.worker.kill_reason) == ([], None), "a child was heard 2.5 s after the start"
    scene.enforce(5.5)
    scene.answer(2.5, 5.6)
    assert scene.worker.kill_reason is KillReason.SILENT


def test_a_job_that_gives_a_sign_itself_while_the_node_is_asked_goes_on(scene: Scene) -> None:
    scene.begin(a_run(flags=Flag.WATCHED, silence=3))
    scene.enforce(3.0)
    scene.handle.page.touch(scene.now + 3.1)
    scene.answer(0.0, 3.2)
    assert scene.worker.kill_reason is None
    assert scene.pool.next_event(scene.now) == pytest.approx(scene.now + 6.1)


def test_an_answer_about_another_attempt_or_job_means_nothing(scene: Scene) -> None:
    run = scene.begin(a_run(flags=Flag.WATCHED, silence=3))
    scene.enforce(3.0)
    scene.timeouts.children_alive(run.job_id, 2, 0.0, scene.now + 3.1)
    scene.timeouts.children_alive(a_run().job_id, 1, 0.0, scene.now + 3.1)
    assert scene.worker.kill_reason is None


def test_what_was_asked_about_one_job_does_not_concern_the_next(scene: Scene) -> None:
    scene.begin(a_run(flags=Flag.WATCHED, silence=3))
    scene.enforce(3.0)
    scene.now += 3.1
    scene.end(scene.worker)
    scene.begin(a_run(flags=Flag.WATCHED, silence=9))
    assert scene.pool.next_event(scene.now) == scene.now + 9


@pytest.mark.parametrize(("sign", "interrupts"), [(2.5, 0), (0.0, 1)], ids=["a child lives", "no child lives"])
def test_the_node_is_asked_about_children_of_async_jobs_as_well(scene: Scene, sign: float, interrupts: int) -> None:
    run = scene.begin(async_run(silence=3))
    scene.enforce(3.0)
    assert list(map(messages.attempt_of, scene.node.of_kind(Kind.SILENT))) == [(run.job_id, 1)]
    assert scene.assigner.interrupts == []
    scene.timeouts.children_alive(run.job_id, 1, scene.now + sign if sign else 0.0, scene.now + 3.1)
    assert len(scene.assigner.interrupts) == interrupts


def test_a_job_that_its_worker_has_not_read_is_recalled_and_no_signal_is_sent(scene: Scene) -> None:
    run = scene.begin(a_run())
    assert scene.handle.assign(run)
    scene.timeouts.terminate(scene.worker, KillReason.CANCELED, scene.now)
    assert [entry.run for entry in scene.pool.queues.ordinary] == [run]
    assert (scene.signals, scene.worker.kill_reason) == ([], None)


def test_a_job_whose_end_was_on_its_way_is_not_interrupted(scene: Scene) -> None:
    run = scene.begin(a_run(timeout=2))
    assert packets.send(scene.handle.worker_end, report_of(scene.worker, run).encode())
    scene.enforce(2.0)
    assert scene.node.endings == [(Ending.SUCCEEDED, run.job_id)]
    assert (scene.signals, scene.worker.kill_reason) == ([], None)


def test_the_first_reason_counts(scene: Scene) -> None:
    scene.begin(a_run())
    scene.timeouts.terminate(scene.worker, KillReason.TIMED_OUT, scene.now)
    scene.timeouts.terminate(scene.worker, KillReason.CANCELED, scene.now + 0.1)
    assert scene.worker.kill_reason is KillReason.TIMED_OUT
    assert len(scene.signals) == 1


@pytest.mark.parametrize("reason", [KillReason.CANCELED, KillReason.RETURNED])
def test_a_service_is_asked_then_interrupted_then_killed(scene: Scene, reason: KillReason) -> None:
    scene.begin(a_run(flags=Flag.SERVICE)._replace(soft=5.0, hard=8.0))
    scene.timeouts.terminate(scene.worker, reason, scene.now)
    assert scene.signals == [("kill", signal.SIGTERM)], "its children do not hear of it"
    scene.enforce(4.9)
    assert len(scene.signals) == 1
    scene.enforce(5.0)
    assert scene.signals[1:] == [("signal_group", signal.SIGTERM)]
    scene.enforce(8.0)
    assert scene.signals[2:] == [("kill_tree", signal.SIGKILL)]


def test_a_service_that_times_out_is_interrupted_at_once(scene: Scene) -> None:
    scene.begin(a_run(timeout=2, flags=Flag.SERVICE)._replace(soft=5.0, hard=8.0))
    scene.enforce(2.0)
    assert scene.signals == [("signal_group", signal.SIGTERM)]
    assert scene.worker.kill_at == scene.now + 2.0 + GRACE


def test_when_everything_ends_a_service_has_the_grace_time_only(scene: Scene) -> None:
    scene.begin(a_run(flags=Flag.SERVICE)._replace(soft=5.0, hard=8.0))
    scene.timeouts.terminate_all(scene.now)
    assert scene.worker.interrupt_at == scene.now
    assert scene.worker.kill_at == scene.now + GRACE


def test_async_jobs_are_ended_one_by_one_and_their_worker_stays(scene: Scene) -> None:
    runs = [scene.begin(async_run()) for _ in range(2)]
    scene.timeouts.terminate(scene.worker, KillReason.RETURNED, scene.now)
    assert scene.assigner.interrupts == [(run.job_id, Status.WAITING) for run in runs]
    assert (scene.signals, scene.worker.kill_reason, scene.worker.kill_at) == ([], None, FOREVER)


def test_a_worker_is_killed_whose_async_job_does_not_end(scene: Scene) -> None:
    run = scene.begin(async_run(timeout=2))
    scene.enforce(2.0)
    assert scene.assigner.interrupts == [(run.job_id, Status.TIMEOUT)]
    scene.enforce(2.0 + GRACE)
    scene.enforce(2.0 + GRACE)
    assert scene.signals == [("kill_tree", signal.SIGKILL)]
