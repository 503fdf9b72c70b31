"""Each command prints the JSON that the reference describes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.support.jobs import Fail, Noop
from tests.support.json_tables import objections, table
from tests.support.values import PrintService

from taskscheduler import Scheduler
from taskscheduler.model.filters.job_query import FIELDS
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.cli.commands.jobs.listen import EventPrinter
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.text import json_list, json_pretty

BULKY = frozenset({"data", "result"})

Run = Callable[..., str]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def command(*arguments: str) -> str:
        main(arguments)
        return capsys.readouterr().out

    return command


@pytest.fixture
def jobs(scheduler: Scheduler) -> list[str]:
    """The ids of jobs of many kinds, in many states."""
    parent = scheduler.add_job(Noop, {"a": 1}, tags=["x"])
    added = [
        parent,
        scheduler.add_job(Fail, "no", retry=1, retry_interval=1),
        scheduler.add_job(Noop, None, at=timedelta(hours=1), silence_timeout=5),
        scheduler.add_job(Noop, None, interval=60, dedupe=True),
        scheduler.add_job(Noop, None, parent=parent.id, solo="key"),
        scheduler.add_job(Noop, None, solo="key"),
        scheduler.add_job_once(Noop, 7),
        scheduler.add_job("known to nobody"),
        scheduler.start_service(PrintService, {"file": "/x", "size": "small", "price": 1}),
        scheduler.add_job(Fail, None, limits="stripe", sequence="s", sequence_on_failure="block"),
        scheduler.add_job(Noop, None, limits="stripe", sequence="s"),
    ]
    with scheduler.track("program", source="ftp") as record:
        record.update_progress(5, "half way")
    scheduler.cancel_job(added[6].id)
    with InlineNode(scheduler, queues=["default"]) as node:
        node.run_due()
    return [str(job.id) for job in (*added, record)]


def test_jobs_are_as_documented(run: Run, jobs: list[str]) -> None:
    listed = json.loads(run("list", "--all", "-o", "json"))
    assert {job["_id"]["$oid"] for job in listed} >= set(jobs)
    assert [json.loads(line) for line in run("list", "--all", "-o", "ndjson").splitlines()] == listed
    assert {job["state"] for job in listed} >= {"done", "postponed", "canceled", "failed"}
    for job in listed:
        assert objections("Jobs", job, BULKY & set(table("Jobs").always)) == []
        assert "result" not in job
    for job_id in jobs:
        shown = json.loads(run("show", job_id, "-o", "json"))
        assert objections("Jobs", shown) == []
        assert json.loads(run("show", job_id, "-o", "ndjson")) == shown


@pytest.mark.parametrize(
    "arguments", [("cancel",), ("retry",), ("wait", "--timeout", "1"), ("edit",)], ids=lambda given: given[0]
)
def test_commands_on_jobs_print_jobs(run: Run, jobs: list[str], arguments: tuple[str, ...]) -> None:
    chosen = [jobs[0], "waiting"] if arguments == ("edit",) else [jobs[0], jobs[6]]
    printed = json.loads(run(arguments[0], *chosen, *arguments[1:], "-o", "json"))
    assert len(printed) == (1 if arguments == ("edit",) else 2)
    left_out = BULKY if arguments[0] == "wait" else frozenset()
    assert [objections("Jobs", job, left_out & set(table("Jobs").always)) for job in printed] == [[]] * len(printed)


def test_added_jobs_and_services_are_as_documented(run: Run, scheduler: Scheduler) -> None:
    added = json.loads(run("add", "mail", "{}", "-o", "json"))
    assert (objections("Jobs", added), added["outcome"]) == ([], "created")
    assert objections("Jobs", json.loads(run("add", "mail", "{}", "--dedupe", "-o", "ndjson"))) == []
    run("service", "start", "feed", "{}")
    for command in (
        ["service"],
        ["service", "list"],
        ["service", "status", "feed"],
        ["service", "start", "feed", "{}"],
    ):
        [service] = json.loads(run(*command, "-o", "json"))
        assert objections("Jobs", service) == []
        assert json.loads(run(*command, "-o", "ndjson")) == service
    assert [service.status.label for service in scheduler.services()] == ["waiting"]


def test_other_commands_are_as_documented(run: Run, jobs: list[str]) -> None:
    assert jobs
    assert objections("Cluster", json.loads(run("status", "-o", "json"))) == []
    assert objections("Cluster", json.loads(run("status", "-o", "ndjson"))) == []
    findings = json.loads(run("doctor", "-o", "json"))
    assert [objections("Findings", one) for one in findings] == [[]] * len(findings)
    steps = json.loads(run("migrate", "-o", "json"))
    assert [objections("Steps", one) for one in steps] == [[]] * len(steps)
    assert [json.loads(line) for line in run("migrate", "-o", "ndjson").splitlines()] == steps
    declared = json.loads(run("jobs", "--jobs", "tests.support.values", "-o", "json"))
    assert [objections("Declarations", one) for one in declared] == [[]] * len(declared)
    for by in ("job", "queue"):
        counts = json.loads(run("counts", "--by", by, "-o", "json"))
        lines = [json.loads(line) for line in run("counts", "--by", by, "-o", "ndjson").splitlines()]
        assert [{by: name, **found} for name, found in counts.items()] == lines
        assert set(next(iter(counts.values()))) >= {"waiting", "done", "timeout"}


def test_failures_are_as_documented(run: Run, jobs: list[str]) -> None:
    assert jobs
    failures = json.loads(run("failures", "-o", "json"))
    assert failures
    assert [objections("Failures", one) for one in failures] == [[]] * len(failures)
    assert [json.loads(line) for line in run("failures", "-o", "ndjson").splitlines()] == failures


def test_limits_and_sequences_are_as_documented(run: Run, scheduler: Scheduler, jobs: list[str]) -> None:
    assert jobs
    scheduler.limits.set("api", rate=0.5, per=60, burst=3)
    added = scheduler.add_job("known to nobody", limits=["api", "stripe"])
    [changed] = json.loads(run("limits", "set", "stripe", "--concurrency", "2", "-o", "json"))
    for command, heading in (("limits", "Limits"), ("sequences", "Blocked sequences")):
        listed = json.loads(run(command, "-o", "json"))
        assert [json.loads(line) for line in run(command, "list", "-o", "ndjson").splitlines()] == listed
        assert listed
        assert [objections(heading, one) for one in listed] == [[]] * len(listed)
    assert objections("Limits", changed) == []
    [holder] = changed["holders"]
    assert (holder["id"], holder["state"], set(holder)) == (
        {"$oid": str(added.id)},
        "waiting",
        {"id", "job", "name", "state", "since", "node"},
    )


def test_events_are_as_documented(scheduler: Scheduler, jobs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    printer = EventPrinter(Settings(output="json"), scheduler.store.clock)
    for job_id in jobs:
        printer.event(scheduler.get_job(job_id))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [objections("Events", event) for event in events] == [[]] * len(jobs)


def test_every_field_of_a_job_is_documented() -> None:
    known = table("Jobs")
    assert {*known.always, *known.perhaps, *known.internal} >= FIELDS


@pytest.mark.parametrize("values", [[], [1], [{"a": [1, {"b": 2}]}, "x", {}, []]])
def test_a_list_is_written_as_it_is_read(values: list[Any]) -> None:
    assert "\n".join(json_list(iter(values))) == json_pretty(values)
