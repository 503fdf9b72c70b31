"""What a worker may use of its host, and what becomes of a job that wants more."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import ROOT, NodeProcess

from taskscheduler import Process, Scheduler, Status

MB = 1024 * 1024
COMMAND = Path(sys.executable).with_name("taskscheduler")

StartNode = Callable[..., NodeProcess]


@pytest.fixture
def node(start_node: StartNode) -> StartNode:
    """Start a node with the hungry jobs and one worker, so that jobs come one after the other to the same process."""

    def start(**options: Any) -> NodeProcess:
        jobs = ["tests.support.jobs", "tests.support.hungry"]
        return start_node(jobs=jobs, max_children=1, **options)

    return start


def failure(process: Process) -> dict[str, Any]:
    """The error of a job that must fail."""
    process.wait(30)
    assert process.status is Status.FAILED, (process.status, process.error)
    assert process.error is not None
    return process.error


def test_without_options_there_are_no_limits(node: StartNode, scheduler: Scheduler) -> None:
    node()
    found = scheduler.add_job("limits").result(20)
    for name, kind in (("memory", resource.RLIMIT_DATA), ("cpu", resource.RLIMIT_CPU), ("core", resource.RLIMIT_CORE)):
        assert found[name] == list(resource.getrlimit(kind))
    assert found["files"] == list(resource.getrlimit(resource.RLIMIT_NOFILE))


def test_every_limit_reaches_the_jobs_and_forbids_core_dumps(node: StartNode, scheduler: Scheduler) -> None:
    node(max_memory=256 * MB, max_cpu=5, max_files=64, max_processes=4000)
    found = scheduler.add_job("limits").result(20)
    assert found["memory"] == [256 * MB, 288 * MB]
    assert found["files"] == [64, 80]
    assert found["processes"] == [4000, 4000]
    assert 6 <= found["cpu"][0] <= 10
    assert found["core"] == [0, 0]


def test_one_limit_alone_forbids_core_dumps(node: StartNode, scheduler: Scheduler) -> None:
    node(max_files=64)
    found = scheduler.add_job("limits").result(20)
    assert found["core"] == [0, 0]
    assert found["memory"] == list(resource.getrlimit(resource.RLIMIT_DATA))


# -- memory -----------------------------------------------------------------------------------------------------------


def test_a_job_that_wants_too_much_memory_fails_and_the_next_one_runs(node: StartNode, scheduler: Scheduler) -> None:
    node(max_memory=256 * MB)
    assert scheduler.add_job("allocate", 150 * MB).result(20) == 150 * MB
    error = failure(scheduler.add_job("allocate", 300 * MB))
    assert error["type"] == "MemoryError"
    assert "bytearray(self.data)" in error["traceback"]
    assert scheduler.add_job("allocate", 150 * MB).result(20) == 150 * MB


def test_a_job_that_has_used_up_all_memory_can_still_be_told_of(node: StartNode, scheduler: Scheduler) -> None:
    """Not a byte is left when it fails, and it keeps what it has: the next job gets another worker."""
    node(max_memory=128 * MB)
    before = scheduler.add_job("limits").result(20)["pid"]
    process = scheduler.add_job("hoard")
    assert failure(process)["type"] == "MemoryError"
    assert process.attempt == 1
    assert scheduler.add_job("allocate", 50 * MB).result(20) == 50 * MB
    assert scheduler.add_job("limits").result(20)["pid"] != before


def test_the_database_client_of_a_job_fits_into_a_small_worker(node: StartNode, scheduler: Scheduler) -> None:
    """Its threads reserve hundreds of megabytes of addresses that they never use."""
    node(max_memory=96 * MB)
    assert scheduler.get_job(scheduler.add_job("uses_scheduler").result(20)).job == "noop"


def test_mapped_files_and_shared_memory_do_not_count(node: StartNode, scheduler: Scheduler) -> None:
    node(max_memory=128 * MB)
    assert scheduler.add_job("map", 2048 * MB).result(20) == 0


# -- CPU time ---------------------------------------------------------------------------------------------------------


def test_a_job_that_burns_too_much_cpu_fails_and_may_clean_up(
    node: StartNode, scheduler: Scheduler, tmp_path: Path
) -> None:
    node(max_cpu=0.5)
    error = failure(scheduler.add_job("burn", {"seconds": 60, "trace": str(tmp_path / "trace")}))
    assert (error["type"], error["message"]) == ("CpuLimitError", "used more than 0.5 CPU seconds (max_cpu)")
    assert "hungry.py" in error["traceback"]
    assert traces(tmp_path / "trace") == [["cleaned", "up"]]
    assert scheduler.add_job("idle", 0).result(20) == "rested"


def test_cpu_time_is_counted_for_each_job_alone(node: StartNode, scheduler: Scheduler) -> None:
    """The worker lives longer than its limit is."""
    node(max_cpu=1)
    workers = [scheduler.add_job("burn", {"seconds": 0.6}).result(20) for _ in range(6)]
    assert len(set(workers)) == 1


def test_a_job_that_rests_is_not_charged_for_it(node: StartNode, scheduler: Scheduler) -> None:
    node(max_cpu=0.3)
    assert scheduler.add_job("idle", 1.0).result(20) == "rested"


@pytest.mark.parametrize("name", ["spin", "deaf"])
def test_a_job_that_does_not_hear_is_killed_and_fails(
    node: StartNode, scheduler: Scheduler, tmp_path: Path, name: str
) -> None:
    """One never leaves C code, the other one catches everything. Neither is taken for a lost worker and tried again."""
    node(max_cpu=0.5)
    process = scheduler.add_job(name, str(tmp_path / "trace"))
    error = failure(process)
    assert error["type"] == "CpuLimitError"
    assert error["message"].startswith("used more than 0.5 CPU seconds (max_cpu) and was killed")
    assert error["signal"] == 24
    assert error["peak_memory"] > MB
    assert process.attempt == 1
    assert scheduler.add_job("idle", 0).result(20) == "rested"
    if name == "deaf":  # added by its name, so that only a worker knows of its notification
        eventually(lambda: ["notified", "failed"] in traces(tmp_path / "trace"), 20)
        assert ["CpuLimitError"] in traces(tmp_path / "trace")


def test_a_job_that_was_stopped_is_tried_again_like_any_other_failure(node: StartNode, scheduler: Scheduler) -> None:
    node(max_cpu=0.3)
    process = scheduler.add_job("burn", {"seconds": 60}, retry=1, retry_interval=0)
    assert failure(process)["type"] == "CpuLimitError"
    assert process.attempt == 2


# -- files and processes ----------------------------------------------------------------------------------------------


def test_a_job_that_opens_too_many_files_fails_with_what_the_system_says(node: StartNode, scheduler: Scheduler) -> None:
    node(max_files=40)
    error = failure(scheduler.add_job("open", 41))
    assert (error["type"], error["message"]) == ("OSError", "[Errno 24] Too many open files: '/dev/null'")


def test_a_job_that_leaves_no_file_free_can_still_give_a_large_result(node: StartNode, scheduler: Scheduler) -> None:
    """Which travels in a file."""
    node(max_files=40)
    failure(scheduler.add_job("open", 41))
    process = scheduler.add_job("large", 100_000)
    assert len(process.result(20)) == 100_000
    assert process.attempt == 1


def test_a_job_cannot_start_more_processes_than_its_user_may_have(node: StartNode, scheduler: Scheduler) -> None:
    node(max_processes=1)
    error = failure(scheduler.add_job("fork"))
    assert error["type"] == "BlockingIOError"


# -- options ----------------------------------------------------------------------------------------------------------


def test_limits_are_options_of_the_command(uri: str, scheduler: Scheduler, tmp_path: Path) -> None:
    """As options or in the environment, with sizes as people write them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TASKSCHEDULER_MAX_CPU": "1m", "TASKSCHEDULER_URI": uri}
    options = ["--jobs", "tests.support.hungry", "--max-memory", "256M", "--max-files", "64", "--max-processes", "4000"]
    log = tmp_path / "node.log"
    with log.open("w") as output:
        node = subprocess.Popen([COMMAND, "node", *options], env=environment, stdout=output, stderr=output)
    try:
        found = scheduler.add_job("limits").result(30)
    finally:
        node.terminate()
        node.wait(20)
    assert (found["memory"][0], found["files"][0], found["processes"][0]) == (256 * MB, 64, 4000)
    assert 60 <= found["cpu"][0] <= 70


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-memory", "lots"], "'lots' is not a size; give bytes, or for example 512M, 2G"),
        (["--max-memory", "1K"], "option max_memory must be between 67108864 and"),
        (["--max-cpu", "0.01"], "option max_cpu must be between 0.1 and"),
        (["--max-files", "3"], "option max_files must be between 16 and"),
        (["--max-processes", "-1"], "option max_processes must be between 0 and"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_in_one_line(uri: str, arguments: list[str], said: str) -> None:
    done = subprocess.run([COMMAND, "-u", uri, "node", *arguments], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
