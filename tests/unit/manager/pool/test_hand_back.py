"""Which waiting work goes back to the node."""

from __future__ import annotations

import pytest
from tests.unit.manager.fakes import Scenario, a_run, forced_run

from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.pool.hand_back import STALE_SECONDS, next_look, to_hand_back


def test_work_behind_a_long_job_is_stale() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    scenario.loaded(worker, 2)
    assert to_hand_back(scenario.pool, scenario.now) is None
    assert to_hand_back(scenario.pool, scenario.now + STALE_SECONDS) is None
    assert to_hand_back(scenario.pool, scenario.now + STALE_SECONDS + 0.01) == [worker]


def test_waiting_work_is_stale_when_no_worker_can_be_started_for_it() -> None:
    scenario = Scenario(max_children=1)
    [worker] = scenario.boot()
    scenario.loaded(worker, 1)
    scenario.accept(a_run())
    assert to_hand_back(scenario.pool, scenario.now + 1) == []


def test_nothing_is_stale_while_a_worker_is_idle_or_finishing_jobs_or_the_pool_stops() -> None:
    scenario = Scenario(min_children=2)
    one, two = scenario.boot()
    scenario.loaded(one, 2)
    assert to_hand_back(scenario.pool, scenario.now + 1) is None  # `two` is idle
    scenario.loaded(two, 1)
    assert to_hand_back(scenario.pool, scenario.now + 1) == [one]
    two.since = scenario.now + 0.95
    assert to_hand_back(scenario.pool, scenario.now + 1) is None  # `two` moves
    two.since = scenario.now
    scenario.pool.stopping = True
    assert to_hand_back(scenario.pool, scenario.now + 1) is None


@pytest.mark.parametrize("run", [a_run(), forced_run()])
def test_the_pool_is_looked_at_again_while_work_waits(run: Run) -> None:
    scenario = Scenario()
    scenario.accept(run)
    assert scenario.now < next_look(scenario.pool, scenario.now) <= scenario.now + STALE_SECONDS
