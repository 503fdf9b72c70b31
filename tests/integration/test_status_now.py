"""`status` and the pages show what runs now, however long ago the last heartbeat was."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import Process, Scheduler, Status

StartNode = Callable[..., NodeProcess]

COMMAND = [sys.executable, "-c", "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"]


def status(uri: str, form: str) -> str:
    ended = commands.run([*COMMAND, "-u", uri, "status", "-o", form], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def node_of(uri: str) -> dict[str, Any]:
    (found,) = json.loads(status(uri, "json"))["nodes"]
    return dict(found)


def running(process: Process) -> bool:
    return process.refresh().status is Status.PROCESSING


@pytest.mark.parametrize("job", ["wait", "async_wait"])
def test_jobs_are_there_as_soon_as_they_run_and_no_longer(
    scheduler: Scheduler, uri: str, start_node: StartNode, tmp_path: Path, job: str
) -> None:
    """The node beats every 20 minutes."""
    start_node(
        orphaned_timeout=3600, jobs=["tests.support.jobs", "tests.support.asyncjobs"], pm="static", min_children=2
    )
    assert (node_of(uri)["running"], node_of(uri)["busy"]) == (0, 0)
    data = {"trace": str(tmp_path / "trace"), "until": str(tmp_path / "end")}
    process = scheduler.add_job(job, data)
    eventually(lambda: running(process))
    found = node_of(uri)
    assert (found["running"], found["busy"]) == (1, 1)
    assert len(found["workers"]) <= 3, "until the worker of the job is known, it has a line of its own"
    (at_work,) = [worker for worker in found["workers"] if worker["job"]]
    assert at_work["job"] == {"$oid": str(process.id)} or at_work["job"] == str(process.id)
    table = status(uri, "table")
    assert str(process.id) in table
    assert "1/2 busy" in table
    (tmp_path / "end").touch()
    process.wait(30)
    found = node_of(uri)
    assert (found["running"], found["busy"]) == (0, 0)
    assert str(process.id) not in status(uri, "tsv")


def test_once_a_job_gives_a_sign_of_life_its_worker_is_known(
    scheduler: Scheduler, uri: str, start_node: StartNode, tmp_path: Path
) -> None:
    node = start_node(
        orphaned_timeout=3600,
        jobs=["tests.support.jobs"],
        pm="static",
        min_children=2,
    )
    process = scheduler.add_job("progress", {"values": [40], "until": str(tmp_path / "end")})
    eventually(lambda: process.refresh().progress == 40)
    (at_work,) = [worker for worker in node_of(uri)["workers"] if worker["job"]]
    assert at_work["pid"] in node.workers
    assert "40%" in status(uri, "tsv")
    (tmp_path / "end").touch()
    process.wait(30)
