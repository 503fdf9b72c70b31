"""A job may be silent for so long and no longer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.asyncjobs import AsyncSigns
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess, is_running

from taskscheduler import JobTimeoutError, Scheduler, Status

StartNode = Callable[..., NodeProcess]


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    return start_node(jobs=["tests.support.jobs", "tests.support.enduring"])


def test_a_silent_job_is_gone_with_all_it_started_and_tried_again(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    data = {"trace": str(tmp_path / "trace"), "signs": 1, "every": 0.01}
    process = scheduler.add_job("signs", data, silence_timeout=2, retry=1, retry_interval=0)
    with pytest.raises(JobTimeoutError, match="gave no sign of life for 2 s and was killed"):
        process.result(30)
    assert process.status is Status.TIMEOUT
    assert [entry["status"] for entry in process.attempts] == [Status.TIMEOUT, Status.TIMEOUT]
    assert process.error is not None
    assert process.error["type"] == "JobTimeoutError"
    assert process.message == "sign 0"
    pids = [int(words[-1]) for words in traces(tmp_path / "trace")]
    assert len(pids) == 4
    eventually(lambda: not any(map(is_running, pids)))


def test_signs_of_life_that_are_too_many_to_be_sent_count_as_well(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    """The first is sent; all others fall into the time in which nothing is written."""
    slow: dict[str, Any] = {"progress_rate_limit": 60_000}
    start_node(jobs=["tests.support.enduring"], scheduler_options=slow)
    data = {"trace": str(tmp_path / "trace"), "signs": 70, "every": 0.05, "return": True}
    process = scheduler.add_job("signs", data, silence_timeout=2.5)
    process.wait(30)
    assert (process.status, process.error) == (Status.DONE, None)


@pytest.mark.parametrize("async_jobs", [100, 0], ids=["beside others", "alone"])
def test_those_of_async_jobs_count_as_well(scheduler: Scheduler, start_node: StartNode, async_jobs: int) -> None:
    slow: dict[str, Any] = {"progress_rate_limit": 60_000}
    start_node(jobs=["tests.support.asyncjobs"], scheduler_options=slow, async_jobs=async_jobs)
    process = scheduler.add_job(AsyncSigns, 30, silence_timeout=1.5).wait(30)
    assert (process.status, process.error) == (Status.DONE, None)


def test_after_silence_the_interval_goes_on(scheduler: Scheduler, node: NodeProcess, tmp_path: Path) -> None:
    data = {"trace": str(tmp_path / "trace"), "signs": 0, "every": 0}
    first = scheduler.add_job("signs", data, silence_timeout=0.3, interval=3600)
    first.wait(30)
    [following] = eventually(lambda: list(scheduler.get_jobs({"series": first.series, "status": Status.POSTPONED})))
    assert following.options["silence_timeout"] == 0.3


def test_the_option_is_stored_only_where_it_is_used(scheduler: Scheduler) -> None:
    assert "silence_timeout" not in scheduler.add_job("noop").to_dict()["options"]
    assert scheduler.add_job("noop", silence_timeout=5).to_dict()["options"]["silence_timeout"] == 5
    scheduler.add_job_once("noop", 1, silence_timeout=5)
    assert scheduler.add_job_once("noop", 1, silence_timeout=5).outcome == "existing"
    assert scheduler.add_job_once("noop", 1, silence_timeout=0).outcome == "replaced"


# -- children ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_nodes(start_node: StartNode) -> None:
    """A short lease, so that the nodes note often what runs."""
    modules = ["tests.support.jobs", "tests.support.enduring", "tests.support.asyncjobs"]
    for queue in ("parents", "children"):
        start_node(jobs=modules, queues=[queue], pm="static", min_children=2, orphaned_timeout=4)


def signs(tmp_path: Path, count: int) -> dict[str, Any]:
    return {"trace": str(tmp_path / "trace"), "signs": count, "every": 0.3, "return": True}


@pytest.mark.usefixtures("two_nodes")
@pytest.mark.parametrize("queue", ["parents", "children"], ids=["on its node", "on another node"])
@pytest.mark.parametrize("parent", ["wait", "async_wait"])
def test_signs_of_life_of_a_child_keep_its_silent_parent_alive(
    scheduler: Scheduler, tmp_path: Path, parent: str, queue: str
) -> None:
    data = {"until": str(tmp_path / "end"), "trace": str(tmp_path / "waits")}
    silent = scheduler.add_job(parent, data, silence_timeout=3, queue="parents")
    eventually(lambda: silent.refresh().status is Status.PROCESSING)
    child = scheduler.add_job("signs", signs(tmp_path, 14), parent=silent.id, queue=queue)
    child.wait(30)
    assert (child.status, silent.refresh().status) == (Status.DONE, Status.PROCESSING)
    (tmp_path / "end").touch()
    assert silent.wait(30).status is Status.DONE


@pytest.mark.usefixtures("two_nodes")
def test_so_do_those_of_a_grandchild(scheduler: Scheduler, tmp_path: Path) -> None:
    data = {"until": str(tmp_path / "end")}
    silent = scheduler.add_job("wait", data, silence_timeout=3, queue="parents")
    child = scheduler.add_job("wait", data, parent=silent.id, queue="parents")
    eventually(lambda: child.refresh().status is Status.PROCESSING)
    grandchild = scheduler.add_job("signs", signs(tmp_path, 14), parent=child.id, queue="children")
    grandchild.wait(30)
    assert silent.refresh().status is Status.PROCESSING
    (tmp_path / "end").touch()
    scheduler.wait_for([silent, child], timeout=30)
    assert (silent.status, child.status) == (Status.DONE, Status.DONE)


@pytest.mark.usefixtures("two_nodes")
def test_a_child_that_is_silent_or_falls_silent_keeps_nobody_alive(scheduler: Scheduler, tmp_path: Path) -> None:
    """Its node notes that it runs, which is no sign of the job."""
    data = {"until": str(tmp_path / "never")}
    parents = [scheduler.add_job("wait", data, silence_timeout=2.5, queue="parents") for _ in range(2)]
    scheduler.add_job("wait", data, parent=parents[0].id, queue="children")
    scheduler.add_job("signs", {**signs(tmp_path, 2), "return": False}, parent=parents[1].id, queue="children")
    scheduler.wait_for(parents, timeout=30)
    assert [process.status for process in parents] == [Status.TIMEOUT, Status.TIMEOUT]
    assert all("gave no sign of life for 2.5 s" in (process.error or {})["message"] for process in parents)
