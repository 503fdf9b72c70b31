"""When a worker has lived long enough."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.pool.assignment import assignments
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.recycling import (
    MEASURE_EVERY,
    next_retirement,
    outgrown,
    to_measure,
    to_retire,
)
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn
from taskscheduler_daemon.manager.pool.worker_state import WorkerState

FOREVER = float("inf")
MB = 1024 * 1024


def a_pool(workers: int = 1, **options: Any) -> tuple[Pool, list[WorkerState]]:
    """A pool with so many workers that were ready at the times 0, 1, 2, ..."""
    pool = Pool(PoolOptions.of(options))
    members = [pool.spawned(ObjectId().binary, 100 + number, False) for number in range(workers)]
    for number, member in enumerate(members):
        pool.ready(member, float(number))
    return pool, members


def give(pool: Pool, member: WorkerState, now: float) -> Run:
    run = Run(ObjectId().binary, 1, 0, 0, b"")
    pool.began(member, run, now)
    return run


def test_without_limits_nothing_is_ever_retired() -> None:
    pool, [member] = a_pool(idle_ttl=0)
    assert next_retirement(pool) == FOREVER
    assert to_retire(pool, 1e9) == []
    assert not to_measure(pool, member, 1e9)


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
    pool, members = a_pool(3, max_children=3, idle_ttl=10)
    assert next_retirement(pool) == 10
    assert to_retire(pool, 9.9) == []
    assert to_retire(pool, 10) == members[:1]
    assert to_retire(pool, 12) == members[:2], "min_children stay"


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
    pool, [member] = a_pool(worker_max_jobs=2)
    pool.mean = 0.0001  # so short that many are given ahead
    for _ in range(5):
        pool.accept(Run(ObjectId().binary, 1, 0, 0, b""), 0.0)
    handed = []
    for worker, run in chain.from_iterable(assignments(pool)):
        pool.began(worker, run, 0.0)
        handed.append(run)
    assert len(handed) == 2
    assert pool.workers[member.pid].leaving
    pool.recalled(member, handed[1:], 0.0)
    assert (member.leaving, member.allowance) == (False, 1), "it has not had its last job yet"


def test_the_place_of_a_worker_that_has_had_its_jobs_is_filled_when_it_is_gone() -> None:
    pool, [member] = a_pool(pm="static", min_children=1, worker_max_jobs=1)
    give(pool, member, 0.0)
    assert workers_to_spawn(pool, 0.0) == (0, 0)
    pool.exited(member.pid, 0.0)
    assert workers_to_spawn(pool, 0.0) == (1, 0)


# -- memory -----------------------------------------------------------------------------------------------------------


def test_memory_is_looked_at_now_and_then() -> None:
    pool, [member] = a_pool(worker_max_growth=10 * MB)
    member.resident = 50 * MB
    assert to_measure(pool, member, 100.0)
    assert not outgrown(pool, member, 60 * MB, 100.0)
    assert not to_measure(pool, member, 100.0 + MEASURE_EVERY / 2)
    assert to_measure(pool, member, 100.1 + MEASURE_EVERY)
    assert outgrown(pool, member, 60 * MB + 1, 100.2)
    assert not outgrown(pool, member, None, 100.4), "this system does not tell"


# -- without work -----------------------------------------------------------------------------------------------------


def test_a_worker_that_was_started_beyond_the_limits_for_a_job_that_was_cancelled_is_retired() -> None:
    pool = Pool(PoolOptions.of({}))
    forced, other = (pool.spawned(ObjectId().binary, number, True) for number in (1, 2))
    for member in (forced, other):
        assert next_retirement(pool) == FOREVER
        pool.ready(member, 10.0)
        give(pool, member, 10.0)
    pool.recalled(forced, [forced.runs[0]], 11.0)
    assert next_retirement(pool) == 12.0
    assert to_retire(pool, 11.9) == []
    assert to_retire(pool, 12.0) == [forced], "the other one has its job"
