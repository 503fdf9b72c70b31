"""What is stored of the cost of an attempt, and what is read of that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from taskscheduler.model.attempts.cost import UNKNOWN, Cost, cost_of

DUE = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = DUE + timedelta(seconds=2)
NOTHING = dict.fromkeys(("wall", "cpu", "wait", "peak_memory", "exit_code", "signal"))


def test_only_what_is_known_is_stored() -> None:
    assert Cost(1.23456, 4096).stored() == {"cpu": 1.235, "peak_memory": 4096}
    assert Cost(0.0, None).stored() == {"cpu": 0.0}
    assert UNKNOWN.stored() == {}


def test_jobs_that_ran_as_one_share_the_cpu_time_and_not_the_memory() -> None:
    assert Cost(3.0, 4096).share(3) == Cost(1.0, 4096)
    assert Cost(3.0, 4096).share(1) == Cost(3.0, 4096)
    assert Cost(None, 4096).share(3) == Cost(None, 4096)


def test_the_cost_is_read_from_an_entry_and_its_times() -> None:
    entry = {"started": STARTED, "ended": STARTED + timedelta(seconds=5), "cpu": 0.5, "peak_memory": 4096}
    known = {"wall": 5.0, "wait": 2.0, "cpu": 0.5, "peak_memory": 4096}
    assert cost_of(entry, DUE) == {**NOTHING, **known}
    assert cost_of({"started": STARTED}, None) == NOTHING


def test_how_a_worker_ended_stands_in_the_error_or_beside_it() -> None:
    assert cost_of({"error": {"type": "WorkerLostError", "signal": 9}}, None) == {**NOTHING, "signal": 9}
    assert cost_of({"exit_code": 3}, None) == {**NOTHING, "exit_code": 3}


def test_whatever_else_stands_in_an_entry_is_not_known() -> None:
    odd = {"cpu": -1, "peak_memory": "much", "exit_code": True, "signal": 1.5, "started": 5, "error": [1]}
    assert cost_of(odd, DUE) == NOTHING
