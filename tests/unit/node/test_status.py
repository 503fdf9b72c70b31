"""What is registered about a node."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bson import ObjectId
from tests.unit.node.fakes import WORKER, FakeClock, attempt, lease

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.node.status import NodeStatus

POOL = {"pm": "static", "slots": 2, "async_jobs": 10, "forced": 16}

BUSY, IDLE = 2**22 + 1, 2**22 + 2  #: pids that Linux gives to no process: its memory would be read


class Bench:
    """The status of a node with these attempts in flight."""

    def __init__(self, **options: Any) -> None:
        self.in_flight, own_lease = InFlight(), lease(duration=4.0)
        self.capacity = Capacity(self.in_flight, own_lease, 0)
        self.ended_as: Counter[Ending] = Counter()
        chosen = NodeOptions(name="node", queues=("mail",), kill_grace=0.25, **options)
        self.status = NodeStatus(chosen, self.in_flight, self.capacity, own_lease, self.ended_as, FakeClock(1000.0))

    def workers(self) -> list[dict[str, Any]]:
        return list(self.status.all()["workers"])


def test_what_people_and_other_nodes_read() -> None:
    bench = Bench()
    bench.status.pool_changed(POOL)
    bench.in_flight.add([attempt(), attempt(options={"force_spawn": True})])
    bench.ended_as[Ending.TIMED_OUT] += 3
    facts = bench.status.all()
    assert (facts["name"], facts["queues"], facts["lease"], facts["grace"]) == ("node", ["mail"], 4.0, 0.25)
    assert (facts["pm"], facts["slots"], facts["busy"], facts["running"]) == ("static", 2, 1, 2)
    assert (facts["forced"], facts["async_jobs"]) == (POOL["forced"], POOL["async_jobs"])
    assert (facts["ended"], facts["workers"]) == ({"timed_out": 3}, [])


def test_a_pool_that_is_mentioned_again_is_no_news() -> None:
    bench = Bench()
    assert bench.status.pool_changed(POOL)
    assert not bench.status.pool_changed(POOL)
    assert bench.status.pool_changed({**POOL, "slots": 3})
    assert bench.capacity.slots == 3


def test_workers_with_the_jobs_that_they_run() -> None:
    bench, idle = Bench(), ObjectId()
    for worker, pid in ((WORKER, BUSY), (idle, IDLE)):
        bench.status.worker_changed({"event": "worker_spawn", "worker": worker, "pid": pid})
    first, second = attempt(), attempt()
    first.worker = second.worker = WORKER
    second.began = 993.0
    bench.in_flight.add([first, second, attempt()])
    assert bench.workers() == [
        {"id": str(WORKER), "pid": BUSY, "job": second.fence.job_id, "seconds": 7.0, "jobs": 2},
        {"id": str(idle), "pid": IDLE, "job": None, "seconds": 0.0, "jobs": 0},
    ]
    bench.status.worker_changed({"event": "worker_kill", "worker": WORKER, "pid": BUSY})
    bench.status.worker_changed({"event": "worker_kill", "worker": WORKER, "pid": BUSY})
    assert [worker["pid"] for worker in bench.workers()] == [IDLE]


def test_names_and_version_are_registered_once() -> None:
    bench = Bench()
    assert not {"jobs", "version"} & set(bench.status.at_start())
    bench = Bench(known=("a", "b"), version="1.4.2")
    at_start = bench.status.at_start()
    assert (at_start["jobs"], at_start["version"]) == (["a", "b"], "1.4.2")
    assert not {"jobs", "version"} & set(bench.status.all())
    assert "jobs" not in Bench(known=tuple(map(str, range(1001)))).status.at_start(), "too many to read at each look"


def test_what_workers_know_is_registered_once_it_differs_from_what_modules_have_shown() -> None:
    bench = Bench(known=("a", "b"))
    assert not bench.status.known_changed(["b", "a"])
    assert "jobs" not in bench.status.all()
    assert bench.status.known_changed(["a", "c"])
    assert bench.status.all()["jobs"] == ["a", "c"]
    of_its_factory = Bench()
    assert of_its_factory.status.known_changed([])
    assert of_its_factory.status.all()["jobs"] == []
