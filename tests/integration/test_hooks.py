"""`set_up`, `start`, `tear_down` in real workers that are cancelled, timed out, stopped; what a job says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess

from taskscheduler import Scheduler, Status

StartNode = Callable[..., NodeProcess]
JOBS = ["tests.support.hooks"]


def torn_down(path: Path) -> list[list[str]]:
    """What `tear_down` was told in each attempt: attempt, status, result, error."""
    return eventually(lambda: [words[1:] for words in traces(path) if words[0] == "tear_down"], 20)


def test_tear_down_knows_how_the_job_ended(start_node: StartNode, scheduler: Scheduler, tmp_path: Path) -> None:
    node, path = start_node(jobs=JOBS), tmp_path / "trace"

    def ran(**data: object) -> tuple[Status, list[str]]:
        path.unlink(missing_ok=True)
        process = scheduler.add_job("traced", {"trace": str(path), **data}, retry=0).wait(20)
        (words,) = torn_down(path)
        return process.status, words

    assert ran() == (Status.DONE, ["1", "done", "value", "none"])
    assert ran(raises=["set_up"]) == (Status.FAILED, ["1", "failed", "None", "no_set_up"])
    assert [words[0] for words in traces(path)] == ["set_up", "tear_down"]
    assert ran(raises=["start"]) == (Status.FAILED, ["1", "failed", "None", "no_start"])
    assert ran(raises=["tear_down"]) == (Status.FAILED, ["1", "done", "value", "none"])
    path.unlink()
    assert scheduler.add_job("forks", str(path)).result(20) == "back"
    assert traces(path) == [["tear_down", str(node.workers[0])]]  # not in the fork


def test_tear_down_is_called_in_a_job_that_is_cancelled_or_times_out(
    start_node: StartNode, scheduler: Scheduler, tmp_path: Path
) -> None:
    start_node(jobs=JOBS, kill_grace=5)
    canceled, late = tmp_path / "canceled", tmp_path / "late"
    process = scheduler.add_job("traced", {"trace": str(canceled), "wait": True})
    expired = scheduler.add_job("traced", {"trace": str(late), "wait": True}, timeout=2)
    eventually(lambda: ["start", "1"] in traces(canceled), 20)
    process.cancel()
    assert torn_down(canceled) == [["1", "canceled", "None", "none"]]
    assert torn_down(late) == [["1", "timeout", "None", "none"]]
    assert expired.wait(20).status is Status.TIMEOUT


def test_tear_down_is_called_in_a_job_that_is_handed_back(
    start_node: StartNode, scheduler: Scheduler, tmp_path: Path
) -> None:
    node, path = start_node(jobs=JOBS, stop_timeout=0, kill_grace=5), tmp_path / "trace"
    process = scheduler.add_job("traced", {"trace": str(path), "wait": True})
    eventually(lambda: ["start", "1"] in traces(path), 20)
    node.stop()
    assert torn_down(path) == [["1", "waiting", "None", "none"]]
    assert process.refresh().status is Status.WAITING


def test_what_a_job_says_of_itself(start_node: StartNode, scheduler: Scheduler, tmp_path: Path) -> None:
    """Progress by a target, a failure by a message, a logger that knows the job."""
    start_node(jobs=JOBS)
    process = scheduler.add_job("files", {"completed": 30, "until": str(tmp_path / "go")})
    eventually(lambda: process.refresh().progress == 25.0, 20)
    assert process.message == "files"
    (tmp_path / "go").touch()
    assert process.wait(20).status is Status.FAILED
    assert process.error is not None
    assert re.fullmatch(r"hooks.py:\d+ in Files._give_up", process.error["place"])
    assert process.error == {**process.error, "type": "JobFailure", "message": "the disk is full"}
    assert "traceback" not in process.error
    logs = scheduler.add_job("logs")
    assert logs.result(20) == {
        "name": "tests.support.hooks",
        "msg": "half %s",
        "job": str(logs.id),
        "job_name": "logs",
        "attempt": 1,
        "mine": 1,
    }
