"""Which worker runs the async jobs, and how they share workers with the others."""

from __future__ import annotations

import pytest
from tests.support.tables import table
from tests.unit.manager import fakes
from tests.unit.manager.fakes import ASYNC, SYNC, a_run, pool_of

from taskscheduler_daemon.ipc.messages import Flag
from taskscheduler_daemon.manager.pool.hand_back import STALE_SECONDS, async_to_hand_back, next_look, to_hand_back
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn
from taskscheduler_daemon.manager.pool.worker_state import KillReason


def assign(pool: Pool, now: float = 0.0) -> list[tuple[int, Flag]]:
    """What is assigned now: the worker and the kind of each run."""
    return [(worker.pid, Flag(run.flags)) for worker, run in fakes.assign(pool, now)]


def accept(pool: Pool, *flags: Flag, now: float = 0.0) -> None:
    for flag in flags:
        pool.queues.add(a_run(flags=flag), now)


def test_async_runs_are_packed_into_one_worker_and_others_get_the_other_one() -> None:
    made = pool_of(2)
    accept(made, ASYNC, ASYNC, SYNC, ASYNC, ASYNC)
    given = assign(made)
    assert [flag for _, flag in given].count(ASYNC) == 3  # as many as one worker may have
    assert {pid for pid, flag in given if flag is ASYNC} != {pid for pid, flag in given if flag is SYNC}
    assert len(made.queues.asynchronous.waiting) == 1


@pytest.mark.parametrize(("how", "value"), [("leaving", True), ("kill_reason", KillReason.RETURNED)])
def test_a_worker_that_goes_is_not_filled(how: str, value: object) -> None:
    made = pool_of(1)
    accept(made, ASYNC)
    assert len(assign(made)) == 1
    setattr(made.workers[1], how, value)
    accept(made, ASYNC)
    assert assign(made) == []


def test_the_fullest_worker_is_filled_first() -> None:
    made = pool_of(3)
    accept(made, *[ASYNC] * 5)
    assign(made)
    one, two, idle = made.workers.values()
    assert (len(one.async_runs), len(two.async_runs), len(idle.async_runs)) == (3, 2, 0)
    two.async_runs.popitem()
    one.async_runs.popitem()
    accept(made, ASYNC)
    assert assign(made) == [(one.pid, ASYNC)]


def test_the_last_worker_is_left_to_the_others() -> None:
    made = pool_of(2)
    accept(made, *[ASYNC] * 9)
    assign(made)
    assert len(made.queues.asynchronous.waiting) == 6
    accept(made, SYNC)
    assert [flag for _, flag in assign(made)] == [SYNC]


def test_the_only_worker_goes_from_one_kind_to_the_other_in_the_order_of_arrival() -> None:
    made = pool_of(1)
    (worker,) = made.workers.values()
    accept(made, ASYNC, now=0.0)
    accept(made, SYNC, now=1.0)
    accept(made, ASYNC, now=2.0)
    assert assign(made) == [(1, ASYNC)]  # not the second one, which came after the other
    assert to_hand_back(made, 3.0) is None
    worker.async_runs.clear()
    assert assign(made) == [(1, SYNC)]
    made.ended(worker, worker.runs[0].job_id, 1, 0.001, 3.0)
    assert assign(made) == [(1, ASYNC)]


def test_workers_that_never_run_dry_are_shared_all_the_same() -> None:
    made = pool_of(2)
    accept(made, SYNC, SYNC)  # which are short: many are handed over ahead
    assign(made)
    for worker in list(made.workers.values()):
        made.ended(worker, worker.runs[0].job_id, 1, 0.0001, 0.0)
    accept(made, *[SYNC] * 20)
    assign(made)
    accept(made, ASYNC, now=1.0)
    accept(made, *[SYNC] * 20, now=2.0)
    reserved = min(made.workers.values(), key=lambda worker: len(worker.runs))
    assert reserved.pid not in {pid for pid, _ in assign(made)}
    while reserved.runs:
        made.ended(reserved, reserved.runs[0].job_id, 1, 0.0001, 2.0)
    assert (reserved.pid, ASYNC) in assign(made)


def test_what_no_worker_has_room_for_goes_back_to_the_node() -> None:
    made = pool_of(2)
    accept(made, *[ASYNC] * 4)
    assign(made)
    assert not async_to_hand_back(made, STALE_SECONDS / 2)
    assert next_look(made, 0.0) <= STALE_SECONDS
    assert async_to_hand_back(made, STALE_SECONDS * 2)
    assert len(made.queues.asynchronous.drain()) == 1
    assert not async_to_hand_back(made, STALE_SECONDS * 2)


@table(("waiting", "spawned"), [(0, 0), (1, 1), (3, 1), (4, 2), (7, 3), (100, 3)])
def test_workers_are_started_for_async_runs_but_not_the_last_one(waiting: int, spawned: int) -> None:
    made = pool_of(0, most=4)
    accept(made, *[ASYNC] * waiting)
    assert workers_to_spawn(made, 0.0) == (spawned, 0)


@pytest.mark.parametrize(
    "kinds", [[ASYNC, SYNC, ASYNC], [SYNC, ASYNC, SYNC], [ASYNC, ASYNC, SYNC, SYNC, ASYNC, SYNC, ASYNC]]
)
def test_one_worker_runs_both_kinds_in_the_order_of_arrival_also_if_they_come_at_once(kinds: list[Flag]) -> None:
    made, began = pool_of(1), list[bytes]()
    runs = [a_run(flags=flag) for flag in kinds]
    for run in runs:
        made.queues.add(run, 0.0)
    while made.queues.has_runs():
        given = fakes.assign(made, 0.0)
        assert len({run.flags for _, run in given}) == 1, "the two kinds never run side by side"
        began += [run.job_id for _, run in given]
        for worker, run in given:
            if run.flags & Flag.ASYNC:
                worker.async_runs.pop(run.job_id)
            else:
                made.ended(worker, run.job_id, run.attempt, 1.0, 0.0)
    assert began == [run.job_id for run in runs]
