"""Which worker gets which run, and how many it gets ahead."""

from __future__ import annotations

import pytest
from tests.support.tables import table
from tests.unit.manager.fakes import Scenario, a_run, forced_run

from taskscheduler_daemon.manager.pool.assignment import depth, in_the_way, steal_from, time_to_gather
from taskscheduler_daemon.manager.pool.worker_state import KillReason


def test_jobs_are_assigned_in_the_order_of_their_arrival() -> None:
    scenario = Scenario(min_children=2)
    scenario.boot()
    first, second = a_run(), a_run()
    scenario.accept(first, second)
    assert [run for _, run in scenario.assign()] == [first, second]


def test_a_worker_that_is_not_ready_gets_nothing() -> None:
    scenario = Scenario()
    [worker] = scenario.spawn()
    scenario.accept(a_run())
    assert scenario.assign() == []
    scenario.pool.ready(worker, scenario.now)
    assert len(scenario.assign()) == 1


@pytest.mark.parametrize("how", ["leaving", "kill_reason"])
def test_a_leaving_or_interrupted_worker_gets_nothing(how: str) -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    setattr(worker, how, True if how == "leaving" else KillReason.CANCELED)
    scenario.accept(a_run())
    assert scenario.assign() == []


def test_until_a_duration_is_known_a_worker_gets_one_job_at_a_time() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    scenario.accept(a_run(), a_run())
    assert len(scenario.assign()) == 1
    assert depth(scenario.pool) == 1
    scenario.end(worker, seconds=1.0)
    assert len(scenario.assign()) == 1


def test_the_least_loaded_worker_gets_the_next_job() -> None:
    scenario = Scenario(min_children=3, max_children=3)
    one, two, three = scenario.boot()
    scenario.learn(0.001)
    scenario.pool.began(one, a_run(), scenario.now)
    scenario.pool.began(one, a_run(), scenario.now)
    scenario.pool.began(two, a_run(), scenario.now)
    scenario.accept(*(a_run() for _ in range(3)))
    assert [pid for pid, _ in scenario.assign()] == [three.pid, two.pid, three.pid]


@table(("seconds", "expected"), [(10, 1), (0.0051, 1), (0.005, 3), (0.001, 11), (0.0001, 64), (0.00001, 64)])
def test_a_worker_gets_ten_milliseconds_of_work_ahead(seconds: float, expected: int) -> None:
    scenario = Scenario()
    scenario.boot()
    scenario.learn(seconds)
    assert depth(scenario.pool) == expected
    scenario.accept(*(a_run() for _ in range(100)))
    assert len(scenario.assign()) == expected


def test_the_newest_jobs_weigh_most_in_what_is_expected() -> None:
    scenario = Scenario()
    scenario.learn(10)
    for _ in range(100):
        scenario.learn(0.001)
    assert depth(scenario.pool) > 1
    scenario.learn(10)
    assert depth(scenario.pool) == 1


def test_a_forced_job_gets_a_worker_of_its_own_beyond_the_limits() -> None:
    scenario = Scenario(pm="static", min_children=1)
    [ordinary] = scenario.boot()
    scenario.loaded(ordinary, 1)
    run = forced_run()
    scenario.accept(run)
    [extra] = scenario.boot()
    assert (extra.forced, extra.single) == (True, True)
    assert scenario.assign() == [(extra.pid, run)]
    assert extra.leaving
    assert scenario.spawn() == []


def test_a_forced_job_does_not_run_in_an_ordinary_worker_nor_the_other_way_round() -> None:
    scenario = Scenario(min_children=0, max_children=1)
    scenario.accept(forced_run())
    [extra] = scenario.boot()
    ordinary = a_run()
    scenario.pool.queues.forced.clear()
    scenario.accept(ordinary)
    assert scenario.assign() == []
    [worker] = scenario.boot()
    scenario.accept(forced_run())
    assert dict(scenario.assign())[worker.pid] is ordinary
    assert not extra.free


def test_an_idle_worker_takes_runs_from_the_most_loaded_one() -> None:
    scenario = Scenario(min_children=3, max_children=3)
    one, two, _ = scenario.boot()
    scenario.loaded(one, 2)
    scenario.loaded(two, 3)
    assert steal_from(scenario.pool) is two


def test_no_runs_are_moved_while_jobs_wait_or_no_worker_is_idle() -> None:
    scenario = Scenario(min_children=2)
    one, two = scenario.boot()
    scenario.loaded(one, 3)
    scenario.accept(a_run())
    assert steal_from(scenario.pool) is None
    scenario.pool.queues.remove(scenario.pool.queues.ordinary[0].run.job_id)
    assert steal_from(scenario.pool) is one
    scenario.loaded(two, 1)
    assert steal_from(scenario.pool) is None


def test_a_running_job_is_not_moved() -> None:
    scenario = Scenario(min_children=2)
    one, _ = scenario.boot()
    scenario.loaded(one, 1)
    assert steal_from(scenario.pool) is None


def test_runs_of_a_lower_priority_are_in_the_way_of_those_that_wait() -> None:
    scenario = Scenario(min_children=3, max_children=3)
    one, two, three = scenario.boot()
    scenario.loaded(one, 2)
    scenario.loaded(two, 1)
    scenario.loaded(three, 5)
    assert in_the_way(scenario.pool) == [], "none waits"
    scenario.accept(a_run())
    assert in_the_way(scenario.pool) == [], "it came later"
    scenario.accept(a_run()._replace(priority=1))
    assert in_the_way(scenario.pool) == [one], "a worker for each run that waits"
    scenario.accept(a_run()._replace(priority=1), a_run()._replace(priority=1))
    assert in_the_way(scenario.pool) == [one, three], "what the other one has is running"
    three.runs[-1] = three.runs[-1]._replace(priority=1)
    assert in_the_way(scenario.pool) == [one]


# -- pauses of the loop -----------------------------------------------------------------------------------------------


@table(
    ("ahead", "mean", "expected"),
    [
        ((64, 64), 0.0001, 0.003),
        ((64, 50), 0.0001, 0.002),
        ((64, 20), 0.00011, 0.001),
        ((64, 19), 0.0001, 0.0),
        ((64, 64), 0.00003, 0.0),
        ((64, 16), 0.0006, 0.003),
        ((64, 15), 0.0006, 0.0),
        ((64, 1), 0.0001, 0.0),
        ((64, 0), 0.0001, 0.0),
        ((16, 16), 0.0, 0.0),
        ((), 0.0001, 0.0),
    ],
)
def test_the_manager_pauses_while_no_worker_can_run_dry(ahead: tuple[int, ...], mean: float, expected: float) -> None:
    scenario = Scenario(min_children=len(ahead))
    for worker, count in zip(scenario.boot() if ahead else (), ahead, strict=True):
        for _ in range(count):
            scenario.pool.began(worker, a_run(), scenario.now)
    scenario.pool.mean = mean
    assert time_to_gather(scenario.pool) == pytest.approx(expected)
