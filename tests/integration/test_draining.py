"""A node that drains takes no new jobs, finishes those that it has, and ends; its services go on elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from bson import ObjectId
from tests.support.access import by_token, csrf_in, guarded, log_in
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import AsyncScheduler, Code, InvalidOptionError, NodeNotFoundError, Scheduler, Status
from taskscheduler_daemon.cli import main

#: a heartbeat each second
QUICK = {"orphaned_timeout": 3, "jobs": ["tests.support.jobs", "tests.support.enduring"]}


def test_a_draining_node_finishes_its_jobs_and_claims_none(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path, uri: str
) -> None:
    node = start_node(name="old", **QUICK)
    gate = tmp_path / "gate"
    running = scheduler.add_job("wait", {"until": str(gate)})
    service = scheduler.start_service("async_patient", {"trace": str(tmp_path / "trace")})
    eventually(lambda: {running.refresh().status, service.refresh().status} == {Status.PROCESSING})
    assert main(["node", "drain", "old", "--reason", "new kernel", "--uri", uri]) == 0
    eventually(lambda: "node drains" in node.log.read_text())
    eventually(lambda: scheduler.stats()["nodes"][0]["state"] == "draining")
    waiting = scheduler.add_job("noop")
    eventually(lambda: waiting.why().code is Code.NO_NODE)
    assert node.process.poll() is None
    gate.touch()
    assert node.process.wait(30) == 0
    assert (running.refresh().status, running.attempt) == (Status.DONE, 1)
    assert (waiting.refresh().status, waiting.attempt) == (Status.WAITING, 0)
    assert service.refresh().status in (Status.WAITING, Status.POSTPONED)
    assert scheduler.stats()["nodes"] == []
    entry = scheduler.audit.entries(what="node.drain")[0]
    assert (entry.target, entry.reason, entry.count, entry.outcome) == ("old", "new kernel", 1, "done")
    start_node(name="new", **QUICK)
    assert waiting.wait(20).status is Status.DONE
    eventually(lambda: service.refresh().status is Status.PROCESSING)


@pytest.fixture
def node(scheduler: Scheduler) -> ObjectId:
    """A node as the database knows it."""
    boot = ObjectId()
    scheduler.store.nodes.register(boot, {"name": "n1", "host": "h", "lease": 86_400.0})
    return boot


def state(scheduler: Scheduler) -> str:
    return str(scheduler.stats()["nodes"][0]["state"])


def test_an_operator_drains_a_node_by_its_id_and_a_viewer_does_not(
    scheduler: Scheduler, node: ObjectId, tmp_path: Path
) -> None:
    at = f"/api/v1/nodes/{node}/drain"
    with guarded(scheduler, tmp_path) as client:
        assert client.post(at, headers=by_token("vera")).status_code == 403
        assert state(scheduler) == "up"
        assert client.post("/api/v1/nodes/n2/drain", headers=by_token("otto")).json()["type"].endswith("node-not-found")
        assert client.post(at, headers=by_token("otto"), json={"reason": "old disk"}).json() == {"draining": 1}
        assert [one["state"] for one in client.get("/api/v1/nodes", headers=by_token("vera")).json()] == ["draining"]
    entry = scheduler.audit.entries(what="node.drain")[0]
    assert (entry.who, entry.reason, entry.outcome) == ("otto", "old disk", "done")


def test_the_page_of_nodes_asks_before_it_drains_one(scheduler: Scheduler, node: ObjectId, tmp_path: Path) -> None:
    at = f"/nodes/{node}/drain"
    with guarded(scheduler, tmp_path) as client:
        assert at not in client.get("/nodes", headers=by_token("vera")).text
        log_in(client, "otto")
        assert at in client.get("/nodes").text
        form = {"csrf": csrf_in(client.get(at).text), "reason": "old disk"}
        answer = client.post(at, data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.headers["location"] == "/nodes?done=drain"
        shown = client.get("/nodes?done=drain").text
        assert "The node drains." in shown
        assert at not in shown
        assert "You cannot drain it. It is draining." in client.get(at).text
        assert client.get(f"/nodes/{ObjectId()}/drain").status_code == 404
        assert "draining" in client.get("/").text


def test_what_does_not_run_cannot_be_drained(scheduler: Scheduler, node: ObjectId, uri: str) -> None:
    with pytest.raises(NodeNotFoundError, match="no node 'n2' runs"):
        scheduler.nodes.drain("n2")
    with pytest.raises(InvalidOptionError, match="option name must be the name or the id of a node, not 3"):
        scheduler.nodes.drain(3)  # type: ignore[arg-type]
    assert main(["node", "drain", "n2", "--uri", uri]) == 3
    assert scheduler.store.nodes.declare_lost(node, 0)
    with pytest.raises(NodeNotFoundError):
        scheduler.nodes.drain("n1")


def test_a_coroutine_drains_a_node_too(scheduler: Scheduler, node: ObjectId, uri: str) -> None:
    async def drain() -> int:
        async with AsyncScheduler(uri) as one:
            return await one.nodes.drain("n1")

    assert asyncio.run(drain()) == 1
    assert state(scheduler) == "draining"
