"""`taskscheduler service`: what it prints, refuses and answers with its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.support.nodes import NodeProcess

from taskscheduler import Scheduler, Status
from taskscheduler_daemon.cli import main

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process: exit code, lines of output, standard error."""
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: str) -> tuple[int, list[str], str]:
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return call


def test_the_life_of_a_service_from_the_command_line(
    run: Run, scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    code, out, _ = run("service", "start", "parrot", "--name", "polly", "--restart", "on-failure", "--stop-hard", "1m")
    [kept] = scheduler.services()
    assert (code, out[0]) == (0, "NAME\tSTATE\tSTARTS\tRESTART\tNODE\tSINCE\tJOB\tID")
    assert out[1] == f"polly\twaiting\t0\ton-failure\t\t\tparrot\t{kept.id}"
    assert run("service")[1] == run("service", "list")[1] == out
    assert run("service", "status", "polly")[0] == 0
    start_node(jobs=["tests.support.enduring"])
    assert run("service", "send", "polly", '{"say": 1}')[:2] == (0, [])
    assert run("service", "receive", "polly", "--timeout", "20s")[1] == ['{"heard": {"say": 1}, "attempt": 1}']
    assert run("service", "receive", "polly", "--timeout", "0")[0] == 124
    code, out, _ = run("service", "restart", "polly", "-o", "json")
    assert (code, json.loads("\n".join(out))[0]["service"]["stop_hard"]) == (0, 60)
    assert run("service", "stop", "polly", "nobody")[0] == 3
    assert scheduler.service("polly").status != Status.CANCELED  # nothing is done by halves
    code, out, _ = run("service", "stop", "polly")
    assert (code, out[1].split("\t")[:2]) == (0, ["polly", "canceled"])
    assert run("service", "status", "polly")[0] == 1


def test_mistakes_are_one_line(run: Run) -> None:
    assert run("service", "stop", "nobody")[::2] == (
        3,
        "taskscheduler: Given service 'nobody' does not exist; start it with: taskscheduler service start\n",
    )
    code, _, error = run("service", "start", "parrot", "--restart", "sometimes")
    assert (code, "'sometimes' is not one of 'always', 'on-failure', 'never'" in error) == (2, True)
    code, _, error = run("service", "start", "parrot", "--stop-soft", "1h")
    assert (code, error) == (2, "taskscheduler: option stop_soft must not be greater than option stop_hard\n")


def test_a_service_that_keeps_failing_is_shown_as_failing(run: Run, scheduler: Scheduler) -> None:
    service = scheduler.start_service("parrot")
    change = {"status": int(Status.POSTPONED), "attempt": 9, "service.failures": 8}
    scheduler.store.jobs.collection.update_one({"_id": service.id}, {"$set": change})
    assert run("service", "-o", "table")[1][1].split()[:3] == ["parrot", "failing", "9"]
    for arguments in (["list", "-o", "table"], ["show", str(service.id), "-o", "table"]):
        text = "\n".join(run(*arguments)[1])
        assert "x failing" in text
        assert "failing (8 times), again " in text
    assert run("service")[1][1].split("\t")[1] == "postponed"  # for programs it is the stored status
