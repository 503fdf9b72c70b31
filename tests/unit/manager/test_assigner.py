"""Runs on their way to workers and back, over real sockets; nothing is forked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.manager.fakes import Scenario, a_run, async_run, handles, unread

from taskscheduler_daemon.ipc import packets
from taskscheduler_daemon.ipc.messages import Flag, Run
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.manager.worker_handle import WorkerHandle


@pytest.fixture
def ondemand() -> Iterator[tuple[Scenario, Assigner, WorkerState, WorkerHandle, Run]]:
    """A run has been sent to the only worker, which has not read it yet."""
    scenario, run = Scenario(pm="ondemand", max_children=1), a_run()
    assigner = Assigner(scenario.pool)
    scenario.accept(run)
    [worker] = scenario.boot()
    with handles(assigner, worker) as [handle]:
        assigner.assign(0.0)
        assert list(worker.runs) == [run]
        yield scenario, assigner, worker, handle, run


def test_a_worker_for_one_job_whose_job_was_recalled_does_not_block_the_pool(
    ondemand: tuple[Scenario, Assigner, WorkerState, WorkerHandle, Run],
) -> None:
    scenario, assigner, worker, handle, run = ondemand
    assigner.recall(worker, 1.0)
    dismissed = unread(handle) == [b""]
    assert dismissed or scenario.assign() == [(worker.pid, run)]


def test_an_event_loop_that_takes_no_more_does_not_keep_jobs_from_the_other_workers() -> None:
    scenario = Scenario(min_children=2)
    assigner, workers = Assigner(scenario.pool), scenario.boot()
    with handles(assigner, *workers):
        large = [async_run()._replace(body=bytes(10_000)) for _ in range(90)]
        scenario.accept(*large, a_run())
        assigner.assign(scenario.now)
        queues = scenario.pool.queues
        assert queues.asynchronous.waiting, "its socket is full"
        assert not queues.ordinary
        assert [len(worker.runs) for worker in workers].count(1) == 1
        [packed] = [worker for worker in workers if worker.async_runs]
        assert [*packed.async_runs] + [entry.run.job_id for entry in queues.asynchronous.waiting] == [
            run.job_id for run in large
        ], "the run that found the socket full waits at its old place"


def test_an_idle_worker_gets_the_unread_runs_of_a_busy_one() -> None:
    scenario = Scenario(min_children=2)
    assigner, [busy, idle] = Assigner(scenario.pool), scenario.boot()
    with handles(assigner, busy, idle) as [sent, _]:
        runs = scenario.loaded(busy, 3)
        for run in runs[1:]:
            assert sent.assign(run)
        assigner.assign(scenario.now)
        assert list(busy.runs) == [runs[0]]
        assert list(idle.runs) == [runs[1]]
        assert [entry.run for entry in scenario.pool.queues.ordinary] == [runs[2]]


def test_an_urgent_run_comes_before_what_a_worker_has_not_read() -> None:
    scenario = Scenario()
    assigner, [worker] = Assigner(scenario.pool), scenario.boot()
    with handles(assigner, worker) as [handle]:
        scenario.learn(0.001)
        runs = [a_run() for _ in range(20)]
        scenario.accept(*runs)
        assigner.assign(scenario.now)
        assert len(worker.runs) == 11
        begun = packets.receive_nowait(handle.worker_end)
        urgent = a_run(flags=int(Flag.PRIORITY))._replace(priority=1)
        scenario.accept(urgent)
        assigner.assign(scenario.now)
        assert begun == runs[0].encode()
        assert list(worker.runs) == [runs[0], urgent, *runs[1:10]]
        assert unread(handle) == [run.encode() for run in (urgent, *runs[1:10])]
        assert [entry.run for entry in scenario.pool.queues.ordinary] == runs[10:]


def test_an_event_loop_keeps_its_runs_when_others_are_recalled() -> None:
    scenario = Scenario()
    assigner, [worker] = Assigner(scenario.pool), scenario.boot()
    with handles(assigner, worker) as [handle]:
        scenario.accept(async_run())
        assigner.assign(scenario.now)
        assigner.recall(worker, scenario.now)
        assert len(worker.async_runs) == len(unread(handle)) == 1


def test_a_dismissed_worker_is_released_when_it_has_nothing_to_do() -> None:
    scenario = Scenario(min_children=3, max_children=3)
    assigner, [idle, busy, doomed] = Assigner(scenario.pool), scenario.boot()
    scenario.loaded(busy, 1)
    doomed.kill_reason = KillReason.RETURNED
    with handles(assigner, idle, busy, doomed) as made:
        assigner.recycle()
        assert [unread(handle) for handle in made] == [[b""], [], []]
    assert all(worker.leaving for worker in (idle, busy, doomed))


def test_a_replaced_worker_keeps_the_job_that_it_runs_and_nothing_else() -> None:
    scenario = Scenario()
    assigner, [worker] = Assigner(scenario.pool), scenario.boot()
    with handles(assigner, worker) as [handle]:
        running, ahead = scenario.loaded(worker, 2)
        assert handle.assign(ahead)
        assigner.replace(worker, scenario.now)
        assert list(worker.runs) == [running]
        assert [entry.run for entry in scenario.pool.queues.ordinary] == [ahead]
        assert worker.leaving
        assert unread(handle) == []


def test_a_forced_run_goes_to_the_worker_that_was_started_for_it() -> None:
    scenario, run = Scenario(), a_run(flags=Flag.FORCED)
    assigner = Assigner(scenario.pool)
    scenario.accept(run)
    workers = scenario.boot()
    with handles(assigner, *workers):
        assigner.assign(scenario.now)
    assert [list(worker.runs) for worker in workers if worker.forced] == [[run]]
