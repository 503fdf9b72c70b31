"""The queues of runs that wait for a worker."""

from __future__ import annotations

from tests.unit.manager.fakes import a_run, async_run, forced_run

from taskscheduler_daemon.ipc.messages import Flag
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.queues import RunQueues


def test_each_kind_of_run_waits_in_its_own_queue() -> None:
    queues = RunQueues(PoolOptions.of({}))
    assert not queues.has_runs()
    ordinary, forced, parallel = a_run(), forced_run(), async_run()
    for run in (ordinary, forced, parallel):
        queues.add(run, 1.0)
    assert [entry.run for entry in queues.ordinary] == [ordinary]
    assert [entry.run for entry in queues.forced] == [forced]
    assert [entry.run for entry in queues.asynchronous.waiting] == [parallel]
    assert {entry.since for entry in queues.all()} == {1.0}


def test_runs_that_are_put_back_keep_their_order_at_the_head() -> None:
    queues = RunQueues(PoolOptions.of({}))
    first, second, later = a_run(), a_run(), a_run()
    queues.add(later, 1.0)
    queues.put_back([first, second], 2.0)
    assert [entry.run for entry in queues.ordinary] == [first, second, later]


def test_runs_of_higher_priority_wait_before_others() -> None:
    queues = RunQueues(PoolOptions.of({}))
    runs = {priority: [a_run()._replace(priority=priority) for _ in range(2)] for priority in (0, 5, -1, 7)}
    for both in zip(*runs.values(), strict=True):
        for run in both:
            queues.add(run, 1.0)
    assert [entry.run for entry in queues.ordinary] == [*runs[7], *runs[5], *runs[0], *runs[-1]]


def test_runs_that_are_put_back_wait_before_those_of_their_priority() -> None:
    queues = RunQueues(PoolOptions.of({}))
    urgent, waiting = a_run()._replace(priority=1), a_run()
    back = [a_run()._replace(priority=priority) for priority in (1, 0)]
    for run in (urgent, waiting):
        queues.add(run, 1.0)
    queues.put_back(back, 2.0)
    assert [entry.run for entry in queues.ordinary] == [back[0], urgent, back[1], waiting]


def test_a_job_is_removed_from_whatever_queue_it_is_in_but_not_its_notification() -> None:
    queues = RunQueues(PoolOptions.of({}))
    runs = [a_run(), forced_run(), async_run()]
    hook = a_run(flags=Flag.HOOK)
    for run in (*runs, hook):
        queues.add(run, 1.0)
    assert [queues.remove(run.job_id) for run in runs] == runs
    assert queues.remove(runs[0].job_id) is None
    assert queues.remove(hook.job_id) is None
    assert queues.has_runs()


def test_all_runs_can_be_drained() -> None:
    queues = RunQueues(PoolOptions.of({}))
    runs = [a_run(), forced_run(), async_run()]
    for run in runs:
        queues.add(run, 1.0)
    assert queues.drain() == runs
    assert not queues.has_runs()
    assert queues.drain() == []
