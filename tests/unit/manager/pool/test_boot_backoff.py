"""Workers that cannot be built, or that the system refuses."""

from __future__ import annotations

import pytest
from tests.unit.manager.fakes import Scenario

from taskscheduler_daemon.manager.pool.boot_backoff import MOST_BOOT_FAILURES
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn


def test_workers_that_die_before_they_are_ready_are_started_ever_later() -> None:
    scenario = Scenario()
    pauses = []
    for _ in range(4):
        [worker] = scenario.spawn()
        scenario.exit(worker)
        assert workers_to_spawn(scenario.pool, scenario.now) == (0, 0)
        again = scenario.pool.next_event(scenario.now)
        pauses.append(again - scenario.now)
        scenario.now = again
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert not scenario.pool.boot_backoff.broken


def test_a_pool_is_broken_when_no_worker_can_be_built_again_and_again() -> None:
    scenario = Scenario()
    for _ in range(MOST_BOOT_FAILURES):
        assert not scenario.pool.boot_backoff.broken
        [worker] = scenario.spawn()
        scenario.exit(worker)
        scenario.now += 10
    assert scenario.pool.boot_backoff.broken


def test_one_worker_that_can_be_built_resets_the_failures() -> None:
    scenario = Scenario()
    for _ in range(MOST_BOOT_FAILURES - 1):
        [worker] = scenario.spawn()
        scenario.exit(worker)
        scenario.now += 10
    [worker] = scenario.boot()
    scenario.exit(worker)
    assert not scenario.pool.boot_backoff.broken
    assert workers_to_spawn(scenario.pool, scenario.now) == (1, 0)


def test_a_start_that_the_system_refused_is_tried_again_after_a_second_and_is_no_failure() -> None:
    scenario = Scenario()
    for _ in range(MOST_BOOT_FAILURES + 1):
        scenario.pool.boot_backoff.refused(scenario.now)
    assert workers_to_spawn(scenario.pool, scenario.now + 0.9) == (0, 0)
    assert workers_to_spawn(scenario.pool, scenario.now + 1.0) == (1, 0)
    assert not scenario.pool.boot_backoff.broken
