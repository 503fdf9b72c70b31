"""Workers that have had their jobs, their time or their memory are replaced between two jobs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess

from taskscheduler import Scheduler

StartNode = Callable[..., NodeProcess]
JOBS = ["tests.support.jobs", "tests.support.enduring"]


def test_a_worker_runs_as_many_jobs_as_it_may_and_no_job_is_lost(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(max_children=2, worker_max_jobs=7)
    processes = scheduler.add_jobs([("echo", number) for number in range(100)])
    scheduler.wait_for(processes, throw=True, timeout=30)
    runs = Counter(process.result_value["pid"] for process in processes)
    assert max(runs.values()) <= 7
    assert {process.attempt for process in processes} == {1}


def test_an_old_worker_is_replaced_after_its_job(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    node = start_node(pm="static", min_children=1, worker_max_age=1)
    lines, stop = tmp_path / "trace", tmp_path / "stop"
    process = scheduler.add_job("wait", {"trace": str(lines), "until": str(stop)})
    eventually(lambda: traces(lines))
    runner = int(traces(lines)[0][2])
    threading.Event().wait(1.5)  # beyond the age of the worker
    assert runner in node.workers
    stop.touch()
    assert process.result(20) == "told"
    assert process.attempt == 1
    eventually(lambda: node.workers and runner not in node.workers, 20, "a new worker")


def test_a_worker_that_has_grown_is_replaced(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node(jobs=JOBS, pm="static", min_children=1, worker_max_growth=64 * 1024 * 1024)
    small, large = (scheduler.add_job("keep", size).result(20) for size in (1000, 100 * 1024 * 1024))
    assert small == large
    eventually(lambda: scheduler.add_job("keep", 1000).result(20) != large, 20, "another worker")


def test_workers_without_work_end_down_to_the_least(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    node = start_node(min_children=1, max_children=3, idle_ttl=0.5)
    lines, stop = tmp_path / "trace", tmp_path / "stop"
    processes = [scheduler.add_job("wait", {"trace": str(lines), "until": str(stop)}) for _ in range(3)]
    eventually(lambda: len(traces(lines)) == 3 and len(node.workers) == 3, 20)
    stop.touch()
    scheduler.wait_for(processes, throw=True, timeout=20)
    eventually(lambda: len(node.workers) == 1, 20, "one worker")
    assert scheduler.add_job("echo").result(20)
