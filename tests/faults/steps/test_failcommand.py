"""The server itself refuses single commands, or closes the connection over them: no job is lost, none ends twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from taskscheduler import DatabaseError, DatabaseUnavailableError, Scheduler, Status
from tests.faults.steps.acting import Actor
from tests.faults.steps.server import Server
from tests.faults.steps.stage import LEASE, Stage
from tests.support.eventually import eventually
from tests.support.jobs import traces

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

INTERRUPTED, STEPPED_DOWN, LOCK_TIMEOUT, NO_SUCH_THING = 11602, 189, 24, 2
#: not 91, "shutting down": a server that says so and goes on is not trusted by the driver again
FAULTS: dict[str, dict[str, Any]] = {
    "interrupted": {"errorCode": INTERRUPTED},
    "stepped down": {"errorCode": STEPPED_DOWN},
    "closed connection": {"closeConnection": True},
    "unknown to a majority": {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
    "no such thing": {"errorCode": NO_SUCH_THING},  # one that nobody would try again
}
#: findAndModify claims a job that wakes a node, update ends jobs, getMore follows messages
WRITES = ["insert", "update", "findAndModify"]
READS = ["find", "getMore", "aggregate"]
FEW = 3  #: more than the driver's own second try can hide


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("failing"))
    yield server
    server.stop()


@pytest.fixture
def stage(server: Server, tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(
        server.client, server.uri("{}"), f"failing_{tmp_path.name[-40:]}".replace("-", "_"), tmp_path / "stage"
    )
    stage.clear()
    yield stage
    stage.scheduler.close()
    server.client.drop_database(stage.database.name)


@contextmanager
def running(stage: Stage, lease: float) -> Iterator[Actor]:
    with stage.acting("node", {"orphaned_timeout": lease, "max_lost": 10}) as node:
        eventually(lambda: "node ready" in stage.said("node"), 20, "node ready")
        yield node
        assert node.stop() == 0, stage.said("node")[-2000:]


@pytest.fixture
def node(stage: Stage) -> Iterator[Actor]:
    """One whose lease outlives a few failures."""
    with running(stage, 10 * LEASE) as node:
        yield node


def work(scheduler: Scheduler, log: str) -> list[Any]:
    """A little of everything."""
    processes = [scheduler.add_job("trace", log) for _ in range(3)]
    processes += scheduler.add_jobs([("trace", log)] * 3)
    processes.append(scheduler.add_job("flaky", 2, retry=1, retry_interval=0.05))
    processes.append(scheduler.add_job_once("echo", {"n": 1}))
    return processes


def one_by_one(stage: Stage) -> list[Any]:
    """Jobs that find the node idle, so that it claims them by their names."""
    return [stage.scheduler.add_job("trace", stage.log).wait(timeout=30) for _ in range(6)]


def all_ended_once(stage: Stage, processes: list[Any]) -> None:
    wanted = {Status.DONE: len(processes)}
    try:
        eventually(lambda: stage.statuses() == wanted and stage.settled(), 30, "all done")
    except AssertionError as error:
        error.add_note(stage.describe())
        raise
    assert len(traces(stage.log)) == len({tuple(words[:2]) for words in traces(stage.log)})
    stage.verify()


def commands_and_faults() -> Iterator[Any]:
    for command in WRITES + READS:
        for name, fault in FAULTS.items():
            if command in WRITES or "writeConcernError" not in fault:
                yield pytest.param(command, fault, id=f"{command}-{name}".replace(" ", "-"))


@pytest.mark.parametrize(("command", "fault"), list(commands_and_faults()))
def test_a_command_may_fail_a_few_times_while_jobs_run(
    server: Server, stage: Stage, node: Actor, command: str, fault: dict[str, Any]
) -> None:
    """The jobs are added by somebody whose commands do not fail; the node's do, three times in a row."""
    with server.failing([command], fault, FEW) as failpoint:
        processes = one_by_one(stage) if command == "findAndModify" else []
        all_ended_once(stage, processes + work(stage.scheduler, stage.log))
    assert failpoint.struck >= 1
    assert not stage.jobs.find_one({"lost": {"$gt": 0}}), "no process has died"


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "no such thing"])
def test_adding_goes_on_through_inserts_that_fail(server: Server, stage: Stage, node: Actor, name: str) -> None:
    with Scheduler(stage.uri) as scheduler:
        scheduler.add_job("trace", stage.log).wait(timeout=20)  # connected, and the schema is there
        with server.failing(["insert"], FAULTS[name], FEW) as failpoint:
            processes = [scheduler.add_job("trace", stage.log) for _ in range(3)]
            processes += scheduler.add_jobs([("trace", stage.log)] * 3)
    all_ended_once(stage, [None, *processes])
    assert failpoint.struck == FEW


def test_an_insert_that_is_refused_for_good_is_an_error_and_stores_nothing(server: Server, stage: Stage) -> None:
    with Scheduler(stage.uri) as scheduler:
        scheduler.add_job("noop")
        with server.failing(["insert"], FAULTS["no such thing"]), pytest.raises(DatabaseError):
            scheduler.add_job("noop")
    assert stage.statuses() == {Status.WAITING: 1}


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "no such thing"])
def test_an_add_of_which_nobody_can_know_says_so(
    server: Server, stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Only this error leaves it open whether the job was stored."""
    monkeypatch.setattr("taskscheduler.store.resumable.tries._PATIENCE", 0.5)
    monkeypatch.setattr("taskscheduler.store.job_inserts.JobInserts._are_durable", lambda *_: False)
    with Scheduler(stage.uri) as scheduler:
        scheduler.add_job("noop")
        with server.failing(["insert"], FAULTS[name]):
            with pytest.raises(DatabaseUnavailableError):
                scheduler.add_job("noop")
            with pytest.raises(DatabaseUnavailableError):
                scheduler.add_jobs(["noop"] * 3)


@pytest.mark.parametrize("commands", [["update"], ["find"], ["insert", "update", "findAndModify"]])
def test_a_server_that_refuses_commands_for_longer_than_a_lease_costs_time_only(
    server: Server, stage: Stage, commands: list[str]
) -> None:
    """What a job did is not done again because the end of it could not be written."""
    release = stage.directory / "release"
    with running(stage, LEASE):
        first = stage.scheduler.add_job("wait", {"trace": stage.log, "until": str(release)})
        eventually(lambda: traces(stage.log), 20, "it runs")
        with server.failing(commands, {"errorCode": LOCK_TIMEOUT}) as failpoint:
            release.touch()
            processes = work(stage.scheduler, stage.log)
            threading.Event().wait(2.5 * LEASE)
        all_ended_once(stage, [first, *processes])
    assert failpoint.struck >= 1
    assert first.refresh().attempt == 1
