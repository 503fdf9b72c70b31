"""`taskscheduler bench`: it measures, and leaves nothing in the database or among the processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from pymongo.database import Database
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import descendants, is_running

from taskscheduler_daemon.bench.measure import PREFIX

COMMAND = [sys.executable, "-c", "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())", "bench"]


def start(uri: str, *arguments: str) -> subprocess.Popen[str]:
    return commands.Popen(
        [*COMMAND, "-o", "json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("TASKSCHEDULER_")}
        | {"TASKSCHEDULER_URI": uri},
    )


def left_behind(database: Database[dict[str, Any]]) -> list[str]:
    nodes = [str(node["_id"]) for node in database["taskscheduler.nodes"].find()]
    return nodes + [name for name in database.list_collection_names() if name.startswith(PREFIX)]


def test_it_measures_and_cleans_up(uri: str, database: Database[dict[str, Any]]) -> None:
    with start(uri, "--jobs-count", "300", "--latency-samples", "5") as bench:
        out, err = bench.communicate(timeout=60)
    assert bench.returncode == 0, err
    found = json.loads(out)
    assert found.keys() == {
        "add_job_per_second", "add_jobs_per_second", "drain_per_second",
        "start_p50_ms", "start_p99_ms", "result_p50_ms", "result_p99_ms",
    }  # fmt: skip
    assert all(value > 0 for value in found.values())
    assert found["start_p50_ms"] < found["result_p50_ms"]
    assert left_behind(database) == []


def test_the_jobs_of_others_are_not_touched(uri: str, database: Database[dict[str, Any]]) -> None:
    database["taskscheduler.jobs"].insert_one({"_id": 1, "class": "other", "status": 0, "queue": "taskscheduler-bench"})
    with start(uri, "--jobs-count", "100", "--latency-samples", "2") as bench:
        bench.communicate(timeout=60)
    assert bench.returncode == 0
    assert [job["status"] for job in database["taskscheduler.jobs"].find()] == [0]


def test_ctrl_c_leaves_nothing_behind(uri: str, database: Database[dict[str, Any]]) -> None:
    with start(uri, "--latency-samples", "10000") as bench:
        below = eventually(lambda: len(found := descendants(bench.pid)) >= 4 and found, 30, "node, manager, workers")
        bench.send_signal(signal.SIGINT)
        _, err = bench.communicate(timeout=30)
    assert bench.returncode == 130, err
    assert "Traceback" not in err
    assert left_behind(database) == []
    assert not [pid for pid in below if is_running(pid)]


def test_a_server_that_is_not_there_is_one_line_and_its_exit_code() -> None:
    with start("mongodb://127.0.0.1:1/nowhere?serverSelectionTimeoutMS=300") as bench:
        _, err = bench.communicate(timeout=30)
    assert bench.returncode == 4
    assert err.count("\n") == 1
