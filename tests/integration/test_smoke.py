from __future__ import annotations

from tests.support.nodes import NodeProcess

from taskscheduler import Scheduler


def test_a_job_runs_and_gives_its_result(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("echo", {"x": 1})
    assert process.result(timeout=10)["data"] == {"x": 1}
    assert node.stop() == 0
