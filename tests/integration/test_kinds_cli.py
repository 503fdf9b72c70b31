"""Services, solo jobs and records of programs on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tests.support.asyncjobs  # noqa: F401 - who adds async jobs knows that they are
from bson import ObjectId
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import Scheduler
from taskscheduler_daemon.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process: exit code, output, standard error."""
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_show_and_list_tell_each_kind(run: Run, scheduler: Scheduler) -> None:
    record = scheduler.track("import", rows=12).start()
    service = scheduler.start_service("noop", name="feed")
    _, parked = (scheduler.add_job("noop", solo="key") for _ in range(2))
    for job_id, wanted in (
        (record.id, ["program   pid ", '{"rows": 12}', " ago\n"]),
        (service.id, ["service   feed", "restart   always, started 0 times"]),
        (parked.id, ["solo      key\n", "now       waits for another job with the key key\n"]),
    ):
        _, out, _ = run("show", job_id, "-o", "table")
        assert [part for part in wanted if part not in out] == []
        assert "9999" not in out
    _, out, _ = run("list", "-o", "table")
    assert all(part in out for part in ("pid ", "service feed", "waits for another job with the key key"))
    assert "due in" not in out


def test_a_parked_job_is_due_nowhere(run: Run, scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", None, {"solo": True})] * 2)
    assert scheduler.stats()["next_due"] is None
    assert json.loads(run("status", "-o", "json")[1])["next_due"] is None
    assert "next in" not in run("status", "-o", "table")[1]
    assert "9999" not in run("doctor", "-o", "table")[1]


def test_the_record_of_a_program_is_never_tried_again(run: Run, scheduler: Scheduler) -> None:
    record = scheduler.track("import").start()
    record.fail("disk full")
    for command in (("retry", record.id), ("edit", record.id, "waiting")):
        code, _, err = run(*command)
        assert (code, "only that program can run again" in err, err.count("\n")) == (5, True, 1)


def test_the_fields_of_a_program_cannot_steer_a_terminal(run: Run, scheduler: Scheduler) -> None:
    record = scheduler.track("import", text="\x1b[31m\u202e").start()
    change = {"$set": {"program": {"host": "\x1b[2J", "pid": {"\x1b": 1}}, "solo": "\x1b[2J"}}
    scheduler.store.jobs.collection.update_one({"_id": record.id}, change)
    for command in (("show", record.id), ("list",), ("list", "-o", "tsv"), ("status",)):
        code, out, _ = run(*command)
        assert code == 0
        assert not set(out) & {"\x1b", "\u202e"}


def test_async_jobs_take_one_slot_together_and_services_none(
    run: Run, scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    modules = ["tests.support.asyncjobs", "tests.support.enduring"]
    start_node(name="n1", jobs=modules, max_children=2, orphaned_timeout=6)
    data = {"trace": str(tmp_path / "trace"), "until": str(tmp_path / "end")}
    scheduler.start_service("chronicle", data)
    jobs: list[ObjectId] = [job.id for job in scheduler.add_jobs([("async_wait", data)] * 5)]

    def lines() -> str:
        return run("status", "-o", "table")[1]

    eventually(lambda: "and 4 more" in lines() and "1/2 busy, 6 jobs in all" in lines(), 30, "all of them in one slot")
    assert "1 of 2 slots busy, 6 jobs in all" in lines()
    assert scheduler.stats()["slots"] == {"running": 6, "free": 1, "total": 2}
    (tmp_path / "end").touch()
    scheduler.wait_for([scheduler.get_job(one) for one in jobs], timeout=30)
    scheduler.stop_service("chronicle")
