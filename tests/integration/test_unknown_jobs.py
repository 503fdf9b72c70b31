"""Jobs of classes that a node does not know: they wait for one that does, and fail when there is none for too long."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess

from taskscheduler import Process, Scheduler, Status
from taskscheduler.operations.control.known import unknown_classes
from taskscheduler.store.overview import ClusterOverview

StartNode = Callable[..., NodeProcess]

OTHER = ["tests.support.little"]  #: modules that do not know the jobs of these tests

#: a node that leaves a class to others for good, however long a test takes
ASKS_ONCE = "from taskscheduler_daemon.node.state import unknown_jobs; unknown_jobs.LEFT_ALONE = 36000.0"


def met(node: NodeProcess, times: int = 1) -> bool:
    return node.log.read_text().count("job not known on this node") >= times


@pytest.mark.parametrize("job", ["echo", "async_wait", "os.system"])
@pytest.mark.parametrize("options", [{}, {"force_spawn": True}, {"priority": 5}], ids=["plain", "forced", "urgent"])
def test_a_node_that_comes_to_know_a_class_runs_the_jobs_that_waited(
    scheduler: Scheduler, start_node: StartNode, tmp_path: object, job: str, options: dict[str, object]
) -> None:
    ignorant = start_node(jobs=OTHER)
    process = scheduler.add_job(job, {"trace": f"{tmp_path}/trace", "until": "/"}, **options)  # type: ignore[arg-type]
    eventually(lambda: met(ignorant), 20, "it has met the job")
    eventually(lambda: process.refresh().status is Status.WAITING, 30, "it is handed back")
    assert (process.attempt, process.attempts, process.to_dict()["lost"]) == (0, [], 0)
    if job == "os.system":
        return  # nobody imports a name from the database
    start_node(jobs=["tests.support.jobs", "tests.support.asyncjobs"])
    process.wait(30)
    assert (process.status, process.attempt) == (Status.DONE, 1)


def claims(database: Database[dict[str, Any]], process: Process) -> int:
    """How often a job was claimed until now."""
    mine = {"events.job": process.id, "events.status": int(Status.PROCESSING)}
    return len(list(database["taskscheduler.events"].aggregate([{"$unwind": "$events"}, {"$match": mine}])))


def run_one_each(scheduler: Scheduler, queues: list[str]) -> None:
    """Runs a known job on the one node of each queue: whatever that node had looked for before is claimed and logged.

    A node looks, claims and logs its claims in one thread, one after the other.
    """
    for known in [scheduler.add_job("little", queue=queue) for queue in queues]:
        assert known.wait(60).status is Status.DONE, "other jobs run meanwhile"


def test_nodes_that_do_not_know_a_job_do_not_pass_it_round(
    scheduler: Scheduler, database: Database[dict[str, Any]], start_node: StartNode
) -> None:
    own = ["one", "two"]
    nodes = [start_node(jobs=OTHER, queues=["default", queue], late=ASKS_ONCE) for queue in own]
    unknown = [scheduler.add_job("echo", number) for number in range(5)]
    eventually(lambda: all(map(met, nodes)), 60, "both have met one")
    run_one_each(scheduler, own)
    eventually(lambda: all(one.refresh().status is Status.WAITING for one in unknown), 60, "all are handed back")
    before = sum(claims(database, process) for process in unknown)
    later = scheduler.add_job("echo", 6)
    run_one_each(scheduler, own)
    assert claims(database, later) == 0
    assert sum(claims(database, process) for process in unknown) == before
    start_node()
    for process in (*unknown, later):
        assert process.wait(60).attempt == 1


def test_a_job_that_no_node_knows_fails_when_it_has_waited_long_enough(
    scheduler: Scheduler, start_node: StartNode
) -> None:
    for _ in range(2):
        start_node(jobs=OTHER, unknown_timeout=2, orphaned_timeout=3)
    process = scheduler.add_job("echo", 1)
    process.wait(30)
    assert (process.status, process.attempt) == (Status.FAILED, 1)
    assert (process.error or {})["type"] == "InvalidJobError"
    assert process.ended is not None
    assert process.created is not None
    assert (process.ended - process.created).total_seconds() > 1.9


def test_a_job_that_a_busy_node_knows_does_not_fail(scheduler: Scheduler, start_node: StartNode) -> None:
    """It waits for a slot there, for longer than others wait for somebody who knows it."""
    start_node(jobs=["tests.support.jobs"], pm="static", min_children=1)
    busy = scheduler.add_job("wait", {"seconds": 6})
    eventually(lambda: busy.refresh().status is Status.PROCESSING, 30)
    start_node(jobs=OTHER, unknown_timeout=1, orphaned_timeout=3)
    process = scheduler.add_job("echo", 1)
    assert process.wait(30).status is Status.DONE


@pytest.mark.parametrize("first", ["application", "nodes"])
def test_a_rolling_deploy_fails_nothing_and_runs_nothing_twice(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, first: str
) -> None:
    """The application adds jobs of a new class before the nodes have it, or after that."""
    old, processes = [start_node(jobs=OTHER) for _ in range(2)], list[Process]()

    def add(*names: str) -> None:
        processes.extend(scheduler.add_job(name, str(tmp_path / "trace")) for name in names for _ in range(10))

    for node in old:
        add("little", *(["trace"] if first == "application" else []))
        if first == "application":
            eventually(partial(met, node), 20, "it has met the new class")
        start_node(jobs=[*OTHER, "tests.support.jobs"])
        add("little", *(["trace"] if first == "application" else []))
        assert node.stop() == 0
    add("little", "trace")
    for process in processes:
        process.wait(20)
    assert {(process.status, process.attempt, process.to_dict()["lost"]) for process in processes} == {
        (Status.DONE, 1, 0)
    }
    ran = [words[0] for words in traces(tmp_path / "trace")]
    assert sorted(ran) == sorted(str(process.id) for process in processes if process.job == "trace")


def test_new_workers_run_what_their_modules_have_learnt(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    """The module is imported in each worker, as it starts a thread."""
    (module := tmp_path / "growing.py").write_text(
        "import threading\nfrom taskscheduler import job\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "@job(name='first')\ndef first(): pass\n"
    )
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    node = start_node(jobs=["growing"], late=path, pm="static", min_children=1, orphaned_timeout=3600)
    assert [one["jobs"] for one in scheduler.store.nodes.all()] == [["first"]]
    process = scheduler.add_job("second")
    eventually(lambda: met(node), 20, "it has met the job")
    module.write_text(f"{module.read_text()}@job(name='second')\ndef second(): pass\n")
    node.send(signal.SIGHUP)
    assert process.wait(20).status is Status.DONE
    eventually(lambda: [one["jobs"] for one in scheduler.store.nodes.all()] == [["first", "second"]])


def test_what_no_node_knows_is_found_without_a_look_at_the_others(
    scheduler: Scheduler, database: Database[dict[str, Any]]
) -> None:
    scheduler.add_jobs([("Mail", None)] * 500 + [("New", None)] * 500)
    scheduler.store.nodes.register(ObjectId(), {"jobs": ["Mail"]})
    overview = ClusterOverview(database, scheduler.options)
    nodes = overview.nodes()
    database.command("profile", 2)
    try:
        assert unknown_classes(overview, nodes) == [("New", "default")]
    finally:
        database.command("profile", 0)
    seen = list(database["system.profile"].find({"ns": {"$regex": "jobs$"}, "docsExamined": {"$exists": True}}))
    assert len(seen) >= 3
    assert max(entry["docsExamined"] for entry in seen) <= 10
    assert max(entry["keysExamined"] for entry in seen) <= 10
