"""What nodes have counted, on the command line and in the web service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from bson import ObjectId
from bson.json_util import loads
from starlette.testclient import TestClient
from tests.integration.test_metrics import HOSTILE, portion
from tests.support.json_tables import objections

from taskscheduler import Scheduler
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.metrics.counts import Series
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.api.records import plain
from taskscheduler_daemon.web.app import create_app

Run = Callable[..., tuple[int, str, str]]
EVIL = Series("\x1b[31mevil", "slow")


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def client(scheduler: Scheduler) -> Iterator[TestClient]:
    with TestClient(create_app(scheduler), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def counted(scheduler: Scheduler) -> None:
    """Two jobs that are done now, and one that failed five minutes ago."""
    metrics, now = scheduler.store.metrics, scheduler.store.clock.now()
    metrics.add(ObjectId(), portion(now, 1, Series("Mail", "default"), Series(HOSTILE, "default")))
    ago = now - timedelta(minutes=5)
    metrics.add(ObjectId(), portion(ago, 1, Series("Mail", "slow"), ending=Ending.FAILED))


@pytest.mark.usefixtures("counted")
def test_classes_queues_and_times_in_every_form(run: Run) -> None:
    code, out, error = run("metrics", "-o", "table")
    assert (code, error) == (0, "")
    first, *lines = out.splitlines()
    assert " ".join(first.split()) == "JOB DONE FAILED TIMEOUT CANCELED RETRIED LOST WAIT P50 WAIT P95 RUN P50 RUN P95"
    assert [line.split() for line in lines] == [
        ["Mail", "1", "1", "0", "0", "0", "0", "18ms", "24ms", "3.8s", "4.9s"],
        [HOSTILE, "1", "0", "0", "0", "0", "0", "18ms", "24ms", "3.8s", "4.9s"],
    ]
    assert run("metrics", "--by", "queue", "-o", "id")[1].split() == ["default", "slow"]
    assert run("metrics", "--by", "queue", "--job", "Mail", "--since", "2m", "-o", "id")[1].split() == ["default"]
    printed = json.loads(run("metrics", "--by", "queue", "-o", "json")[1])
    assert [(one["name"], one["done"], one["failed"]) for one in printed] == [("default", 2, 0), ("slow", 0, 1)]
    assert printed[0]["wait"] == {"count": 2, "mean": 0.02, "p50": 0.0175, "p95": 0.0243, "p99": 0.0249}
    steps = [json.loads(line) for line in run("metrics", "--step", "10m", "-o", "ndjson")[1].splitlines()]
    assert sum(step["done"] + step["failed"] for step in steps) == 3
    assert [step["seconds"] for step in steps] == [600] * 7
    assert steps[0]["wait"]["p50"] is None
    rows = run("metrics", "--queue", "slow", "-o", "tsv")[1].splitlines()
    assert sum(int(row.split("\t")[2]) for row in rows[1:]) == 1
    for one in (*printed, *steps):
        assert (
            objections("Metrics", {key: value for key, value in one.items() if key not in ("name", "at", "seconds")})
            == []
        )


def test_nothing_was_counted(run: Run, client: TestClient) -> None:
    assert json.loads(run("metrics", "-o", "json")[1]) == []
    assert run("metrics")[0] == 0
    assert client.get("/api/v1/metrics?by=job").json() == []


def test_a_name_that_a_terminal_would_obey_is_counted_as_other(run: Run, scheduler: Scheduler) -> None:
    scheduler.store.metrics.add(ObjectId(), portion(scheduler.store.clock.now(), 1, EVIL))
    assert run("metrics", "-o", "id")[1] == "other\n"


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--by", "job", "--step", "5m"], 2, "--step is for --by time"),
        (["--by", "node"], 2, "--by"),
        (["--step", "90"], 2, "whole minutes below an hour"),
        (["--since", "yesterday"], 2, "is not a duration"),
        (["--since", "100h", "--step", "5m"], 2, "minutes are kept for 72 hours"),
        (["--queue", "A B"], 2, "queue"),
    ],
)
def test_what_cannot_be_asked(run: Run, options: list[str], code: int, text: str) -> None:
    given, _, error = run("metrics", *options)
    assert (given, "Traceback" in error) == (code, False)
    assert text in error


@pytest.mark.usefixtures("counted")
def test_the_web_service_answers_the_records_of_the_command_line(run: Run, client: TestClient) -> None:
    for options, parameters in (
        (["--by", "job"], {"by": "job"}),
        (["--by", "time", "--step", "10m"], {"step": "600"}),
        (["--by", "time", "--since", "2h", "--job", "Mail"], {"since": "2h", "job": "Mail"}),
    ):
        answer = client.get("/api/v1/metrics", params=parameters)
        assert (answer.status_code, answer.json()) == (200, plain(loads(run("metrics", *options, "-o", "json")[1])))
    since = {"since": "2026-01-01T00:00:00+01:00", "until": "2026-01-02T00:00:00Z"}
    assert {step["seconds"] for step in client.get("/api/v1/metrics", params=since).json()} == {3600}


@pytest.mark.parametrize(
    "query",
    ["by=node", "x=1", "since=soon", "until=x", "step=x", "step=90", "by=job&step=60", "queue=A", "since=1e999"],
)
def test_the_web_service_refuses_what_it_cannot_answer(client: TestClient, query: str) -> None:
    answer = client.get(f"/api/v1/metrics?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"]
