"""An exception of any kind, in any part of a job, fails the attempt once and is stored; the worker goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.failing import NAMES
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess
from tests.support.tables import crossed

from taskscheduler import Scheduler, Status

StartNode = Callable[..., NodeProcess]


@pytest.mark.parametrize(
    ("name", "part"), crossed(["odd", "odd_async"], ["set_up", "start", "tear_down", "notification"])
)
def test_the_attempt_fails_and_the_worker_goes_on(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, name: str, part: str
) -> None:
    node = start_node(jobs=["tests.support.failing"], pm="static", min_children=1)
    scheduler.add_job("fine").wait(20)
    workers, log = node.workers, tmp_path / "trace"
    jobs = [scheduler.add_job(name, {"part": part, "error": error, "trace": str(log)}, retry=0) for error in NAMES]
    scheduler.wait_for(jobs, timeout=40)
    assert scheduler.add_job("fine").result(20) == "fine"
    assert len(traces(log)) == len(NAMES), "each ran once"
    expected = Status.DONE if part == "notification" else Status.FAILED
    assert {process.status for process in jobs} == {expected}
    if part != "notification":
        errors = [process.error or {} for process in jobs]
        assert not {"WorkerLostError", "PoisonedJobError"} & {error["type"] for error in errors}
        assert all(error["message"] and error["traceback"] for error in errors)
    assert node.workers == workers, "no worker died"


@pytest.mark.parametrize("name", ["mute", "mute_async"])
def test_a_job_that_prints_into_closed_streams_fails_and_costs_no_worker(
    scheduler: Scheduler, start_node: StartNode, name: str
) -> None:
    """Its worker cannot log what tear_down and notification raise then."""
    start_node(jobs=["tests.support.failing"], pm="static", min_children=1)
    parts = [["start"], ["tear_down"], ["start", "tear_down"], ["notification"], ["start", "tear_down", "notification"]]
    jobs = [scheduler.add_job(name, closed, retry=0).wait(20) for closed in parts]  # async ones share their streams
    assert scheduler.add_job("fine").result(20) == "fine"
    found = [(one.refresh().status, one.attempt, (one.error or {}).get("type")) for one in jobs]
    failed = (Status.FAILED, 1, "ValueError")
    assert found == [failed, failed, failed, (Status.DONE, 1, None), failed]
    assert {one.to_dict()["lost"] for one in jobs} == {0}


_HANDLERS = """
import sys
from tests.support.failing import ODD
from taskscheduler import Scheduler
from taskscheduler_daemon import QueueNode, Worker, WorkerManager

def raising(error):
    def handler(*_):
        raise error
    return handler

class Factory:
    def build_manager(self):
        return WorkerManager(self, pm="static", min_children=1)

    def build_worker(self, id):
        worker = Worker(id, Scheduler(sys.argv[1]))
        for event in ("started", "fetched", "executed", "failed"):
            for error in [*ODD.values(), SystemExit(3), KeyboardInterrupt()]:
                worker.on(event, raising(error))
        return worker

node = QueueNode(Scheduler(sys.argv[1]), Factory())
for error in [*ODD.values(), SystemExit(3)]:
    node.on("worker_spawn", raising(error)).on("done", raising(error))
sys.exit(node.process())
"""


@pytest.mark.parametrize("name", ["odd", "odd_async"])
def test_handlers_that_raise_harm_nothing(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.nodes._MAIN", f"import logging; logging.basicConfig(level='INFO')\n{_HANDLERS}")
    node = start_node()
    data = {"error": NAMES[0], "trace": str(tmp_path / "trace")}
    good, bad = (scheduler.add_job(name, {**data, "part": part}, retry=0) for part in ("none", "start"))
    assert (good.wait(20).status, bad.wait(20).status) == (Status.DONE, Status.FAILED)
    assert (good.attempt, bad.attempt) == (1, 1)
    assert len(traces(tmp_path / "trace")) == 2
    assert (bad.error or {})["type"] == "tests.unit.model.test_exception_texts.A"
    assert node.stop() == 0
