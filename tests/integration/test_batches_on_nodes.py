"""Batched runs on real nodes: how jobs gather there, and what becomes of a batch when something dies."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import batching
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess

from taskscheduler import Process, Scheduler, Status

StartNode = Callable[..., NodeProcess]

JOBS = ["tests.support.batching", "tests.support.jobs"]


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    return start_node(jobs=JOBS)


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(tmp_path / "trace")


def sizes(log: str) -> list[int]:
    return [int(words[1]) for words in traces(log) if words[0] == "batch"]


def items(log: str) -> Counter[str]:
    """How often each job got into a batch."""
    return Counter(words[1] for words in traces(log) if words[0] == "item")


def add(scheduler: Scheduler, log: str, count: int, job: Any = batching.Gather, **data: Any) -> list[Process]:
    return scheduler.add_jobs([(job, {"trace": log, "n": number, **data}) for number in range(count)])


def begun(log: str, count: int) -> None:
    eventually(lambda: sum(sizes(log)) >= count, 30, f"{count} jobs in batches")


def test_what_waits_runs_in_full_batches(start_node: StartNode, scheduler: Scheduler, log: str) -> None:
    processes = add(scheduler, log, 95)
    start_node(jobs=JOBS)
    scheduler.wait_for(processes, timeout=30)
    assert {process.status for process in processes} == {Status.DONE}
    assert sorted(sizes(log), reverse=True)[:9] == [10] * 9
    assert sum(sizes(log)) == 95
    assert set(items(log).values()) == {1}


def test_the_first_job_waits_for_others_and_no_longer_than_it_must(
    node: NodeProcess, scheduler: Scheduler, log: str
) -> None:
    began = time.monotonic()
    processes = []
    for _ in range(4):
        processes += add(scheduler, log, 1, batching.SlowGather)
    scheduler.wait_for(processes, timeout=30)
    assert sizes(log) == [4]
    assert 0.4 < time.monotonic() - began < 5
    assert [process.batched for process in processes] == [4] * 4


def test_a_full_batch_does_not_wait(node: NodeProcess, scheduler: Scheduler, log: str) -> None:
    processes = add(scheduler, log, 20, batching.LongGather)
    scheduler.wait_for(processes, timeout=30)
    assert sizes(log) == [10, 10]


def test_jobs_that_gather_hold_up_no_others(start_node: StartNode, scheduler: Scheduler, log: str) -> None:
    start_node(jobs=JOBS, max_children=1)
    waiting = add(scheduler, log, 3, batching.LongGather)
    eventually(lambda: {process.refresh().status for process in waiting} == {Status.PROCESSING}, 20)
    echoes = scheduler.add_jobs([("echo", number) for number in range(20)])
    scheduler.wait_for(echoes, timeout=30)
    assert sizes(log) == []
    more = add(scheduler, log, 7, batching.LongGather)
    scheduler.wait_for([*waiting, *more], timeout=30)
    assert sizes(log) == [10]


def test_classes_queues_and_ordinary_jobs_are_kept_apart(start_node: StartNode, scheduler: Scheduler, log: str) -> None:
    other = log + "-other"
    mixed: list[Any] = []
    for number in range(30):
        mixed += [(batching.Gather, {"trace": log, "n": number}), ("echo", number)]
        mixed += [(batching.Gather, {"trace": other, "n": number}, {"queue": "other"}), (batching.add_up, number)]
    processes = scheduler.add_jobs(mixed)
    start_node(jobs=JOBS)
    scheduler.wait_for(processes, timeout=40)
    assert {process.status for process in processes} == {Status.DONE}
    assert [process.result_value for process in processes[3::4]] == [2 * number for number in range(30)]
    assert (sum(sizes(log)), sum(sizes(other))) == (30, 30)
    assert len(sizes(log)) <= 6


def test_outcomes_of_single_items(node: NodeProcess, scheduler: Scheduler, log: str) -> None:
    happens = ["result", "fail", None, "fail_once", "discard", "result"]
    data = [{"trace": log, "n": number, "do": what} for number, what in enumerate(happens)]
    processes = scheduler.add_jobs([(batching.SlowGather, one, {"retry": 1}) for one in data])
    scheduler.wait_for(processes, timeout=30)
    assert [process.status.label for process in processes] == ["done", "failed", "done", "done", "failed", "done"]
    assert [process.attempt for process in processes] == [1, 2, 1, 2, 1, 1]
    assert (processes[0].result_value, processes[5].result_value) == (0, 5)
    assert sizes(log) == [6, 2]


def test_an_exception_and_what_is_tried_again(node: NodeProcess, scheduler: Scheduler, log: str) -> None:
    data = [{"trace": log, "n": number, "do": what} for number, what in enumerate(["fail", None, "raise"])]
    processes = scheduler.add_jobs([(batching.SlowGather, one) for one in data])
    scheduler.wait_for(processes, timeout=30)
    assert [(process.error or {})["type"] for process in processes] == ["JobFailure", "OSError", "OSError"]


def test_async_batches_run_side_by_side_in_one_worker(start_node: StartNode, scheduler: Scheduler, log: str) -> None:
    until = log + "-go"
    data = [{"trace": log, "n": n, "until": until, "do": "fail" if n == 7 else None} for n in range(30)]
    processes = scheduler.add_jobs([(batching.AsyncGather, one) for one in data])
    start_node(jobs=JOBS)
    begun(log, 30)
    Path(until).touch()
    scheduler.wait_for(processes, timeout=30)
    assert [process.status for process in processes].count(Status.FAILED) == 1
    assert processes[29].result_value == 29
    assert len({words[2] for words in traces(log) if words[0] == "batch"}) == 1


def test_one_of_a_running_batch_is_cancelled_and_the_others_go_on(
    node: NodeProcess, scheduler: Scheduler, log: str
) -> None:
    processes = add(scheduler, log, 10, batching.LongGather, until=log + "-go")
    begun(log, 10)
    processes[3].cancel()
    scheduler.add_job("echo", 1).wait(20)
    Path(log + "-go").touch()
    scheduler.wait_for(processes, timeout=30)
    assert [process.status for process in processes].count(Status.DONE) == 9
    assert processes[3].status is Status.CANCELED
    assert [words for words in traces(log) if words[0] == "end"] == [["end", "10"]]


def test_a_batch_ends_when_all_its_jobs_are_cancelled(node: NodeProcess, scheduler: Scheduler, log: str) -> None:
    processes = add(scheduler, log, 10, batching.LongGather, until=log + "-never")
    begun(log, 10)
    (worker,) = {int(words[2]) for words in traces(log) if words[0] == "batch"}
    for process in processes:
        process.cancel()
    eventually(lambda: worker not in node.workers, 20, "the worker is killed")
    again = add(scheduler, log, 10)  # the slot is free again
    scheduler.wait_for(again, timeout=30)


def test_a_job_that_gathers_is_cancelled(node: NodeProcess, scheduler: Scheduler, log: str) -> None:
    processes = add(scheduler, log, 3, batching.SlowGather)
    eventually(lambda: processes[1].refresh().status is Status.PROCESSING, 20)
    processes[1].cancel()
    scheduler.wait_for(processes, timeout=30)
    assert [process.status for process in processes] == [Status.DONE, Status.CANCELED, Status.DONE]


def test_a_batch_that_kills_its_worker_leaves_suspects_that_run_alone(
    node: NodeProcess, scheduler: Scheduler, log: str
) -> None:
    data = [{"trace": log, "n": number, "do": "kill" if number == 2 else None} for number in range(6)]
    processes = scheduler.add_jobs([(batching.SlowGather, one) for one in data])
    scheduler.wait_for(processes, timeout=60)
    assert {process.status for process in processes} == {Status.DONE}
    assert sizes(log) == [6, *[1] * 6]
    assert {process.to_dict()["lost"] for process in processes} == {0}
    message = (processes[0].attempts[0]["error"] or {})["message"]
    assert "while it ran 6 jobs, each of which runs alone next" in message


def test_the_shortest_timeout_ends_the_whole_batch(node: NodeProcess, scheduler: Scheduler, log: str) -> None:
    data = {"trace": log, "until": log + "-never"}
    processes = scheduler.add_jobs([(batching.SlowGather, data), (batching.SlowGather, data, {"timeout": 1})])
    scheduler.wait_for(processes, timeout=30)
    assert {process.status for process in processes} == {Status.TIMEOUT}
    assert (processes[0].error or {})["message"] == "ran longer than 1 s"


def test_a_node_that_stops_hands_back_what_gathers(start_node: StartNode, scheduler: Scheduler, log: str) -> None:
    node = start_node(jobs=JOBS)
    processes = add(scheduler, log, 4, batching.LongGather)
    eventually(lambda: {process.refresh().status for process in processes} == {Status.PROCESSING}, 20)
    began = time.monotonic()
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(20) == 0
    assert time.monotonic() - began < 8
    assert {(process.refresh().status, process.attempt) for process in processes} == {(Status.WAITING, 0)}
    assert sizes(log) == []


def test_a_node_that_stops_lets_a_running_batch_end(start_node: StartNode, scheduler: Scheduler, log: str) -> None:
    node = start_node(jobs=JOBS)
    processes = add(scheduler, log, 10, until=log + "-go")
    begun(log, 1)
    node.process.send_signal(signal.SIGTERM)
    eventually(lambda: "node stops" in node.log.read_text(), 20)
    Path(log + "-go").touch()
    assert node.process.wait(20) == 0
    assert Status.PROCESSING not in {process.refresh().status for process in processes}
    assert len([process for process in processes if process.status is Status.DONE]) == sum(sizes(log))


def test_large_data_and_results_are_divided_and_arrive(start_node: StartNode, scheduler: Scheduler) -> None:
    """Ten times a megabyte do not fit in one batch."""
    processes = scheduler.add_jobs([("mirror_batch", {"text": "x" * 1_000_000}) for _ in range(12)])
    start_node(jobs=[*JOBS])
    scheduler.wait_for(processes, timeout=60)
    assert {process.status for process in processes} == {Status.DONE}
    assert {len(process.result_value["text"]) for process in processes} == {1_000_000}
    assert max(process.batched or 0 for process in processes) == 9 - 1


def test_a_class_that_has_no_option_batch_on_the_node_runs_one_by_one(
    node: NodeProcess, scheduler: Scheduler, database: Any
) -> None:
    processes = scheduler.add_jobs([("echo", number, {"at": 4_000_000_000}) for number in range(20)])
    batch = {"batch": {"size": 10, "wait": 0.1}, "status": 0, "at": processes[0].created}
    database["taskscheduler.jobs"].update_many({}, {"$set": batch})
    scheduler.wait_for(processes, timeout=30)
    assert {process.status for process in processes} == {Status.DONE}
    assert [process.result_value["data"] for process in processes] == list(range(20))


def test_a_budget_of_jobs_holds(start_node: StartNode, scheduler: Scheduler, log: str) -> None:
    add(scheduler, log, 30)
    node = start_node(jobs=JOBS, max_jobs=14)
    assert node.process.wait(30) == 0
    assert sum(sizes(log)) == 14


def test_nodes_that_are_killed_lose_nothing_and_acknowledge_nothing_twice(
    start_node: StartNode, scheduler: Scheduler, database: Any, log: str
) -> None:
    """Jobs that gather, run, and are just being reported when their node or worker dies."""
    options = {"jobs": JOBS, "orphaned_timeout": 1, "max_lost": 50}
    nodes = [start_node(**options), start_node(**options)]
    processes = [*add(scheduler, log, 300), *add(scheduler, log, 65, batching.SlowGather)]
    for _ in range(4):
        _await_more(log, processes)
        victim = nodes.pop(0)
        os.kill(victim.pid, signal.SIGKILL)
        for worker in nodes[0].workers[:1]:
            os.kill(worker, signal.SIGKILL)
        nodes.append(start_node(**options))
    scheduler.wait_for(processes, timeout=120)
    assert {process.status for process in processes} == {Status.DONE}
    entries = database["taskscheduler.events"].find()
    done = Counter(one["job"] for entry in entries for one in entry["events"] if one["status"] == Status.DONE)
    assert len(done) > 200, "a node that is killed may not have logged the last ones"
    assert set(done.values()) == {1}
    assert set(items(log)) == {str(process.id) for process in processes}


def _await_more(log: str, processes: list[Process]) -> None:
    """Waits until some more jobs have begun, or all have ended."""
    before = len(traces(log))
    eventually(
        lambda: len(traces(log)) > before + 20 or all(process.refresh().status.is_final for process in processes), 30
    )
