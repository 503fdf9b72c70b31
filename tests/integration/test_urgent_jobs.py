"""An urgent job runs before hundreds of others that its node has claimed already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import Trace, Wait, traces
from tests.support.nodes import NodeProcess

from taskscheduler import Scheduler, Status

#: the node claims 300 jobs ahead, however quick they are, keeps them while the only worker waits, and never polls
_AHEAD = """
from taskscheduler_daemon.manager.pool import hand_back
from taskscheduler_daemon.node.maintenance import duty, planner, unknown_sweeper
from taskscheduler_daemon.node.state.speed import Speed
Speed.ahead = lambda self, slots: 300 if slots else 0
hand_back.STALE_SECONDS = 3600.0
duty.POLL = planner.POLL = unknown_sweeper.POLL = 36000.0
"""


@pytest.mark.parametrize("before", [0, 3000])
def test_urgent_jobs_run_before_hundreds_that_are_claimed(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path, before: int
) -> None:
    """After thousands of others, the node does not follow the change stream any more."""
    trace, gate = tmp_path / "trace", tmp_path / "gate"
    waits = (Wait, {"trace": str(trace), "until": str(gate)})
    scheduler.add_jobs([*[(Trace, str(trace))] * before, waits, *[(Trace, str(trace))] * 1000])
    start_node(pm="static", min_children=1, max_children=1, late=_AHEAD)
    jobs = scheduler.store.jobs.collection
    held = {"class": Trace.name, "status": int(Status.PROCESSING)}
    eventually(lambda: len(traces(trace)) == before + 1 and jobs.count_documents(held) >= 150, 60)
    claimed = {str(job["_id"]) for job in jobs.find(held, {"_id": 1})}
    first = scheduler.add_job(Trace, str(trace), priority=1)
    eventually(lambda: first.refresh().status is Status.PROCESSING, 30, "it is claimed although there is no room")
    more = scheduler.add_jobs([(Trace, str(trace), {"priority": priority}) for priority in (1, 2, 0)])
    eventually(lambda: [one.refresh().status for one in more[:2]] == [Status.PROCESSING] * 2, 30)
    assert more[2].refresh().status is Status.WAITING
    gate.touch()
    eventually(lambda: len(traces(trace)) > before + 350, 60)
    order = [words[0] for words in traces(trace)][before:]
    higher, *others = (order.index(str(one.id)) for one in (more[1], more[0], first))
    assert higher < others[0], "they came together"
    passed = claimed.intersection(order[: max(others)])
    assert len(passed) < len(claimed) / 2, "no more than were on their way to the worker in that moment"
