"""Runs between their assignment and their end, workers between their start and their end, and their deadlines."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.unit.manager.fakes import FOREVER, Scenario, a_run, async_run, forced_run

from taskscheduler_daemon.ipc.messages import NO_WORKER, NOT_BEGUN, Flag, Run
from taskscheduler_daemon.manager.pool.pool import LastWords
from taskscheduler_daemon.manager.pool.worker_state import KillReason


def test_recalled_runs_are_first_in_their_queue_again() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    scenario.learn(0.001)
    runs = [a_run() for _ in range(5)]
    scenario.accept(*runs)
    scenario.assign()
    later = a_run()
    scenario.accept(later)
    scenario.pool.recalled(worker, runs[1:], scenario.now)
    assert list(worker.runs) == runs[:1]
    assert [entry.run for entry in scenario.pool.queues.ordinary] == [*runs[1:], later]


def test_runs_in_the_middle_can_be_recalled() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    scenario.learn(0.001)
    runs = [a_run() for _ in range(4)]
    scenario.accept(*runs)
    scenario.assign()
    scenario.pool.recalled(worker, [runs[1], runs[3]], scenario.now)
    assert list(worker.runs) == [runs[0], runs[2]]
    assert [entry.run for entry in scenario.pool.queues.ordinary] == [runs[1], runs[3]]


def test_the_end_of_a_job_frees_its_worker() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    run = a_run()
    scenario.accept(run)
    scenario.assign()
    assert not worker.free
    assert scenario.end(worker) is run
    assert worker.free


def test_a_report_that_does_not_belong_to_the_running_job_is_refused() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    run = a_run(attempt=2)
    scenario.accept(run)
    scenario.assign()
    assert scenario.pool.ended(worker, ObjectId().binary, 2, 1, scenario.now) is None
    assert scenario.pool.ended(worker, run.job_id, 1, 1, scenario.now) is None
    assert worker.running is run
    assert scenario.pool.ended(worker, run.job_id, 2, 1, scenario.now) is run
    assert scenario.pool.ended(worker, run.job_id, 2, 1, scenario.now) is None


def test_the_holder_of_a_job_is_found_and_a_waiting_one_can_be_removed() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    running, waiting, forced = a_run(), a_run(), forced_run()
    scenario.accept(running, waiting, forced)
    scenario.assign()
    assert scenario.pool.holder(running.job_id) is worker
    assert scenario.pool.holder(waiting.job_id) is None
    assert not scenario.pool.queues.remove(running.job_id)
    assert scenario.pool.queues.remove(waiting.job_id)
    assert not scenario.pool.queues.remove(waiting.job_id)
    assert scenario.pool.queues.remove(forced.job_id)
    assert not scenario.pool.queues.ordinary
    assert not scenario.pool.queues.forced


def test_the_holder_of_a_job_is_not_the_worker_that_calls_its_hook() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    running, waiting = (a_run()._replace(flags=Flag.HOOK, attempt=0) for _ in range(2))
    scenario.accept(running, waiting)
    scenario.assign()
    assert worker.running is running
    assert scenario.pool.holder(running.job_id) is None
    assert not scenario.pool.queues.remove(waiting.job_id)


def test_a_recalled_forced_run_waits_in_its_own_queue() -> None:
    scenario = Scenario()
    run = forced_run()
    scenario.accept(run)
    [worker] = [worker for worker in scenario.boot() if worker.forced]
    scenario.assign()
    scenario.pool.recalled(worker, [run], scenario.now)
    assert [entry.run for entry in scenario.pool.queues.forced] == [run]
    assert not scenario.pool.queues.ordinary


def test_the_end_of_an_orphan_does_not_change_the_pool() -> None:
    scenario = Scenario()
    scenario.boot()
    assert scenario.pool.exited(99_999, LastWords([]), scenario.now) is None
    assert len(scenario.pool.workers) == 1


def test_a_job_times_out_after_its_time_and_not_that_of_the_one_before() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    scenario.learn(0.001)
    scenario.accept(a_run(timeout=5), a_run(timeout=2))
    scenario.assign()
    assert worker.times_out_at() == scenario.now + 5
    scenario.now += 4
    scenario.end(worker)
    assert worker.times_out_at() == scenario.now + 2
    assert scenario.pool.next_event(scenario.now) == scenario.now + 2


def test_a_job_is_silent_since_its_start_or_its_last_sign_of_life() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    worker.alive_at = scenario.now - 1  # a sign of the job before
    scenario.pool.began(worker, a_run(flags=Flag.WATCHED)._replace(silence=3.0), scenario.now)
    assert worker.silent_at() == scenario.now + 3
    worker.alive_at = scenario.now + 2
    assert worker.silent_at() == scenario.now + 5
    assert scenario.pool.next_event(scenario.now) == scenario.now + 5
    worker.kill_reason = KillReason.CANCELED
    assert worker.silent_at() == FOREVER


def test_a_job_without_a_limit_never_times_out() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    assert worker.times_out_at() == FOREVER
    scenario.accept(a_run())
    scenario.assign()
    assert worker.times_out_at() == FOREVER
    assert scenario.pool.next_event(scenario.now) == FOREVER


def test_a_worker_that_is_being_killed_does_not_time_out_once_more() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    scenario.accept(a_run(timeout=1))
    scenario.assign()
    worker.kill_reason = KillReason.TIMED_OUT
    worker.kill_at = scenario.now + 0.5
    assert worker.times_out_at() == FOREVER
    assert scenario.pool.next_event(scenario.now) == scenario.now + 0.5


def test_the_inventory_names_the_worker_of_a_running_job_and_none_of_one_that_has_not_begun() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    running, ahead = scenario.loaded(worker, 2)
    parallel, waiting, hook = async_run(), forced_run(), a_run(flags=Flag.HOOK)
    scenario.pool.began(worker, parallel, scenario.now + 1)
    scenario.accept(waiting, hook)
    assert scenario.pool.inventory() == [
        (waiting.job_id, 1, NO_WORKER, NOT_BEGUN),
        (running.job_id, 1, worker.id, scenario.now),
        (ahead.job_id, 1, NO_WORKER, NOT_BEGUN),
        (parallel.job_id, 1, worker.id, scenario.now + 1),
    ]


def test_a_worker_that_ends_leaves_what_it_had_not_begun_to_the_others() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    running, read_ahead, unread = scenario.loaded(worker, 3)
    later = a_run()
    scenario.accept(later)
    casualty = scenario.pool.exited(worker.pid, LastWords([unread]), scenario.now)
    assert casualty is not None
    assert (casualty.worker, casualty.run) == (worker, running)
    assert casualty.unread == [read_ahead, unread]
    assert [entry.run for entry in scenario.pool.queues.ordinary] == [read_ahead, unread, later]
    assert not scenario.pool.workers


def test_a_worker_that_ends_takes_its_async_runs_with_it_but_for_the_unread_ones() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    begun, unread, canceled = async_run(), async_run(), async_run()
    for run in (begun, unread, canceled):
        scenario.pool.began(worker, run, scenario.now)
    worker.async_runs[canceled.job_id].kill_reason = KillReason.CANCELED
    casualty = scenario.pool.exited(worker.pid, LastWords([unread, canceled]), scenario.now)
    assert casualty is not None
    assert casualty.unread == [unread]
    assert [entry.run for entry in casualty.async_runs] == [begun, canceled]
    assert [entry.run for entry in scenario.pool.queues.asynchronous.waiting] == [unread]


def key(run: Run) -> tuple[bytes, int]:
    return run.job_id, run.attempt


def test_what_a_worker_had_read_and_not_begun_waits_for_another_one() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    read, unread = scenario.loaded(worker, 2)
    casualty = scenario.pool.exited(worker.pid, LastWords([unread], frozenset()), scenario.now)
    assert casualty is not None
    assert (casualty.run, casualty.unread) == (None, [read, unread])
    assert [entry.run for entry in scenario.pool.queues.ordinary] == [read, unread]


def test_what_an_event_loop_had_read_and_not_begun_waits_for_another_one() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    begun, read, canceled = async_run(), async_run(), async_run()
    for run in (begun, read, canceled):
        scenario.pool.began(worker, run, scenario.now)
    worker.async_runs[canceled.job_id].kill_reason = KillReason.CANCELED
    casualty = scenario.pool.exited(worker.pid, LastWords([], frozenset({key(begun)})), scenario.now)
    assert casualty is not None
    assert [entry.run for entry in casualty.async_runs] == [begun, canceled]
    assert [entry.run for entry in scenario.pool.queues.asynchronous.waiting] == [read]


def test_a_run_that_was_to_end_before_it_began_does_not_wait_again() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    [canceled] = scenario.loaded(worker, 1)
    worker.kill_reason = KillReason.CANCELED
    casualty = scenario.pool.exited(worker.pid, LastWords([], frozenset()), scenario.now)
    assert casualty is not None
    assert casualty.run is canceled
    assert not scenario.pool.queues.has_runs()


@pytest.mark.parametrize(
    ("options", "at_first"), [({}, False), ({"min_children": 0}, True), ({"pm": "ondemand"}, True)]
)
def test_a_pool_is_ready_when_a_worker_is_or_none_is_started_ahead(options: dict[str, Any], at_first: bool) -> None:
    scenario = Scenario(**options)
    assert scenario.pool.is_ready is at_first
    scenario.spawn()
    assert scenario.pool.is_ready is at_first
    for worker in scenario.pool.workers.values():
        scenario.pool.ready(worker, scenario.now)
    assert scenario.pool.is_ready
