"""How many workers a pool starts."""

from __future__ import annotations

import pytest
from tests.support.tables import table
from tests.unit.manager.fakes import Scenario, a_run, forced_run

from taskscheduler_daemon.manager.pool.scaling import spare_workers


def test_a_dynamic_pool_starts_with_its_least_number_and_grows_with_the_work() -> None:
    scenario = Scenario(min_children=2, max_children=4)
    assert len(scenario.boot()) == 2
    assert scenario.spawn() == []
    scenario.accept(*(a_run() for _ in range(3)))
    assert len(scenario.boot()) == 1
    scenario.accept(*(a_run() for _ in range(10)))
    assert len(scenario.boot()) == 1
    assert scenario.spawn() == []
    assert len(scenario.pool.workers) == 4


def test_a_dynamic_pool_with_no_children_at_least_starts_one_for_the_first_job() -> None:
    scenario = Scenario(min_children=0)
    assert scenario.spawn() == []
    scenario.accept(a_run())
    assert len(scenario.spawn()) == 1


def test_a_static_pool_has_always_the_same_number() -> None:
    scenario = Scenario(pm="static", min_children=3, max_children=1)
    assert len(scenario.boot()) == 3
    scenario.accept(*(a_run() for _ in range(10)))
    assert scenario.spawn() == []
    assert spare_workers(scenario.pool) == 0


def test_an_ondemand_pool_starts_a_worker_per_job_and_no_more_than_allowed() -> None:
    scenario = Scenario(pm="ondemand", max_children=2)
    assert scenario.spawn() == []
    scenario.accept(a_run())
    assert len(scenario.boot()) == 1
    scenario.accept(a_run(), a_run())
    assert len(scenario.boot()) == 1
    assert scenario.spawn() == []


def test_an_ondemand_worker_ends_after_its_job() -> None:
    scenario = Scenario(pm="ondemand", max_children=1)
    scenario.accept(a_run(), a_run())
    [worker] = scenario.boot()
    assert len(scenario.assign()) == 1
    assert worker.leaving
    scenario.end(worker)
    assert scenario.assign() == []
    assert scenario.spawn() == []  # the limit counts it until it is gone
    scenario.exit(worker)
    assert len(scenario.boot()) == 1


@pytest.mark.parametrize("pm", ["dynamic", "static"])
def test_a_dead_worker_is_replaced_at_once(pm: str) -> None:
    scenario = Scenario(pm=pm, min_children=2)
    one, _ = scenario.boot()
    scenario.exit(one)
    assert len(scenario.spawn()) == 1


def test_a_worker_that_leaves_is_replaced_within_the_limits() -> None:
    scenario = Scenario(min_children=1, max_children=2)
    [one] = scenario.boot()
    one.leaving = True
    assert len(scenario.boot()) == 1
    assert scenario.spawn() == []


def test_a_stopping_pool_starts_no_worker() -> None:
    scenario = Scenario(min_children=2)
    scenario.accept(a_run(), forced_run())
    scenario.pool.stopping = True
    assert scenario.spawn() == []


def test_every_forced_job_gets_one_worker_even_before_it_is_ready() -> None:
    scenario = Scenario()
    scenario.boot()
    scenario.accept(forced_run(), forced_run())
    assert [worker.forced for worker in scenario.spawn()] == [True, True]
    assert scenario.spawn() == []
    scenario.accept(forced_run())
    assert len(scenario.spawn()) == 1


@table(
    ("options", "limit"),
    [
        ({}, 16),
        ({"max_children": 5}, 20),
        ({"pm": "static", "min_children": 6}, 24),
        ({"max_children": 50, "max_forced": 3}, 3),
    ],
)
def test_forced_workers_have_a_limit(options: dict[str, object], limit: int) -> None:
    scenario = Scenario(**options)
    scenario.boot()
    scenario.accept(*(forced_run() for _ in range(300)))
    workers = scenario.boot()
    assert len(workers) == limit
    assert scenario.spawn() == []
    scenario.assign()
    scenario.end(workers[0])
    assert scenario.spawn() == [], "its process has not ended yet"
    scenario.exit(workers[0])
    assert len(scenario.spawn()) == 1
