"""The commands that pause and resume, and where others show what is paused."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from taskscheduler import Scheduler
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


NAMED = (["--queue", "mail"], ["--job", "myapp.Mail"], ["--tag", "a b"], ["--all"])


@pytest.mark.parametrize("named", NAMED, ids=str)
def test_each_kind_is_paused_and_resumed(run: Run, scheduler: Scheduler, named: list[str]) -> None:
    code, out, error = run("pause", *named, "--reason", "why\x1b[31m", "--until", "2h")
    assert (code, error, len(out)) == (0, "", 1)
    assert out[0].startswith("paused ")
    assert out[0].endswith(": why\\x1b[31m")
    [pause] = scheduler.pauses()
    assert [pause.kind, pause.name] == [named[0].removeprefix("--"), named[1] if named[1:] else None]
    assert run("resume", *named)[:2] == (0, ["resumed"])
    assert run("resume", *named)[:2] == (0, ["it was not paused"])
    assert scheduler.pauses() == []


@pytest.mark.parametrize("command", ["pause", "resume"])
@pytest.mark.parametrize("named", [[], ["--all", "--queue", "mail"], ["--job", "a", "--tag", "b"]], ids=str)
def test_exactly_one_thing_is_named(run: Run, scheduler: Scheduler, command: str, named: list[str]) -> None:
    code, out, error = run(command, *named)
    assert (code, out) == (2, [])
    assert "give one of --queue, --job, --tag and --all" in error
    assert scheduler.pauses() == []


@pytest.mark.parametrize("wrong", [["--queue", "No Queue"], ["--all", "--until", "soon"], ["--tag", ""]], ids=str)
def test_what_cannot_be_paused_is_refused(run: Run, scheduler: Scheduler, wrong: list[str]) -> None:
    code, _, error = run("pause", *wrong)
    assert (code, error.count("\n"), "Traceback" in error) == (2, 1, False)
    assert scheduler.pauses() == []


def test_what_is_paused_is_listed(run: Run, scheduler: Scheduler) -> None:
    scheduler.pause(queue="mail", reason="SMTP is down")
    scheduler.pause(until=3600)
    assert run("pauses", "-o", "id")[1] == ["pause:all", "pause:queue:mail"]
    heading, *lines = run("pauses")[1]
    assert heading == "PAUSED\tNAME\tSINCE\tUNTIL\tBY\tREASON"
    assert [line.split("\t")[:2] for line in lines] == [["all", ""], ["queue", "mail"]]
    found = json.loads("\n".join(run("pauses", "-o", "json")[1]))
    assert [sorted(one) for one in found] == [["at", "by", "key", "kind", "name", "reason", "until"]] * 2
    assert [json.loads(line)["reason"] for line in run("pauses", "-o", "ndjson")[1]] == [None, "SMTP is down"]
    assert run("pauses", "-o", "table")[1][1].startswith("everything")


def test_status_shows_what_is_paused(run: Run, scheduler: Scheduler) -> None:
    scheduler.pause(queue="mail", reason="SMTP is down")
    assert [line for line in run("status")[1] if line.startswith("pause\tqueue mail\tSMTP is down\t")]
    assert any("paused  queue mail since" in line for line in run("status", "-o", "table")[1])
    assert json.loads("\n".join(run("status", "-o", "json")[1]))["pauses"][0]["name"] == "mail"


def test_a_list_shows_why_a_parked_job_does_not_run(run: Run, scheduler: Scheduler) -> None:
    job = scheduler.add_job("Mail")
    scheduler.pause(job="Mail")
    assert any("paused: job Mail" in line for line in run("list", "-o", "table")[1])
    assert any("paused: job Mail" in line for line in run("show", job.id, "-o", "table")[1])
