"""The commands and pages that have to do with steps and signals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support.jobs import traces
from tests.support.resumable import Order

from taskscheduler import Process, Scheduler, Status
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process: exit code, lines of output, standard error."""
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: object) -> tuple[int, list[str], str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return call


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(tmp_path / "trace")


def waiting(scheduler: Scheduler, log: str, **data: Any) -> Process:
    process = scheduler.add_job(Order, {"trace": log, "waits": True, **data})
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    return process.refresh()


def test_signal_tells_who_was_first(run: Run, scheduler: Scheduler, log: str) -> None:
    job = waiting(scheduler, log)
    code, out, _ = run("signal", job.id, "approved", '{"by": "Ada"}', "-o", "json")
    assert code == 0
    assert {**json.loads("\n".join(out)), "at": None} == {
        "job": {"$oid": str(job.id)},
        "name": "approved",
        "value": {"by": "Ada"},
        "at": None,
        "won": True,
        "timed_out": False,
    }
    assert run("signal", job.id, "approved", "2", "-o", "table") == (5, ['approved  set before, to {"by": "Ada"}'], "")
    assert run("signal", job.id, "approved", "-o", "tsv")[1] == ["NAME\tWON\tVALUE", 'approved\tfalse\t{"by": "Ada"}']
    assert run("signal", job.id, "other", "-o", "table") == (0, ["other  set"], "")
    assert run("signal", ObjectId(), "approved")[0] == 3
    assert run("signal", job.id, "")[0] == 2
    assert run("signal", job.id, "third", "{")[0] == 2
    scheduler.cancel_job(job.id)
    code, _, error = run("signal", job.id, "fourth")
    assert (code, error) == (
        5,
        f"taskscheduler: job {job.id} is canceled; only a job that has not ended can get a signal\n",
    )


def test_signal_tells_that_the_job_has_given_up(run: Run, scheduler: Scheduler, log: str) -> None:
    job = waiting(scheduler, log, timeout=0)
    assert job.status is Status.DONE
    late = "approved  too late: the job has given up waiting for it"
    assert run("signal", job.id, "approved", "-o", "table") == (5, [late], "")


def test_show_lists_the_steps(run: Run, scheduler: Scheduler, log: str) -> None:
    job = waiting(scheduler, log, timeout=90_000)
    scheduler.signal(job.id, "other", 1)
    text = "\n".join(run("show", job.id)[1])
    assert "why       WAITING_FOR: it waits for the signal " in text
    assert "waits for signal approved for another 1d" in text
    assert "steps     reserve  #1" in text
    assert '["EUR", 12]' in text
    assert "signal, has not come; it has until" in text
    assert "signals   other: not waited for yet" in text
    scheduler.signal(job.id, "approved", {"by": "Ada"})
    assert 'signal, {"by": "Ada"}' in "\n".join(run("show", job.id)[1])
    listed = run("list", "-o", "table")[1][1]
    assert "due now" in listed


def test_show_and_list_tell_of_a_wait_without_a_limit_and_of_a_sleep(run: Run, scheduler: Scheduler, log: str) -> None:
    job = waiting(scheduler, log)
    text = "\n".join(run("show", job.id)[1])
    assert "9999" not in text
    assert run("list", "-o", "table")[1][1].endswith("waits for signal approved")
    scheduler.cancel_job(job.id)
    asleep = waiting(scheduler, log, sleep=86_400)
    text = "\n".join(run("show", asleep.id)[1])
    assert "why       NOT_DUE: it sleeps until" in text
    assert "sleep-1  #1" in text
    assert re.search("sleeps, again in (1d|23h)", run("list", "-o", "table")[1][1])


def test_retry_begins_with_a_step(run: Run, scheduler: Scheduler, log: str) -> None:
    job = waiting(scheduler, log, timeout=0)
    code, _, error = run("retry", job.id, "--from", "sihp")
    assert code == 2
    assert "it has reserve, charge, approved, ship; did you mean ship?" in error
    assert run("retry", job.id, "--from", "ship")[0] == 0
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert [words[1] for words in traces(log)] == ["reserve", "charge", "ship", "ship"]
    assert run("retry", "--all", "--from", "ship", "--yes")[0] == 2
