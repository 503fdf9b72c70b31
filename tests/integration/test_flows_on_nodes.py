"""Flows on nodes with real workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tests.support.flowing  # noqa: F401  (jobs are known by name)
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import TOLD, NodeProcess

from taskscheduler import Flow, Scheduler, Status

StartNode = Callable[..., NodeProcess]

JOBS = {"jobs": ["tests.support.jobs", "tests.support.flowing"], "orphaned_timeout": 3}


def layered(path: Path, layers: int, width: int) -> Flow:
    """Full layers: each job comes after all of the layer before."""
    flow, before = Flow("layers"), list[object]()
    for layer in range(layers):
        before = [
            flow.add("flow-step", str(path), after=before, label=f"{layer}-{number}", retry=3)
            for number in range(width)
        ]
    return flow


def assert_in_order(path: Path) -> None:
    """No job has begun before all of the layers before had ended."""
    ended: dict[int, set[str]] = {}
    for label, what in traces(path):
        layer = int(label.split("-")[0])
        if what == "end":
            ended.setdefault(layer, set()).add(label)
        elif layer:
            assert len(ended.get(layer - 1, set())) == 4, f"{label} has begun too early"


def test_results_pass_through_workers(scheduler: Scheduler, start_node: StartNode) -> None:
    flow = Flow("sum")
    numbers = [flow.add("flow-number", number) for number in range(5)]
    flow.add("flow-total", [[number.result for number in numbers]], label="total")
    start_node(**JOBS, max_children=2)
    running = scheduler.flows.add(flow).wait(timeout=60, throw=True)
    assert running.processes[-1].result_value == 10


@pytest.mark.parametrize("nodes", [1, 2])
def test_layers_run_in_their_order(scheduler: Scheduler, start_node: StartNode, tmp_path: Path, nodes: int) -> None:
    path = tmp_path / "trace"
    for _ in range(nodes):
        start_node(**JOBS, max_children=2)
    running = scheduler.flows.add(layered(path, 5, 4)).wait(timeout=60, throw=True)
    assert len(traces(path)) == 2 * 20
    assert {process.status for process in running.processes} == {Status.DONE}
    assert_in_order(path)


def test_a_flow_goes_on_when_a_node_is_killed(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    killed = start_node(**JOBS, max_children=2)
    running = scheduler.flows.add(layered(path, 30, 4))
    eventually(lambda: len(traces(path)) > 20, 60, "it is at work")
    killed.kill()
    start_node(**JOBS, max_children=2)
    running.wait(timeout=120, throw=True)
    assert_in_order(path)


def test_a_worker_that_dies_while_it_adds_jobs_leaves_nothing_locked(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    """Its transaction would keep the job and its flow locked for a minute."""
    start_node(**JOBS, max_children=2)
    flow = Flow("grows")
    job = flow.add("flow-grow-and-die", 2)
    running = scheduler.flows.add(flow).wait(timeout=30, throw=True)
    assert (running.total, running.counts) == (4, {"done": 4})
    stored = scheduler.get_job(job.id).to_dict()
    assert (stored["attempt"], stored["lost"], "committing" in stored) == (2, 1, False)


#: a node that never looks by itself, and takes any flow for a fast one
FAST = f"{TOLD['late']}; from taskscheduler_daemon.node.claiming import flow_pace; flow_pace._FAST = 1"


def test_a_node_finds_other_jobs_although_it_hears_of_none_while_a_flow_is_fast(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    start_node(**{**JOBS, **TOLD, "late": FAST}, max_children=2)
    flow = Flow("chains")
    for _ in range(30):
        before: list[object] = []
        for _ in range(60):
            before = [flow.add("noop", after=before)]
    running = scheduler.flows.add(flow)
    jobs, done = scheduler.store.jobs.collection, {"flow": running.id, "status": int(Status.DONE)}
    eventually(lambda: jobs.count_documents(done) > 300, 60, "the flow is under way")
    scheduler.add_job("noop").wait(timeout=60, throw=True)
    assert running.refresh().status == "running"
    running.wait(timeout=120, throw=True)
    scheduler.add_job("noop").wait(timeout=10, throw=True)
