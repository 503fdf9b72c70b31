"""Jobs write to the socket of their worker themselves: that costs their worker, and reaches no other job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.tables import rarely

from taskscheduler import Scheduler, Status

StartNode = Callable[..., NodeProcess]

JOBS = ["tests.support.jobs", "tests.support.impostors"]


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    return start_node(jobs=JOBS, max_children=2)


@pytest.mark.parametrize(
    "what", ["noise", "descriptor", "huge", *rarely("kind", "many", "zero", "worker", "nan", "large")]
)
def test_garbage_ends_its_worker_and_nothing_else(scheduler: Scheduler, node: NodeProcess, what: str) -> None:
    manager, neighbour = node.manager, scheduler.add_job("wait", {"seconds": 4})
    eventually(lambda: neighbour.refresh().status is Status.PROCESSING)
    process = scheduler.add_job("writes_garbage", what).wait(timeout=30)
    assert process.status is Status.FAILED
    assert process.result_value is None
    assert neighbour.result(timeout=20) == "waited"
    assert neighbour.refresh().attempt == 1
    assert node.manager == manager
    assert scheduler.add_job("echo", 1).result(timeout=20)


def test_a_worker_cannot_speak_for_a_run_of_another_one(scheduler: Scheduler, node: NodeProcess) -> None:
    victim = scheduler.add_job("wait", {"seconds": 3})
    eventually(lambda: victim.refresh().status is Status.PROCESSING)
    assert scheduler.add_job("speaks_for", victim.id).result(timeout=20) == "spoke"
    assert victim.result(timeout=20) == "waited"
    assert victim.refresh().message is None


@pytest.mark.parametrize(
    "content",
    [
        {"said": {"claim": "mine", "status": 0}},
        {"error": "text"},
        {"error": {"type": 1}},
        {"said": {"progress": "x"}},
    ],
)
def test_a_forged_report_of_its_own_run_fails_the_job(
    scheduler: Scheduler, node: NodeProcess, content: dict[str, Any]
) -> None:
    process = scheduler.add_job("forges_report", content).wait(timeout=20)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert process.error["type"] == "InvalidDocumentError"
    assert scheduler.add_job("echo", 1).result(timeout=20)
