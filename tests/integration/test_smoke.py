from __future__ import annotations

from taskscheduler import Scheduler

from tests.support.nodes import NodeProcess


def test_a_job_runs_and_gives_its_result(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("echo", {"x": 1})
    assert process.result(timeout=10)["data"] == {"x": 1}
    assert node.stop() == 0
