"""What a node says about itself and its jobs, and what those hear who wait for a job that no node runs."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.tables import crossed

from taskscheduler import AsyncScheduler, Process, Scheduler, WaitTimeoutError
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.waiting import completion_watcher, waiter
from taskscheduler_daemon.node.completion.job_log import EACH_SECOND, MOST_AT_ONCE

StartNode = Callable[..., NodeProcess]

COMMAND = [sys.executable, "-c", "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"]

PLAIN = "from taskscheduler_daemon.logs import log_to_stderr; log_to_stderr()"


def lines(node: NodeProcess, text: str) -> list[str]:
    return [line for line in node.log.read_text().splitlines() if f" {text}" in line]


def test_a_node_says_at_its_start_what_it_serves(scheduler: Scheduler, start_node: StartNode) -> None:
    node = start_node(late=PLAIN, queues=["mail", "files"], pm="static", min_children=3)
    (said,) = lines(node, "node starts ")
    assert f'database="{scheduler.store.database.name} at 127.0.0.1:' in said
    assert " queues=mail,files " in said
    assert said.endswith(' workers="3 static"')
    assert " jobs=echo," in said or 'jobs="' in said
    assert lines(node, "this node knows no jobs") == []


@pytest.mark.parametrize(
    ("modules", "hint"), [([], "name their modules with --jobs yourapp.jobs"), (["json"], "its modules register none")]
)
def test_a_node_without_jobs_warns(start_node: StartNode, modules: list[str], hint: str) -> None:
    node = start_node(late=PLAIN, jobs=modules)
    (said,) = lines(node, "this node knows no jobs")
    assert " WARNING " in said
    assert hint in said
    assert " jobs=none " in lines(node, "node starts ")[0]


def about(node: NodeProcess, process: Process) -> list[str]:
    """What the log says about a job, without the time and the fields behind the attempt."""
    found = [line.partition(" ")[2] for line in node.log.read_text().splitlines() if f"job={process.id}" in line]
    return [line.replace(f" job={process.id}", "").split(" seconds=")[0].strip() for line in found]


def test_the_start_and_the_end_of_each_job_is_logged(scheduler: Scheduler, start_node: StartNode) -> None:
    node = start_node(late=PLAIN, max_lost=1)
    done, failed, retried, lost = (
        scheduler.add_job("noop"),
        scheduler.add_job("fail", "no\nway"),
        scheduler.add_job("flaky", 2, retry=1, retry_interval=0),
        scheduler.add_job("os_exit"),
    )
    scheduler.wait_for([done, failed, retried, lost], timeout=30)
    logged = {done: 2, failed: 2, retried: 4, lost: 2}  # an end is logged a little later than it is stored
    eventually(lambda: {process: len(about(node, process)) for process in logged} == logged)
    assert about(node, done) == ["INFO  job starts job_name=noop attempt=1", "INFO  job done job_name=noop attempt=1"]
    assert about(node, failed)[1].startswith("WARNING job failed: ValueError: no job_name=fail attempt=1")
    assert about(node, retried)[1].startswith("WARNING job failed: RuntimeError: attempt 1 job_name=flaky attempt=1")
    assert about(node, retried)[3] == "INFO  job done job_name=flaky attempt=2"
    assert about(node, lost)[-1].startswith("WARNING job lost its worker: PoisonedJobError: ")
    assert 0 <= float(lines(node, "job done")[0].split(" seconds=")[1]) < 30


def test_a_cancelled_job_is_logged(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    node = start_node(late=PLAIN)
    process = scheduler.add_job("wait", {"trace": str(tmp_path / "trace")})
    eventually((tmp_path / "trace").exists)
    process.cancel()
    eventually(lambda: about(node, process)[1:] == ["INFO  job cancelled job_name=wait attempt=1"])


def test_under_load_most_lines_are_left_out_and_counted(scheduler: Scheduler, start_node: StartNode) -> None:
    node, count, began = start_node(late=PLAIN), 20 * MOST_AT_ONCE, SYSTEM_CLOCK.monotonic()
    scheduler.wait_for(scheduler.add_jobs([("noop", number) for number in range(count)]), timeout=60)

    def counted() -> bool:
        """A busy node may hand a job back before it starts, which is one more start and one more end."""
        told = [line.split(" starts=")[1].split(" ends=") for line in lines(node, "more jobs start and end")]
        starts, ends = (sum(int(pair[place]) for pair in told) for place in (0, 1))
        ended = len(lines(node, "job done")) + len(lines(node, "job handed back before it started"))
        return starts + len(lines(node, "job starts")) == ends + ended >= count

    eventually(counted)
    seconds = SYSTEM_CLOCK.monotonic() - began
    assert len(lines(node, "job starts")) < MOST_AT_ONCE + 2 * EACH_SECOND * (1 + seconds)


@pytest.fixture
def nodes(scheduler: Scheduler) -> Callable[..., None]:
    """Registers a node that is up and says this about itself."""

    def register(**facts: Any) -> None:
        scheduler.store.nodes.register(ObjectId(), {"name": "web-1", "lease": 3600, **facts})

    return register


WAITS: list[tuple[dict[str, Any] | None, str]] = [
    (None, "no node that is up serves the queue letters"),
    ({"queues": ["other"]}, "no node that is up serves the queue letters"),
    ({"queues": [], "jobs": ["noop"]}, "no node that serves the queue letters knows the job 'echo'"),
]


@pytest.mark.parametrize(("way", "case"), crossed(["result", "future", "coroutine"], WAITS))
def test_who_waits_is_told_why_the_job_does_not_start(
    scheduler: Scheduler,
    uri: str,
    nodes: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    case: tuple[dict[str, Any] | None, str],
) -> None:
    node, reason = case
    for module in (waiter, completion_watcher):
        monkeypatch.setattr(module, "PATIENCE", 0.1)  # long before the wait ends, on any machine
    if node is not None:
        nodes(**node)
    process = scheduler.add_job("echo", queue="letters")

    async def wait() -> None:
        async with AsyncScheduler(uri) as other:
            await (await other.get_job(process.id)).result(timeout=5)

    ways: dict[str, Callable[[], Any]] = {
        "result": lambda: process.result(timeout=5),
        "future": lambda: process.future().result(timeout=5),
        "coroutine": lambda: asyncio.run(wait()),
    }
    with caplog.at_level(logging.WARNING, "taskscheduler"), pytest.raises((WaitTimeoutError, TimeoutError)):
        ways[way]()
    (record,) = [one for one in caplog.records if "does not start" in one.getMessage()]
    assert reason in record.getMessage()


@pytest.mark.parametrize(("form", "case"), crossed(["id", "tsv", "json"], WAITS))
def test_so_is_who_waits_on_the_command_line(
    uri: str, nodes: Callable[..., None], form: str, case: tuple[dict[str, Any] | None, str]
) -> None:
    node, reason = case
    if node is not None:
        nodes(**node)
    command = [*COMMAND, "-u", uri, "-o", form, "add", "echo", "--queue", "letters", "--wait", "--wait-timeout", "3s"]
    ended = commands.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 124
    assert ended.stderr.count(f"taskscheduler: {reason}") == 1


def test_nobody_is_told_anything_where_a_node_runs_the_job(
    scheduler: Scheduler, start_node: StartNode, caplog: pytest.LogCaptureFixture
) -> None:
    start_node()
    jobs = [scheduler.add_job("wait", {"seconds": 1.6}) for _ in range(4)]  # two wait for the others
    with caplog.at_level(logging.WARNING, "taskscheduler"):
        scheduler.wait_for(jobs, timeout=30)
    assert caplog.records == []
