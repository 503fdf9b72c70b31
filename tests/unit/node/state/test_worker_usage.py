"""What a node says of its workers: their memory, and the CPU time since its last look."""

from __future__ import annotations

import os

import pytest

from taskscheduler_daemon.node.state import worker_usage
from taskscheduler_daemon.node.state.worker_usage import WorkerUsage
from taskscheduler_daemon.system.procfs import usage_of


def test_the_cpu_time_is_that_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter([(100, 5.0), (200, 8.0), (300, 8.0)])
    monkeypatch.setattr(worker_usage, "usage_of", lambda pid: next(spent))
    usage = WorkerUsage()
    assert usage.measure(7, 10.0) == {"memory": 100}
    assert usage.measure(7, 16.0) == {"memory": 200, "cpu": 50.0}
    usage.keep([8])
    assert usage.measure(7, 20.0) == {"memory": 300}, "it may be another process"


def test_a_worker_that_is_gone_uses_nothing() -> None:
    assert WorkerUsage().measure(2**22 + 1, 1.0) == WorkerUsage().measure(None, 1.0) == {}


def test_a_process_is_measured() -> None:
    found = usage_of(os.getpid())
    assert found is not None
    assert found[0] > 1024**2
    assert found[1] > 0
