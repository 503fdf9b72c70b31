"""Jobs misbehave in every way: each ends as promised, nothing is stuck, and the next job is not harmed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import TOLD, NodeProcess, descendants, is_running
from tests.support.tables import rarely

from taskscheduler import Scheduler, Status

StartNode = Callable[..., NodeProcess]
MODULES = ["tests.support.jobs", "tests.support.nasty"]
MB = 1 << 20


@pytest.fixture
def node(start_node: StartNode) -> NodeProcess:
    """A node with one worker, so that a job that harms it harms the next one."""
    return start_node(jobs=MODULES, pm="static", min_children=1)


@pytest.fixture
def forking_node(start_node: StartNode) -> NodeProcess:
    return start_node(jobs=["tests.support.forking"], pm="static", min_children=1)


def started(path: Path, count: int = 1) -> list[list[str]]:
    return eventually(lambda: traces(path) if len(traces(path)) >= count else None, 30, f"{count} traces")


def pids(path: Path) -> list[int]:
    return [int(words[-1]) for words in traces(path)]


def all_gone(gone: list[int]) -> bool:
    return not any(is_running(pid) for pid in gone)


def works(scheduler: Scheduler) -> None:
    """The node takes and ends jobs as if nothing had been."""
    assert scheduler.add_job("echo", "fine").result(timeout=30)["data"] == "fine"
    assert list(scheduler.get_jobs()) == []


# -- how the worker ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "data", "how"),
    [
        pytest.param("exits_as", 0, {"exit_code": 0}, marks=pytest.mark.faults),
        pytest.param("exits_as", 3, {"exit_code": 3}, marks=pytest.mark.faults),
        ("exits_as", 71, {"exit_code": 71}),  # the code of a worker that could not be built
        ("segfault", None, {"signal": signal.SIGSEGV}),
        ("ends_by_signal", signal.SIGKILL, {"signal": signal.SIGKILL}),
        pytest.param("ends_by_signal", signal.SIGABRT, {"signal": signal.SIGABRT}, marks=pytest.mark.faults),
    ],
)
def test_a_job_that_ends_its_worker_is_lost_three_times_and_says_how(
    scheduler: Scheduler, node: NodeProcess, job: str, data: Any, how: dict[str, int]
) -> None:
    process = scheduler.add_job(job, data).wait(timeout=20)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert process.error["type"] == "PoisonedJobError"
    assert process.error.items() >= how.items()
    assert [one["error"]["type"] for one in process.attempts[:2]] == ["WorkerLostError"] * 2
    assert all(one["error"].items() >= how.items() for one in process.attempts[:2])
    works(scheduler)


def test_a_job_that_sends_its_worker_sigterm_fails_or_is_lost_and_never_stuck(
    scheduler: Scheduler, node: NodeProcess
) -> None:
    process = scheduler.add_job("ends_by_signal", signal.SIGTERM).wait(timeout=20)
    assert process.status is Status.FAILED
    works(scheduler)


def test_a_stopped_job_is_ended_by_its_timeout(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("ends_by_signal", signal.SIGSTOP, timeout=0.5).wait(timeout=30)
    assert process.status is Status.TIMEOUT
    works(scheduler)


def test_a_job_that_kills_the_manager_costs_its_attempt_only(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("kills_manager")
    assert process.result(timeout=20) == 2
    assert process.attempts[0]["error"]["type"] == "WorkerLostError"
    works(scheduler)


@pytest.mark.parametrize("job", ["spin", "stubborn"])
def test_a_node_that_stops_hands_a_job_back_that_cannot_be_interrupted(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path, job: str
) -> None:
    node = start_node(jobs=MODULES, stop_timeout=0.2, kill_grace=0.2)
    process = scheduler.add_job(job, str(tmp_path / "log"))
    worker = int(started(tmp_path / "log")[0][2])
    assert node.stop(timeout=5) == 0
    assert not is_running(worker)
    stored = process.refresh().to_dict()
    assert (process.status, stored["lost"], stored["retries"]) == (Status.WAITING, 0, 0)


# -- descriptors ------------------------------------------------------------------------------------------------------


def test_a_job_that_closes_all_descriptors_is_lost_and_not_stuck(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    """It cannot report its end any more, so nobody can say that it succeeded."""
    log = tmp_path / "log"
    process = scheduler.add_job("closes_descriptors", {"trace": str(log)}).wait(timeout=20)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert process.error["type"] == "PoisonedJobError"
    assert len(traces(log)) == 3
    works(scheduler)


def test_a_job_that_closes_all_descriptors_and_goes_on_can_be_cancelled_and_timed_out(
    scheduler: Scheduler, start_node: StartNode, tmp_path: Path
) -> None:
    """As its node is told: it never looks by itself."""
    start_node(jobs=MODULES, pm="static", min_children=1, **TOLD)
    log = tmp_path / "log"
    data = {"trace": str(log), "then": "wait"}
    process = scheduler.add_job("closes_descriptors", data, timeout=1.5).wait(timeout=20)
    assert process.status is Status.TIMEOUT
    process = scheduler.add_job("closes_descriptors", data)
    started(log, 2)
    process.cancel()
    eventually(lambda: all_gone(pids(log)), 20, "killed")
    works(scheduler)


def test_a_job_that_replaces_all_descriptors_is_lost_and_not_stuck(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("replaces_descriptors").wait(timeout=20)
    assert process.status is Status.FAILED
    works(scheduler)


# -- children ---------------------------------------------------------------------------------------------------------


def test_a_fork_that_returns_from_the_job_is_no_second_worker(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    """It would report the same job twice and take jobs that the manager believes elsewhere."""
    log = tmp_path / "log"
    processes = [scheduler.add_job("forks_and_returns", str(log)) for _ in range(20)]
    processes += scheduler.add_jobs([("noop", number) for number in range(500)])
    scheduler.wait_for(processes, timeout=60)
    assert {process.status for process in processes} == {Status.DONE}
    assert {process.attempt for process in processes} == {1}
    forks = pids(log)
    assert len(forks) == 20
    assert not {process.result_value for process in processes} & set(forks)
    eventually(lambda: all_gone(forks), 20, "no fork is left")
    assert "was not given" not in node.log.read_text()
    works(scheduler)


def test_what_a_dead_worker_leaves_behind_is_killed(scheduler: Scheduler, node: NodeProcess, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert scheduler.add_job("leaves_daemon", str(log)).wait(timeout=20).status is Status.FAILED
    assert len(traces(log)) == 3
    eventually(lambda: all_gone(pids(log)), 20, "no daemon is left")
    works(scheduler)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("returns", 0),
        ("raises", 1),
        ("unspeakable", 1),
        ("interrupt", 1),
        ("exit", 0),
        ("exit 5", 5),
        ("exit text", 1),
        ("waits", -signal.SIGTERM),
    ],
)
def test_a_fork_ends_as_in_any_program(
    scheduler: Scheduler, forking_node: NodeProcess, tmp_path: Path, how: str, code: int
) -> None:
    """And nothing of it is taken for the end of the job, whichever part of the job has forked."""
    log = tmp_path / "log"
    for name in ("forking", "forking_async", "forking_set_up"):
        assert scheduler.add_job(name, how, retry=0).result(timeout=20) == code, name
    assert scheduler.add_job("forking_tear_down", {"how": how, "trace": str(log)}).wait(20).status is Status.DONE
    assert traces(log) == [[str(code)]]
    if how == "raises":
        process = scheduler.add_job("forking", how, retry=0).wait(timeout=20)
        assert any("ValueError: in the fork" in line.text for line in process.logs())


@pytest.mark.faults
@pytest.mark.parametrize("setsid", [True, *rarely(False)])
@pytest.mark.parametrize("end", ["timeout", "cancel"])
def test_a_fork_bomb_that_a_limit_holds_is_gone_with_its_job(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path, end: str, setsid: bool
) -> None:
    log = tmp_path / "log"
    log.touch()
    log.chmod(0o666)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.name.startswith(("test_", "popen-", "pytest-", "taskscheduler-tests-")):
            directory.chmod(0o755)  # it gives up the rights of root
    data = {"trace": str(log), "limit": 40, "setsid": setsid}
    process = scheduler.add_job("fork_bomb", data, timeout=2 if end == "timeout" else 0)
    started(log, 30)
    if end == "cancel":
        process.cancel()
    process.wait(timeout=30)
    assert process.status is (Status.TIMEOUT if end == "timeout" else Status.CANCELED)
    eventually(lambda: all_gone(pids(log)), 30, "no process of the bomb is left")
    works(scheduler)
    eventually(lambda: len(descendants(node.pid)) == 2, 30, "manager and worker")


# -- what a job leaves in its worker ----------------------------------------------------------------------------------


def test_a_timer_that_a_job_leaves_behind_does_not_reach_the_next_one(scheduler: Scheduler, node: NodeProcess) -> None:
    assert scheduler.add_job("leaves_alarm").result(timeout=30)
    process = scheduler.add_job("wait", {"seconds": 1})
    assert process.result(timeout=30) == "waited"
    assert process.attempt == 1
    works(scheduler)


def test_a_thread_that_a_job_leaves_behind_keeps_no_worker_alive(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    assert scheduler.add_job("leaves_thread").result(timeout=30)
    works(scheduler)
    below = node.tree()
    assert node.stop(timeout=5) == 0
    assert all_gone(below)


def test_a_job_that_ignores_signals_leaves_its_worker_as_killable_as_before(
    scheduler: Scheduler, node: NodeProcess, tmp_path: Path
) -> None:
    worker = scheduler.add_job("defies_signals").result(timeout=30)
    log = tmp_path / "log"
    process = scheduler.add_job("wait", {"trace": str(log)}, timeout=1.5).wait(timeout=20)
    assert process.status is Status.TIMEOUT
    assert pids(log) == [worker], "the same worker had both"
    works(scheduler)


# -- memory and size --------------------------------------------------------------------------------------------------


def test_a_job_that_runs_out_of_memory_under_a_limit_fails(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("eats_memory", {"limit": 1 << 30}).wait(timeout=30)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert process.error["type"] == "MemoryError"


@pytest.mark.faults
def test_c_code_that_crashes_for_want_of_memory_is_a_lost_worker(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("eats_memory", {"limit": 1 << 29, "stubborn": True}).wait(timeout=30)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert process.error["type"] == "PoisonedJobError"
    assert process.error["signal"] == signal.SIGSEGV
    assert process.error["peak_memory"] > 100 * MB
    works(scheduler)


@pytest.mark.parametrize("shape", ["bytes", *rarely("list")])
def test_a_result_of_100_mb_fails_the_job_and_names_both_sizes(
    scheduler: Scheduler, node: NodeProcess, shape: str
) -> None:
    process = scheduler.add_job("returns", {"mb": 100, "shape": shape}).wait(timeout=60)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert process.error["type"] == "PayloadTooLargeError"
    assert str(MB) in process.error["message"]
    assert process.result_value is None
    assert process.attempt == 1
    works(scheduler)


def test_an_error_of_100_mb_is_stored_shortened(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("fails_aloud", 100 * MB).wait(timeout=60)
    assert process.status is Status.FAILED
    assert process.error is not None
    assert process.error["type"] == "ValueError"
    assert len(process.error["message"]) <= 2048
    assert len(process.error["traceback"]) <= 8192
    works(scheduler)


def test_a_job_that_talks_without_a_pause_is_heard_to_the_end(scheduler: Scheduler, node: NodeProcess) -> None:
    process = scheduler.add_job("talks")
    assert process.result(timeout=30) == "said"
    assert process.message == "the end"
    works(scheduler)
    assert sum(len(line.text) for line in process.logs()) > 900_000
