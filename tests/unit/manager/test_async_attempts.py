"""How single async runs are ended, and what is reported of them."""

from __future__ import annotations

from tests.unit.manager.fakes import FakeAssigner, FakeNode, async_run, pool_of, report_of

from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Flag, Kind, Run
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState

GRACE = 0.5


class Scene:
    """A worker that runs some async jobs."""

    def __init__(self, *runs: Run) -> None:
        self.pool = pool_of(2)
        self.assigner = FakeAssigner(self.pool)
        self.node = FakeNode()
        self.attempts = AsyncAttempts(self.assigner, self.node, GRACE)
        self.worker: WorkerState = self.pool.workers[1]
        for run in runs:
            self.pool.began(self.worker, run, 0.0)

    def report(self, run: Run, ending: Ending) -> bool:
        report = report_of(self.worker, run, ending)
        return self.attempts.ended(self.worker, report, report.encode())


def test_a_run_that_timed_out_is_ended_alone() -> None:
    late, other = async_run(timeout=2), async_run()
    scene = Scene(late, other)
    assert scene.pool.next_event(0.0) == 2
    scene.attempts.enforce_deadlines(scene.worker, 1.9)
    assert scene.assigner.interrupts == []
    scene.attempts.enforce_deadlines(scene.worker, 2.0)
    assert scene.assigner.interrupts == [(late.job_id, Status.TIMEOUT)]
    assert scene.report(late, Ending.RETURNED)
    assert scene.node.endings == [(Ending.TIMED_OUT, late.job_id)]
    assert scene.node.errors == [{"type": "JobTimeoutError", "message": "ran longer than 2 s"}]
    assert list(scene.worker.async_runs) == [other.job_id]


def test_a_run_that_gives_no_sign_of_life_is_ended() -> None:
    quiet = async_run(silence=3)
    scene = Scene(quiet)
    scene.attempts.alive(scene.worker, quiet.job_id, 2.0)
    scene.attempts.enforce_deadlines(scene.worker, 4.9)
    assert scene.assigner.interrupts == []
    assert scene.pool.next_event(4.9) == 5.0
    scene.attempts.enforce_deadlines(scene.worker, 5.0)
    assert [messages.attempt_of(message) for message in scene.node.of_kind(Kind.SILENT)] == [(quiet.job_id, 1)]
    scene.attempts.children_alive(scene.worker, scene.worker.async_runs[quiet.job_id], 0.0, 5.0)
    assert scene.report(quiet, Ending.RETURNED)
    assert scene.node.endings == [(Ending.TIMED_OUT, quiet.job_id)]
    assert scene.node.errors == [{"type": "JobTimeoutError", "message": "gave no sign of life for 3 s"}]


def test_a_result_that_arrives_within_the_grace_time_counts() -> None:
    late = async_run(timeout=2)
    scene = Scene(late)
    scene.attempts.enforce_deadlines(scene.worker, 2.0)
    assert scene.report(late, Ending.SUCCEEDED)
    assert scene.node.sent == [report_of(scene.worker, late).encode()]
    assert scene.node.left == [late]


def test_no_end_is_reported_for_a_cancelled_run_but_it_is_released() -> None:
    run = async_run(flags=Flag.EXCLUSIVE)
    scene = Scene(run)
    scene.attempts.end(scene.worker, run.job_id, KillReason.CANCELED, 0.0)
    scene.attempts.end(scene.worker, run.job_id, KillReason.RETURNED, 0.1)
    assert scene.assigner.interrupts == [(run.job_id, Status.CANCELED)]
    assert scene.report(run, Ending.RETURNED)
    assert (scene.node.reports, scene.node.gone) == ([], [run.job_id])
    assert not scene.report(run, Ending.RETURNED)


def test_a_report_of_an_earlier_attempt_is_not_taken_for_the_current_one() -> None:
    run = async_run()
    scene = Scene(run)
    assert not scene.report(run._replace(attempt=2), Ending.SUCCEEDED)
    assert list(scene.worker.async_runs) == [run.job_id]


def test_a_worker_whose_event_loop_does_not_obey_is_killed() -> None:
    late, other = async_run(timeout=2), async_run()
    scene = Scene(late, other)
    scene.attempts.enforce_deadlines(scene.worker, 2.0)
    assert scene.worker.kill_at == float("inf")
    scene.attempts.enforce_deadlines(scene.worker, 2.0 + GRACE)
    assert scene.worker.kill_at <= 2.0 + GRACE
    assert scene.worker.leaving
    assert scene.worker.kill_reason is KillReason.BESIDE
    assert scene.worker.async_runs[other.job_id].kill_reason is None


def test_all_runs_of_a_worker_can_be_ended() -> None:
    one, two = async_run(), async_run()
    scene = Scene(one, two)
    scene.attempts.end_all(scene.worker, KillReason.RETURNED, 0.0)
    assert scene.assigner.interrupts == [(one.job_id, Status.WAITING), (two.job_id, Status.WAITING)]
    assert scene.worker.alarm == GRACE
