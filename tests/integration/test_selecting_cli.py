"""Many jobs at once on the command line: `--where` and what goes with it, questions, exit codes, and Ctrl-C."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.support.jobs import Fail, Noop

from taskscheduler import Process, Scheduler, Status
from taskscheduler.operations.selections import batches
from taskscheduler.store.job_lists import JobLists
from taskscheduler.store.selections.bulk import BulkChanges
from taskscheduler.store.web import job_pages
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.cli.commands.changes import delete as delete_command

Run = Callable[..., tuple[int, list[str], str]]

FAILED = "status:failed class:fail"


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
def failed(scheduler: Scheduler) -> list[Process]:
    """Three jobs that have failed."""
    jobs = scheduler.add_jobs([(Fail, f"mistake {number}") for number in range(3)])
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    return jobs


def test_failed_jobs_of_a_queue_are_listed_to_the_last(
    run: Run, scheduler: Scheduler, failed: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_pages, "MOST_SEARCHED", 1)
    monkeypatch.delattr(JobLists, "recent_of")  # it would pass over all failed jobs in one search
    scheduler.store.jobs.collection.update_one({"_id": failed[0].id}, {"$set": {"queue": "rare"}})
    for where in (("--status", "failed", "--queue", "rare"), ("--where", "status:failed queue:rare")):
        code, out, error = run("list", *where, "--limit", 5, "-o", "id")
        assert (code, out, error) == (0, [str(failed[0].id)], "")


def states(jobs: list[Process]) -> list[str]:
    return [job.refresh().status.label for job in jobs]


def test_jobs_are_listed_by_an_expression(run: Run, scheduler: Scheduler, failed: list[Process]) -> None:
    waits, later = scheduler.add_job(Noop, tags=["a"]), scheduler.add_job(Noop, at=timedelta(hours=1))
    done = scheduler.add_job(Noop, tags=["a"])
    scheduler.store.jobs.collection.update_one({"_id": done.id}, {"$set": {"status": int(Status.DONE)}})

    def listed(*arguments: object) -> list[str]:
        code, out, error = run("list", *arguments, "-o", "id")
        assert (code, error) == (0, "")
        return out

    newest_first = [str(job.id) for job in reversed(failed)]
    assert listed("--where", FAILED) == newest_first
    assert run("list", "--where", FAILED, "--limit", 2, "-o", "id")[1] == newest_first[:2]
    assert listed("--where", "class:noop") == [str(later.id), str(waits.id)]  # live ones, as without it
    assert listed("--where", "tag:a", "--all") == [str(done.id), str(waits.id)]
    assert listed("--where", "class:noop", "--all", "--slow") == [str(job.id) for job in (done, later, waits)]
    assert listed("--where", "created:>-1h status:failed,waiting") == [str(waits.id), *newest_first]
    assert listed("--where", "status:live", "--job", "noop", "--status", "postponed") == [str(later.id)]
    code, out, error = run("list", "--where", "class:noop", "--all")
    assert (code, out) == (2, [])
    assert error.startswith("taskscheduler: no index serves 'class:noop', so all jobs would be read")
    assert error.count("\n") == 1


def test_jobs_are_retried_by_an_expression(run: Run, failed: list[Process]) -> None:
    assert run("retry", "--where", FAILED, "--dry-run") == (0, ["COUNT\tSKIPPED", "3\t0"], "")
    assert states(failed) == ["failed"] * 3
    code, out, _ = run("retry", "--where", FAILED, "--limit", 1, "--data", '{"n": 1}', "--reason", "why", "-o", "json")
    assert (code, json.loads("".join(out))) == (0, {"count": 1, "skipped": 0, "reasons": {}, "dry_run": False})
    assert failed[0].refresh().data == {"n": 1}
    assert failed[0].attempts[0]["retried"] == "why"
    given = ("--spread", "60s", "--priority", 3, "--queue", "bulk", "--at", "1h")
    assert run("retry", "--where", FAILED, *given, "-o", "table")[1] == ["2 jobs retried"]
    assert [failed[1].refresh().options[name] for name in ("priority", "queue")] == [3, "bulk"]
    assert states(failed) == ["waiting", "postponed", "postponed"]


def test_what_is_skipped_is_said_and_is_the_exit_code(run: Run, scheduler: Scheduler) -> None:
    jobs = [scheduler.add_job("a program"), scheduler.add_job(Noop)]
    ended = {"status": int(Status.FAILED)}
    scheduler.store.jobs.collection.update_many({}, {"$set": ended})
    scheduler.store.jobs.collection.update_one({"_id": jobs[0].id}, {"$set": {"program": {"pid": 1}}})
    reason = "taskscheduler: 1 job skipped: they are records of programs\n"
    assert run("retry", "--where", "status:failed", "-o", "table") == (1, ["1 job retried"], reason)
    assert run("retry", "--where", "status:failed", "-o", "table") == (5, ["0 jobs retried"], reason)


def test_jobs_are_cancelled_by_an_expression(run: Run, scheduler: Scheduler) -> None:
    jobs = [scheduler.add_job(Noop) for _ in range(2)]
    assert run("cancel", "--where", "class:noop", "--reason", "no", "-o", "table") == (0, ["2 jobs cancelled"], "")
    assert [job.refresh().reason for job in jobs] == ["no", "no"]
    assert "reason    no" in "\n".join(run("show", jobs[0].id)[1])
    other = scheduler.add_job(Noop)
    assert run("cancel", other.id, "--reason", "why")[0] == 0
    assert other.refresh().reason == "why"


def test_many_are_deleted_after_a_question(
    run: Run, failed: list[Process], scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, error = run("delete", "--where", FAILED)
    assert (code, out) == (5, [])
    assert error == "taskscheduler: nothing was deleted: no terminal to ask for confirmation; use --yes\n"
    asked: list[str] = []

    def no(question: str, _refusal: str) -> bool:
        asked.append(question)
        return False

    with monkeypatch.context() as patched:
        patched.setattr(delete_command, "confirmed", no)
        assert run("delete", "--where", FAILED)[0] == 5
    assert asked == [f"Delete 3 jobs, that match '{FAILED}'?"]
    assert states(failed) == ["failed"] * 3
    assert run("delete", "--where", FAILED, "--dry-run") == (0, ["3 jobs would be deleted"], "")
    assert run("delete", "--where", FAILED, "--limit", 2, "--yes") == (0, ["2 jobs deleted"], "")
    assert run("delete", "--all", "--yes", "--reason", "the end") == (0, ["1 job deleted"], "")
    assert run("delete", "--where", FAILED) == (0, ["0 jobs deleted"], "")
    assert list(scheduler.select(everything=True)) == []


@pytest.mark.parametrize("command", ["retry", "cancel", "delete"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give ids, --where EXPRESSION or --all"),
        (["0" * 24, "--where", "status:failed"], "give ids, --where EXPRESSION or --all, not ids and --where"),
        (["--where", "status:failed", "--all"], "not --where and --all"),
        (["0" * 24, "--dry-run"], "--dry-run needs --where or --all"),
        (["0" * 24, "--limit", "5"], "--limit needs --where or --all"),
        (["0" * 24, "--slow"], "--slow needs --where or --all"),
        (["--where", "status:failed", "--limit", "0"], "--limit"),
        (["--where", ""], "a selection of all jobs has to say so"),
        (["--where", "stauts:failed"], "filter 'stauts:failed': there is no key 'stauts'; did you mean status?"),
        (["--where", 'class:"a'], "a quote is not closed"),
        (["--where", "\udc80"], "a text of Unicode characters"),
        (["--where", "status:done"], "no index serves 'status:done'"),
        (
            ["--where", "status:failed", "--reason", ""],
            "option reason must be a text of at least one and at most 500 characters",
        ),
    ],
)
def test_wrong_use_is_one_line(run: Run, command: str, arguments: list[str], message: str) -> None:
    if command == "cancel" and "status:done" in arguments:
        return  # nothing of it can be cancelled, so nothing is searched
    code, out, error = run(command, *arguments)
    assert (code, out) == (2, [])
    assert message in error
    assert error.count("\n") == 1


def test_a_retry_of_ids_takes_data(run: Run, failed: list[Process]) -> None:
    job = failed[0]
    assert run("retry", job.id, "--data", "null", "--priority", 4, "--reason", "why")[0] == 0
    assert (job.refresh().data, job.options["priority"], job.status) == (None, 4, Status.WAITING)
    assert "tried again: why" in "\n".join(run("show", job.id)[1])
    assert run("retry", failed[1].id, "--data", "{")[0] == 2
    assert run("retry", failed[1].id, "--queue", "A B")[0] == 2
    assert run("retry", failed[1].id, "--spread", "5s")[0] == 2


def test_ctrl_c_says_how_far_it_came(run: Run, failed: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 2)
    requeue, calls = BulkChanges.requeue_alike, list[int]()

    def interrupted(bulk: BulkChanges, *given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return requeue(bulk, *given)

    monkeypatch.setattr(BulkChanges, "requeue_alike", interrupted)
    code, out, error = run("retry", "--where", FAILED)
    assert (code, out) == (130, [])
    assert error.split("\n")[-2] == (
        "taskscheduler: 2 of 3 jobs were retried before this; the same call goes on with the others"
    )
    assert run("retry", "--where", FAILED)[1] == ["COUNT\tSKIPPED", "1\t0"]


def test_a_queued_job_is_updated(run: Run, scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop, 1)
    given = ("--priority", 5, "--queue", "bulk", "--data", '{"n": 2}', "--tag", "a", "--tag", "b", "--at", "1h")
    assert run("update", job.id, *given)[:2] == (0, ["ID\tSTATE", f"{job.id}\tpostponed"])
    assert (job.refresh().data, job.tags, job.options["priority"]) == ({"n": 2}, ["a", "b"], 5)
    assert run("update", job.id, "--no-tags", "--at", "0")[1][1] == f"{job.id}\twaiting"
    assert job.refresh().tags == []
    assert run("update", job.id)[0] == 2
    assert run("update", job.id, "--tag", "a", "--no-tags")[0] == 2
    job.cancel()
    code, _, error = run("update", job.id, "--priority", 1)
    assert (code, "only a job that waits or is postponed can be changed" in error) == (5, True)
    assert run("update", "5f5f5f5f5f5f5f5f5f5f5f5f", "--priority", 1)[0] == 3
