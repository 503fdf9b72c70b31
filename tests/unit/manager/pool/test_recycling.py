"""When a worker has lived long enough."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.unit.manager.fakes import FOREVER, assign

from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.pool import LastWords, Pool
from taskscheduler_daemon.manager.pool.recycling import (
    MEASURE_EVERY,
    next_retirement,
    outgrown,
    to_measure,
    to_retire,
)
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn
from taskscheduler_daemon.manager.pool.worker_state import WorkerState

MB = 1024 * 1024


def a_pool(count: int = 1, **options: Any) -> tuple[Pool, list[WorkerState]]:
    """A pool with so many workers that were ready at the times 0, 1, 2, ..."""
    pool = Pool(PoolOptions.of(options))
    workers = [pool.spawned(ObjectId().binary, 100 + number, False) for number in range(count)]
    for number, worker in enumerate(workers):
        pool.ready(worker, float(number))
    return pool, workers


def give(pool: Pool, worker: WorkerState, now: float) -> Run:
    run = Run(ObjectId().binary, 1, 0, 0, b"")
    pool.began(worker, run, now)
    return run


def test_without_limits_nothing_is_ever_retired() -> None:
    pool, [worker] = a_pool(idle_ttl=0)
    assert next_retirement(pool) == FOREVER
    assert to_retire(pool, 1e9) == []
    assert not to_measure(pool, worker, 1e9)


# -- age --------------------------------------------------------------------------------------------------------------


def test_a_worker_is_retired_at_its_age_busy_or_not() -> None:
    pool, [first, second] = a_pool(2, worker_max_age=10, min_children=2)
    give(pool, first, 9.5)
    assert next_retirement(pool) == 10
    assert to_retire(pool, 9.9) == []
    assert to_retire(pool, 10) == [first]
    first.leaving = True
    assert next_retirement(pool) == 11
    assert to_retire(pool, 11) == [second]


def test_the_age_of_a_worker_that_is_not_ready_does_not_count() -> None:
    pool = Pool(PoolOptions.of({"worker_max_age": 10}))
    pool.spawned(b"", 100, False)
    assert to_retire(pool, 1e9) == []


# -- idleness ---------------------------------------------------------------------------------------------------------


def test_surplus_workers_end_after_their_time_without_work_the_longest_idle_first() -> None:
    pool, workers = a_pool(3, max_children=3, idle_ttl=10)
    assert next_retirement(pool) == 10
    assert to_retire(pool, 9.9) == []
    assert to_retire(pool, 10) == workers[:1]
    assert to_retire(pool, 12) == workers[:2], "min_children stay"


def test_work_starts_the_time_anew() -> None:
    pool, [first, second] = a_pool(2, idle_ttl=10)
    run = give(pool, first, 8)
    assert to_retire(pool, 100) == [second], "the one that works is no surplus"
    pool.ended(first, run.job_id, 1, 0.5, 50)
    second.since = 45
    assert next_retirement(pool) == 55


@pytest.mark.parametrize("pm", ["static", "ondemand"])
def test_only_a_dynamic_pool_shrinks(pm: str) -> None:
    pool, _ = a_pool(3, pm=pm, max_children=3, idle_ttl=10)
    assert to_retire(pool, 1e9) == []


def test_those_that_go_already_are_no_surplus() -> None:
    pool, [first, _] = a_pool(2, idle_ttl=10)
    first.leaving = True
    assert to_retire(pool, 1e9) == []


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_a_worker_is_given_as_many_jobs_as_it_may_have_and_no_more() -> None:
    pool, [worker] = a_pool(worker_max_jobs=2)
    pool.mean = 0.0001  # so short that many are given ahead
    for _ in range(5):
        pool.queues.add(Run(ObjectId().binary, 1, 0, 0, b""), 0.0)
    assigned = [run for _, run in assign(pool, 0.0)]
    assert len(assigned) == 2
    assert pool.workers[worker.pid].leaving
    pool.recalled(worker, assigned[1:], 0.0)
    assert (worker.leaving, worker.allowance) == (False, 1), "it has not had its last job yet"


def test_the_place_of_a_worker_that_has_had_its_jobs_is_filled_when_it_is_gone() -> None:
    pool, [worker] = a_pool(pm="static", min_children=1, worker_max_jobs=1)
    give(pool, worker, 0.0)
    assert workers_to_spawn(pool, 0.0) == (0, 0)
    pool.exited(worker.pid, LastWords([]), 0.0)
    assert workers_to_spawn(pool, 0.0) == (1, 0)


# -- memory -----------------------------------------------------------------------------------------------------------


def test_memory_is_looked_at_now_and_then() -> None:
    pool, [worker] = a_pool(worker_max_growth=10 * MB)
    worker.resident = 50 * MB
    assert to_measure(pool, worker, 100.0)
    assert not outgrown(pool, worker, 60 * MB, 100.0)
    assert not to_measure(pool, worker, 100.0 + MEASURE_EVERY / 2)
    assert to_measure(pool, worker, 100.1 + MEASURE_EVERY)
    assert outgrown(pool, worker, 60 * MB + 1, 100.2)
    assert not outgrown(pool, worker, None, 100.4), "this system does not tell"


# -- without work -----------------------------------------------------------------------------------------------------


def test_a_worker_that_was_started_beyond_the_limits_for_a_job_that_was_cancelled_is_retired() -> None:
    pool = Pool(PoolOptions.of({}))
    forced, other = (pool.spawned(ObjectId().binary, number, True) for number in (1, 2))
    for worker in (forced, other):
        assert next_retirement(pool) == FOREVER
        pool.ready(worker, 10.0)
        give(pool, worker, 10.0)
    pool.recalled(forced, [forced.runs[0]], 11.0)
    assert next_retirement(pool) == 12.0
    assert to_retire(pool, 11.9) == []
    assert to_retire(pool, 12.0) == [forced], "the other one has its job"
