"""What a job changes in its worker, or leaves running there, does not reach the next job."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.leavings import RESTORED, SPOILING
from tests.support.nodes import NodeProcess, children, is_running

from taskscheduler import Scheduler, Status

StartNode = Callable[..., NodeProcess]

ONE_WORKER = {"pm": "static", "min_children": 1}
LEAVINGS = ["tests.support.jobs", "tests.support.leavings"]
ITS_OWN = ("signal", "descriptor 1", "descriptor 2")  #: what another worker has: its output goes to pipes of its own
NASTY = ["tests.support.jobs", "tests.support.nasty"]


@pytest.mark.parametrize("job", ["leaves", "leaves_async"])
def test_the_next_job_finds_what_the_first_one_found(scheduler: Scheduler, start_node: StartNode, job: str) -> None:
    start_node(jobs=LEAVINGS, **ONE_WORKER)
    first = scheduler.add_job("looks").result(timeout=20)
    for name in RESTORED:
        process = scheduler.add_job(job, name)
        assert process.result(timeout=20) == first[0], name
        assert scheduler.add_job("looks").result(timeout=20) == first, name
        assert process.refresh().attempt == 1, name


@pytest.mark.parametrize("job", ["leaves", "leaves_async"])
def test_a_worker_is_replaced_if_its_job_has_spoiled_it(scheduler: Scheduler, start_node: StartNode, job: str) -> None:
    node = start_node(jobs=LEAVINGS, **ONE_WORKER)
    _, first = scheduler.add_job("looks").result(timeout=20)
    for name in SPOILING:
        processes = [scheduler.add_job(job, name), scheduler.add_job("looks")]
        spoiled, (pid, found) = (process.result(timeout=20) for process in processes)
        assert pid != spoiled, name
        assert found.keys() == first.keys()
        assert [key for key in found if found[key] != first[key] and not key.startswith(ITS_OWN)] == [], name
        assert [process.refresh().attempt for process in processes] == [1, 1], name
    # also where its standard error is gone: handlers of loggers have that of the node
    assert node.log.read_text().count("its worker is replaced") == len(SPOILING)


def test_a_job_that_is_cancelled_after_one_that_took_its_handler_away_is_torn_down(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    start_node(jobs=[*LEAVINGS, "tests.support.hooks"], **ONE_WORKER)
    for name in ("SIGTERM default", "SIGTERM ignored", "SIGTERM handled", "SIGTERM blocked"):
        scheduler.add_job("leaves", name).result(timeout=20)
        log = tmp_path / name
        process = scheduler.add_job("traced", {"trace": str(log), "wait": True})
        has_step(log, "start")
        process.cancel()
        assert process.wait(timeout=20).status is Status.CANCELED, name
        has_step(log, "tear_down")


def has_step(log: Path, step: str) -> None:
    eventually(lambda: any(line[0] == step for line in traces(log)), 20, step)


# -- what a job leaves running ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["child", "deaf", "session", "daemon", "dead"])
def test_what_a_job_leaves_running_ends_with_it(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, how: str
) -> None:
    start_node(jobs=NASTY, **ONE_WORKER)
    log = tmp_path / "log"
    worker = scheduler.add_job("leaves_child", {"how": how, "trace": str(log)}).result(timeout=20)
    assert not any(is_running(int(pid)) for pid in traces(log)[0][2:])
    assert children(worker) == []
    assert scheduler.add_job("waits_for_any_child").result(timeout=20) == 0
    assert scheduler.add_job("echo").result(timeout=20)["pid"] == worker


def test_what_a_job_leaves_running_can_be_kept_until_its_worker_ends(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    node = start_node(jobs=NASTY, keep_children=True, **ONE_WORKER)
    log = tmp_path / "log"
    worker = scheduler.add_job("leaves_child", {"how": "session", "trace": str(log)}).result(timeout=20)
    pid = int(traces(log)[0][2])
    assert scheduler.add_job("echo").result(timeout=20)["pid"] == worker
    assert children(worker) == [pid]
    assert is_running(pid)
    assert node.stop() == os.EX_OK
    eventually(lambda: not is_running(pid), 20, "gone with its worker")
