"""What an attempt cost stands in its entry, however it ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.spending import MIB, Spends, SpendsAndCommits, SpendsTogether, burn, spends_async

from taskscheduler import Process, Scheduler, Status
from taskscheduler.testing import InlineNode

StartNode = Callable[..., NodeProcess]

SPENT, LITTLE = 0.3, 0.1  #: seconds
TICK = 0.01  #: seconds, in which the system counts a whole process: one may be missing at each end


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    return start_node(jobs=["tests.support.spending"], max_children=1)


def last(process: Process) -> dict[str, Any]:
    return process.refresh().attempts[-1]


def test_an_attempt_has_its_own_cost_and_not_that_of_the_one_before(scheduler: Scheduler, node: NodeProcess) -> None:
    """All in one worker."""
    large = scheduler.add_job(Spends, {"cpu": SPENT, "memory": 64})
    small = scheduler.add_job(Spends, {})
    program = scheduler.add_job(Spends, {"cpu": SPENT, "program": True})
    failed = scheduler.add_job(Spends, {"cpu": SPENT, "fails": True})
    scheduler.wait_for([large, small, program, failed], timeout=60)
    costs = {one.id: last(one) for one in (large, small, program, failed)}
    assert len({cost["worker"] for cost in costs.values()}) == 1
    for one in (large, program, failed):
        assert SPENT <= costs[one.id]["cpu"] < costs[one.id]["wall"] + 1
    assert costs[small.id]["cpu"] < SPENT
    assert costs[large.id]["peak_memory"] > costs[small.id]["peak_memory"] + 50 * MIB
    assert costs[small.id]["wait"] > SPENT
    assert costs[small.id]["exit_code"] is costs[small.id]["signal"] is None
    assert failed.refresh().status is Status.FAILED


def test_a_killed_worker_leaves_what_its_job_cost(scheduler: Scheduler, node: NodeProcess) -> None:
    scheduler.add_job(Spends, {"cpu": 1.0}).wait(60)  # in the same worker before
    killed = scheduler.add_job(Spends, {"cpu": SPENT, "memory": 64, "kills": True}, retry=1, retry_interval=0)
    slow = scheduler.add_job(Spends, {"cpu": LITTLE, "lasts": True}, timeout=2)
    scheduler.wait_for([killed, slow], timeout=60)
    first, second = killed.refresh().attempts[0], last(killed)
    assert 1.0 > first["cpu"] >= SPENT
    assert 1.0 > last(slow)["cpu"] >= LITTLE
    assert (first["signal"], first["exit_code"]) == (9, None)
    assert first["peak_memory"] > 64 * MIB
    assert second["attempt"] > first["attempt"]
    assert (last(slow)["status"], last(slow)["exit_code"]) == (Status.TIMEOUT, 0)


def test_what_a_stopped_node_hands_back_has_its_cost(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    node = start_node(jobs=["tests.support.spending"], max_children=1, stop_timeout=0)
    trace = tmp_path / "trace"
    process = scheduler.add_job(Spends, {"cpu": SPENT, "lasts": True, "trace": str(trace)})
    eventually(lambda: len(traces(trace)) == 1, 30)
    node.stop()
    [cost] = process.refresh().attempts
    assert (process.status, cost["status"]) == (Status.WAITING, None)
    assert cost["cpu"] >= SPENT
    assert (cost["exit_code"], cost["signal"]) in ((0, None), (None, 9), (None, 15))


def test_a_job_that_is_tried_again_keeps_what_it_cost_and_begins_anew(scheduler: Scheduler) -> None:
    with InlineNode(scheduler) as node:
        process = scheduler.add_job(Spends, {"cpu": 0.01, "fails": True})
        node.run_due()
        [before] = process.refresh().attempts
        again = scheduler.retry_job(process.id)
        assert "cpu" not in again.refresh().to_dict()
        [kept] = again.attempts
    for name in ("cpu", "wall", "wait"):
        assert kept[name] == before[name] is not None, name
    assert kept["cpu"] >= 0.01


@pytest.mark.parametrize("name", ["spends_and_commits", "spends_and_commits_async"])
def test_a_commit_stores_what_the_job_has_cost_until_then(scheduler: Scheduler, node: NodeProcess, name: str) -> None:
    process = scheduler.add_job(name, SPENT).wait(60)
    assert SPENT <= last(process)["cpu"] < last(process)["wall"] + 1
    assert last(process)["peak_memory"] > MIB


def test_a_commit_beside_a_test_stores_what_the_job_has_cost_until_then(scheduler: Scheduler) -> None:
    process = scheduler.add_job(SpendsAndCommits, LITTLE)
    with InlineNode(scheduler) as node:
        node.run_due()
    assert last(process)["cpu"] >= LITTLE


def test_a_program_has_its_cost(scheduler: Scheduler) -> None:
    with scheduler.track("import") as record:
        burn(LITTLE)
    cost = last(scheduler.get_job(record.id))
    assert LITTLE - 2 * TICK <= cost["cpu"] < cost["wall"] + 1
    assert cost["peak_memory"] > MIB


def test_async_jobs_and_batches_have_their_part(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=["tests.support.spending"], max_children=1, async_jobs=10)
    beside = [scheduler.add_job(spends_async, seconds) for seconds in (SPENT, 0.0)]
    batch = [scheduler.add_job(SpendsTogether) for _ in range(4)]
    scheduler.wait_for([*beside, *batch], timeout=60)
    costs = [last(one) for one in beside]
    assert costs[0]["cpu"] >= SPENT > costs[1]["cpu"]
    assert all(cost["peak_memory"] > MIB for cost in costs)
    shares = {round(last(one)["cpu"], 2) for one in batch}
    assert {one.refresh().batched for one in batch} == {4}
    assert len(shares) == 1
    assert 0.05 <= last(batch[0])["cpu"] < 0.2
    assert batch[3].status is Status.FAILED
